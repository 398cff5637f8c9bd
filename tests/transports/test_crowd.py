"""The fast paths of a crowd's machine have the same result as `handle`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chatlab.settings import HeartbeatConfig, OutboxConfig
from chatlab.transports.backoff import Backoff
from chatlab.transports.failures import LOST, REFUSED
from chatlab.transports.heartbeat import Heartbeat
from chatlab.transports.machine import Disconnect, Pong
from tests.transports.websocket_chat import (
    CONNECTED,
    FIRST,
    RECONNECTING,
    Chat,
    changes,
    connecting,
    online,
    queries,
)


@pytest.mark.parametrize("mode", ["json", "ping"])
def test_a_machine_with_an_idle_heartbeat_can_skip_heartbeats(mode: Any) -> None:
    settings = HeartbeatConfig(interval=7.0, timeout=3.0, mode=mode)
    skipped, lived = Chat(heartbeat=settings).online(), Chat(heartbeat=settings).online()
    for id in range(1, 6):
        lived.tick()
        lived.now += 0.5
        if mode == "ping":
            lived.do(Pong(1, id))
        else:
            lived.hear({"type": "pong", "id": id})
    assert skipped.machine.idle_heartbeat
    skipped.machine.skip_heartbeats(5)
    assert skipped.machine.deadline == lived.machine.deadline == 42.0
    assert (skipped.machine.rtt, lived.machine.rtt) == (None, 0.5)
    assert skipped.tick() == lived.tick() == [skipped.machine.beat(6)]


def test_which_machines_have_an_idle_heartbeat() -> None:
    chat = Chat()
    assert chat.machine.idle_heartbeat is None  # idle
    chat = connecting()
    assert chat.machine.idle_heartbeat is None
    chat = online()
    assert chat.machine.idle_heartbeat
    chat.tick()
    assert chat.machine.idle_heartbeat is None  # A ping is open.
    assert Chat(heartbeat=HeartbeatConfig(enabled=False)).online().machine.idle_heartbeat is None
    chat = Chat(outbox=OutboxConfig(max_age=60.0, max_in_flight=1)).online()
    chat.submit("1")
    assert chat.machine.idle_heartbeat
    chat.submit("2")  # may expire
    assert chat.machine.idle_heartbeat is None
    chat = online()
    chat.submit("1")
    chat.do(Disconnect())
    assert (chat.state, chat.machine.idle_heartbeat) == ("draining", None)


# Promoting a silent client


def tried(stood: Chat, lived: Chat) -> None:
    lived.connect()
    stood.machine.restore(lived.machine.status, None, None)
    number, query = stood.machine.restore_connecting(0.0)
    assert (number, query) == (1, FIRST)


def open_since(stood: Chat, lived: Chat) -> None:
    lived.online()
    stood.machine.restore(CONNECTED, None, None)
    assert stood.machine.restore_open(0.0, Heartbeat(HeartbeatConfig(), 0.0)) == 1


def open_again(stood: Chat, lived: Chat) -> None:
    lived.online().hear({"type": "welcome", "cursor": "e-7"})
    lived.close("reset", at=3.0)
    lived.tick()
    lived.open()
    backoff = Backoff(stood.machine.config.reconnect, lambda: 0.0)
    backoff.next()
    stood.machine.restore(CONNECTED, backoff, "e-7")
    stood.machine.restore_open(lived.now, Heartbeat(HeartbeatConfig(), lived.now))


def waiting_again(stood: Chat, lived: Chat) -> None:
    lived.connect()
    backoff = Backoff(stood.machine.config.reconnect, lambda: 0.0)
    for _ in range(2):
        lived.close("refused")
        backoff.next()
        lived.tick()
    lived.close("refused")
    at = lived.now + backoff.next()
    stood.machine.restore(RECONNECTING, backoff, None)
    stood.machine.restore_waiting(at)


@pytest.mark.parametrize("life", [tried, open_since, open_again, waiting_again])
def test_a_restored_machine_is_in_the_state_that_its_events_lead_to(
    life: Callable[[Chat, Chat], None],
) -> None:
    stood, lived = Chat(), Chat()
    life(stood, lived)
    stood.now = lived.now
    assert (stood.state, stood.machine.status) == (lived.state, lived.machine.status)
    assert stood.machine.deadline == lived.machine.deadline
    stood.link, lived.link = stood.machine.link, lived.machine.link
    for _ in range(3):
        assert changes(stood.close(REFUSED)) == changes(lived.close(REFUSED))
        assert stood.state == lived.state == "waiting"
        assert queries(stood.tick()) == queries(lived.tick())
        stood.link, lived.link = stood.machine.link, lived.machine.link
    assert changes(stood.open()) == changes(lived.open())
    assert stood.machine.deadline == lived.machine.deadline


def test_what_a_machine_says_of_its_settings() -> None:
    chat = Chat(failures={"refused": "stop"})
    assert chat.machine.config.sender == "ada"
    assert chat.machine.judge(REFUSED) == "stop"
    assert chat.machine.judge(LOST) == "retry"
    assert chat.machine.query(None) == FIRST
    assert chat.machine.query("e-7")["after"] == "e-7"


@pytest.mark.parametrize(
    ("heartbeat", "beats"),
    [
        (HeartbeatConfig(), True),
        (HeartbeatConfig(enabled=False), False),
        (HeartbeatConfig(mode="none"), False),
    ],
)
def test_whether_links_have_heartbeats(heartbeat: HeartbeatConfig, beats: bool) -> None:
    chat = Chat(heartbeat=heartbeat)
    assert chat.machine.beats == beats
    assert (chat.online().machine.idle_heartbeat is not None) == beats
