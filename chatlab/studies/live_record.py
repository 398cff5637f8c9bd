"""The record of one live transport: the person's actions and messages, the attempts, and the latest steps.

    record = LiveRecord(config, seed=7)
    transport = make_transport(config, record=record.record, uniform=record.uniform)
    ...
    print(scenario_of(record))        # the same as a scenario, in TOML

The panel and the console keep one for each of their transports.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal, NamedTuple

from chatlab.experiment.spans import change_spans
from chatlab.messages import MAX_CONTENT_SIZE, StatusChange
from chatlab.settings import AnyConfig
from chatlab.trace import Step
from chatlab.transports.machine import Connect, Disconnect, Effect, Event, Notify, Submit

if TYPE_CHECKING:  # The console starts more quickly without NumPy and the simulator.
    from chatlab.experiment.fault_proxy import FaultProxy
    from chatlab.random_streams import RandomStreams

LOOPBACK = 0.0005
"""One-way latency in seconds, assumed until a round trip has been measured."""
MOST_ACTIONS = 2000
"""Maximum number of actions, sends and changes that are kept of each transport."""
MOST_TEXT = 1 << 20
"""Maximum characters of all messages' texts that are kept; of later messages only the size is."""
LONGEST_TEXT = MAX_CONTENT_SIZE // 4
"""Maximum characters of a message in a scenario."""
MOST_STEPS = 500
"""Maximum number of the latest steps that are kept."""
MOST_BYTES = 4 << 20
"""Maximum size of the frames and bodies in these steps."""

FEW = 5
"""Number of round trips below which the shortest counts, since the first ones may include loading code."""
WINDOW = 21
"""Number of the latest round trips in the median."""
CHANGE = 0.2
"""Relative change of the latency above which a new prediction is made."""

Action = Literal["connect", "disconnect"]


class RoundTrips:
    """The latest round trips of a connection, measured by heartbeats or polls, in seconds."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        """One-way latency: half of the median round trip, or of the shortest of a few. Until one is measured
        it is the given value."""
        self._latest: deque[float] = deque(maxlen=WINDOW)

    def add(self, rtt: float | None) -> bool:
        """Add the last measured round trip; return whether `latency` has changed, by more than `CHANGE`."""
        if rtt is None or (self._latest and rtt == self._latest[-1]):
            return False
        self._latest.append(rtt)
        ordered, count = sorted(self._latest), len(self._latest)
        middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
        latency = (ordered[0] if count < FEW else middle) / 2  # Work only adds to a round trip.
        if abs(latency - self.latency) <= CHANGE * self.latency:
            return False
        self.latency = latency
        return True


class Sent(NamedTuple):
    """A message of the person: when it was sent, its size in bytes, and its text if that is kept."""

    at: float
    size: int
    text: str


class LiveRecord:
    """The record of one transport with its settings, and the fault `proxy` that it goes through, if any.

    `seed` is that of `uniform`, the random numbers of its backoff, so that the model can draw the same ones.
    Times are in seconds on the monotonic clock. `record` may be called on any thread.
    """

    def __init__(self, config: AnyConfig, proxy: FaultProxy | None = None, *, seed: int = 0) -> None:
        self.config = config
        self.proxy = proxy
        self.seed = seed
        self.round_trips = RoundTrips(LOOPBACK)
        self.actions: deque[tuple[float, Action]] = deque(maxlen=MOST_ACTIONS)
        self.sends: deque[Sent] = deque(maxlen=MOST_ACTIONS)
        self.changes: deque[tuple[float, StatusChange]] = deque(maxlen=MOST_ACTIONS)
        self._steps: deque[tuple[Step, int]] = deque(maxlen=MOST_STEPS)
        self._bytes = 0
        self._chars = 0
        self._streams: RandomStreams | None = None
        self._drawn = 0

    def uniform(self) -> float:
        """Return the next number of the backoff's random stream, from 0 to 1."""
        if self._streams is None:
            from chatlab.random_streams import RandomStreams

            self._streams = RandomStreams(self.seed)
            self._draw = self._streams.uniform(0, "backoff")
        return self._draw()

    def record(self, step: Step) -> None:
        """Note a step of the transport."""
        match step.event:
            case Connect():
                self.actions.append((step.at, "connect"))
            case Disconnect():
                self.actions.append((step.at, "disconnect"))
            case Submit(message):
                self.sends.append(self._sent(step.at, message.text))
            case _:
                pass
        self.changes += [(step.at, effect.change) for effect in step.effects if isinstance(effect, Notify)]
        self._keep(step)

    def _sent(self, at: float, text: str) -> Sent:
        kept = text[:LONGEST_TEXT] if self._chars < MOST_TEXT else ""
        self._chars += len(kept)
        return Sent(at, max(1, len(text.encode())), kept)

    def _keep(self, step: Step) -> None:
        """Keep a step, and drop the oldest ones beyond the bounds."""
        if len(self._steps) == MOST_STEPS:
            self._bytes -= self._steps.popleft()[1]
        size = sum(map(_size, (step.event, *step.effects)))
        self._steps.append((step, size))
        self._bytes += size
        while self._bytes > MOST_BYTES:
            self._bytes -= self._steps.popleft()[1]

    @property
    def steps(self) -> list[Step]:
        """The latest steps, in order."""
        return [step for step, _ in list(self._steps)]

    @property
    def connected_at(self) -> float | None:
        """The time at which the person first asked to connect."""
        return next((at for at, action in list(self.actions) if action == "connect"), None)

    @property
    def began_at(self) -> float | None:
        """The time of the first action or message; None before that."""
        first = [at for at, _ in list(self.actions)[:1]] + [sent.at for sent in list(self.sends)[:1]]
        return min(first, default=None)

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


def _size(item: Event | Effect) -> int:
    """Return the number of bytes or characters of a frame or body, about."""
    answer, request = getattr(item, "answer", None), getattr(item, "request", None)
    data = getattr(item, "data", None) or getattr(answer, "body", None) or getattr(request, "body", None)
    return len(data) if isinstance(data, str | bytes) else 0
