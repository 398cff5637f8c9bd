"""The delays of a WebSocket's pongs over a network that loses packets, simulated."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import HeartbeatConfig, ReconnectConfig
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig
from chatlab.sim.transport_settings import WebSocketSettings
from chatlab.trace import Step
from chatlab.transports.machine import OpenWebSocket, Received, Send

PEOPLE = 50
INTERVAL = 60.0
"""Seconds between two heartbeats, and until a pong is given up: any loss is over long before."""


def pong_delays(loss: float, *, beats: int = 4_000, delay: float = 0.04, seed: int = 0) -> list[float]:
    """Return the seconds until each heartbeat was answered, about `beats` in number; inf: after a minute.

    The share `loss` of the packets is lost in each direction, and `delay` is the one-way delay in seconds.

    Errors: `SettingsError` if a number is out of range.
    """
    scenario = Scenario(
        duration=INTERVAL * (beats / PEOPLE + 2),
        seed=seed,
        people=PeopleConfig(count=PEOPLE, rooms=PEOPLE, arrive_over=INTERVAL),
        transport=WebSocketSettings(
            heartbeat=HeartbeatConfig(interval=INTERVAL, timeout=INTERVAL),
            reconnect=ReconnectConfig(max_attempts=None),
        ),
        network=NetworkConfig(latency=delay, loss=loss),
    )
    result = run(scenario, sample=PEOPLE)
    return [seconds for person in result.people for seconds in _delays(result.steps(person))]


def _delays(steps: Iterable[Step]) -> list[float]:
    """Return the delays of one person's pongs. Nobody sends messages, so each frame sent is a ping."""
    delays = []
    sent_at: float | None = None
    for step in steps:
        if sent_at is not None and isinstance(step.event, Received):
            delays.append(step.at - sent_at)
            sent_at = None
        for effect in step.effects:
            if isinstance(effect, Send | OpenWebSocket) and sent_at is not None:
                delays.append(inf)
            if isinstance(effect, Send | OpenWebSocket):
                sent_at = step.at if isinstance(effect, Send) else None
    return delays
