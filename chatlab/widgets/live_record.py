"""The record of one transport of a panel for its prediction: the person's actions, and the attempts."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from chatlab.experiment.fault_proxy import FaultProxy
from chatlab.experiment.spans import change_spans
from chatlab.messages import StatusChange
from chatlab.settings import AnyConfig
from chatlab.studies.prediction import Action, RoundTrips
from chatlab.trace import Step
from chatlab.transports.machine import Connect, Disconnect, Notify, Submit

LOOPBACK = 0.0005
"""One-way latency in seconds, assumed until a round trip has been measured."""
MOST_ACTIONS = 2000
"""Maximum number of actions, sends and changes that are kept of each transport."""


class Sent(NamedTuple):
    """A message of the person: when it was sent, and its length."""

    at: float
    length: int


class LiveRecord:
    """The record of one transport with its settings, and the fault `proxy` that it goes through, if any.

    Times are in seconds on the monotonic clock. The texts of messages are not kept.
    """

    def __init__(self, config: AnyConfig, proxy: FaultProxy | None) -> None:
        self.config = config
        self.proxy = proxy
        self.round_trips = RoundTrips(LOOPBACK)
        self.actions: deque[tuple[float, Action]] = deque(maxlen=MOST_ACTIONS)
        self.sends: deque[Sent] = deque(maxlen=MOST_ACTIONS)
        self.changes: deque[tuple[float, StatusChange]] = deque(maxlen=MOST_ACTIONS)

    def record(self, step: Step) -> None:
        """Note a step of the transport."""
        match step.event:
            case Connect():
                self.actions.append((step.at, "connect"))
            case Disconnect():
                self.actions.append((step.at, "disconnect"))
            case Submit(message):
                self.sends.append(Sent(step.at, max(1, len(message.text))))
            case _:
                pass
        self.changes += [(step.at, effect.change) for effect in step.effects if isinstance(effect, Notify)]

    @property
    def connected_at(self) -> float | None:
        """The time at which the person first asked to connect."""
        return next((at for at, action in self.actions if action == "connect"), None)

    def attempts(self, until: float) -> list[float]:
        """Return the times of its attempts."""
        start = self.changes[0][0] if self.changes else until
        return [at for span in change_spans(list(self.changes), until, start) for at in span.attempts]

    def measured(self, rtt: float | None) -> bool:
        """Note the latest round trip in seconds; return whether the latency has changed.

        Round trips during a fault don't count, nor those to an embedded server: these take work, not time in
        a network.
        """
        if self.proxy is not None and (self.proxy.to_embedded_server or self.proxy.under_way):
            return False
        return self.round_trips.add(rtt)
