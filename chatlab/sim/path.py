"""A person's path to the server: its latency, its bandwidth, and its impairments."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import inf
from operator import or_
from typing import Literal, NamedTuple

from msgspec import Struct

from chatlab.random_streams import RandomStreams
from chatlab.sim.blocking import BlockableTransport, Blocking
from chatlab.sim.environment import LONG_AGO
from chatlab.sim.latency import Delay, Latency, LogNormal, NetworkConfig

Direction = Literal["up", "down"]
"""`up`: from a client to the server; `down`: back."""


class Impairment(Struct, frozen=True, eq=False):
    """An impairment of a path, or of the server as seen from there.

    Each packet takes the `delays` longer. Bytes leave at `bandwidth` bytes a second. A proxy resets
    connections that are idle for `idle_timeout` seconds, and buffers `buffer` bytes of a stream. Requests are
    answered with `error`, a status and the seconds of `Retry-After`. A `mute` server answers no pings. Each
    request keeps the server busy for `work` seconds more. A proxy treats requests of the `blocked` transports
    as is said there.
    """

    delays: tuple[Delay, ...] = ()
    bandwidth: float = inf
    idle_timeout: float = inf
    buffer: float = 0.0
    error: tuple[int, float | None] | None = None
    mute: bool = False
    work: float = 0.0
    blocked: dict[BlockableTransport, Blocking] = {}

    def __or__(self, other: Impairment) -> Impairment:
        return Impairment(
            self.delays + other.delays,
            min(self.bandwidth, other.bandwidth),
            min(self.idle_timeout, other.idle_timeout),
            max(self.buffer, other.buffer),
            other.error or self.error,
            self.mute or other.mute,
            self.work + other.work,
            self.blocked | other.blocked,
        )


UNIMPAIRED = Impairment()


def _half() -> float:
    return 0.5  # For a path that loses all packets at a time, or none.


_NONE = (UNIMPAIRED,)


class ModelLine:
    """One direction of a person's line: bytes leave it one after the other."""

    __slots__ = ("_free_at",)

    def __init__(self) -> None:
        self._free_at = LONG_AGO

    def leave(self, now: float, size: int, bandwidth: float) -> float:
        """Return when the last of `size` bytes has left."""
        self._free_at = max(now, self._free_at) + size / bandwidth
        return self._free_at


class LossPeriod(NamedTuple):
    """A share of the packets that are sent from `begins_at` to `ends_at` is lost."""

    begins_at: float
    ends_at: float
    share: float


class Path:
    """One person's path to the server, and its impairments. People are numbered from 0.

    `refusing` counts the faults that refuse new connections. SYNs sent before `unreachable_until` are lost.
    `impairment` is the sum of all that impairs it now. `lossy`: packets may be lost some time in the run;
    then `lose_up` and `lose_down` draw, uniformly from [0, 1), which ones are. All periods of loss are known
    from the beginning of the run, as TCP's next transmissions are computed in advance.
    """

    __slots__ = (
        "_impairments",
        "_lines",
        "_loss_periods",
        "connect",
        "down",
        "impairment",
        "lose_down",
        "lose_up",
        "lossy",
        "person",
        "refusing",
        "unreachable_until",
        "up",
    )

    def __init__(
        self, up: Delay, down: Delay, connect: Delay, own: Impairment = UNIMPAIRED, person: int = 0
    ) -> None:
        self.person = person
        self.up = up
        self.down = down
        self.connect = connect
        self.refusing = 0
        self.unreachable_until = LONG_AGO
        self.lossy = False
        self.lose_up = self.lose_down = _half
        self.impairment = own
        self._impairments: tuple[Impairment, ...] = (own,) if own is not UNIMPAIRED else _NONE
        self._lines: dict[str, ModelLine] | None = None
        self._loss_periods: tuple[LossPeriod, ...] = ()

    def add_impairment(self, impairment: Impairment) -> None:
        """Add an impairment."""
        self._impairments = (*self._impairments, impairment)
        self.impairment = reduce(or_, self._impairments)

    def remove_impairment(self, impairment: Impairment) -> None:
        """Remove an impairment."""
        self._impairments = tuple(other for other in self._impairments if other is not impairment)
        self.impairment = reduce(or_, self._impairments)

    def lose(self, begins_at: float, ends_at: float, share: float = 1.0) -> None:
        """Lose a share of the packets that are sent from `begins_at` to `ends_at`."""
        self._loss_periods = (*self._loss_periods, LossPeriod(begins_at, ends_at, share))

    def end_losses(self, begun_at: float, ends_at: float) -> None:
        """End the periods of loss that began at `begun_at`, at `ends_at` if not before."""
        self._loss_periods = tuple(
            period._replace(ends_at=min(period.ends_at, ends_at)) if period.begins_at == begun_at else period
            for period in self._loss_periods
        )

    def loss_at(self, time: float) -> float:
        """Return the probability that a packet sent at `time`, which may be in the future, is lost."""
        arrives = 1.0
        for begins_at, ends_at, share in self._loss_periods:
            if begins_at <= time < ends_at:
                arrives *= 1 - share
        return 1 - arrives

    def delay(self, draw: Delay) -> float:
        """Draw a packet's latency, including the delays of current impairments."""
        delay = draw()
        for more in self.impairment.delays:
            delay += more()
        return delay

    def leave(self, direction: Direction, now: float, size: int) -> float:
        """Return when the last of `size` bytes has left the line, at the current bandwidth."""
        bandwidth = self.impairment.bandwidth
        if bandwidth == inf:
            return now
        if self._lines is None:
            self._lines = {"up": ModelLine(), "down": ModelLine()}
        return self._lines[direction].leave(now, size, bandwidth)


class Paths:
    """Makes people's paths: with random latencies of their own, or all with one constant latency.

    `lossy`: packets may be lost some time in the run.
    """

    def __init__(self, config: NetworkConfig, streams: RandomStreams, *, lossy: bool = False) -> None:
        self._config = config
        self._streams = streams
        constant = not config.jitter and not isinstance(config.latency, LogNormal)
        self._constant = self._latency(float) if constant else None
        self._lossy = lossy or config.loss > 0
        self._own = UNIMPAIRED
        if config.bandwidth is not None:
            self._own = Impairment(bandwidth=config.bandwidth)

    def make(self, person: int) -> Path:
        """Return a path for the person of that number."""
        up, down, connect = (self._delay(person, purpose) for purpose in ("up", "down", "connect"))
        path = Path(up, down, connect, self._own, person)
        if self._lossy:
            path.lossy = True
            if self._config.loss:
                path.lose(LONG_AGO, inf, self._config.loss)
            path.lose_up = self._streams.uniform(person, "loss-up")
            path.lose_down = self._streams.uniform(person, "loss-down")
        return path

    def _delay(self, person: int, purpose: str) -> Latency:
        return self._constant or self._latency(self._streams.uniform(person, purpose))

    def _latency(self, uniform: Callable[[], float]) -> Latency:
        return Latency(self._config, uniform)
