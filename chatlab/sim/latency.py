"""How long packets take: latency and its luck, and a person's path with what faults do to it."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log
from statistics import NormalDist

from chatlab.errors import SettingsError
from chatlab.luck import Luck
from chatlab.settings import Duration, PositiveDuration, Settings

RETRANSMIT, MAX_RETRANSMIT = 1.0, 60.0
"""Seconds until TCP first sends again what nobody acknowledged; doubled each time, up to the second.

Source: RFC 6298 §2.1, §2.5, §5.5.
"""

_STANDARD = NormalDist()
_Z99 = _STANDARD.inv_cdf(0.99)


class LogNormal(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Log-normal latency by its median and 99th percentile, in seconds."""

    median: PositiveDuration
    p99: PositiveDuration

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p99 < self.median:
            raise SettingsError(
                f"LogNormal.p99: give at least the median ({self.median:g}), got {self.p99:g}"
            )


class NetworkConfig(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One-way `latency` of each packet, and up to `jitter` more, uniformly."""

    latency: Duration | LogNormal = 0.04
    jitter: Duration = 0.0


Delay = Callable[[], float]
"""Gives the next packet's one-way latency, in seconds."""


class Latency:
    """Draws one-way latencies, by the numbers of one stream."""

    __slots__ = ("_jitter", "_median", "_sigma", "_uniform")

    def __init__(self, config: NetworkConfig, uniform: Callable[[], float]) -> None:
        latency = config.latency
        if isinstance(latency, LogNormal):
            self._median = latency.median
            self._sigma = log(latency.p99 / latency.median) / _Z99
        else:
            self._median = latency
            self._sigma = 0.0
        self._jitter = config.jitter
        self._uniform = uniform

    def __call__(self) -> float:
        delay = self._median
        if self._sigma:
            delay *= exp(self._sigma * _STANDARD.inv_cdf(self._uniform() or 2**-54))
        return delay + self._jitter * self._uniform() if self._jitter else delay


class Path:
    """One person's way to the server, and what faults do to it.

    `refusing` counts faults by which the server refuses it, `swallowing` those by which new links are silent;
    packets sent before `cut_until` have to be sent again after it.
    """

    __slots__ = ("connect", "cut_until", "down", "refusing", "swallowing", "up")

    def __init__(self, up: Delay, down: Delay, connect: Delay) -> None:
        self.up = up
        self.down = down
        self.connect = connect
        self.refusing = 0
        self.swallowing = 0
        self.cut_until = -inf

    def arrival(self, now: float, delay: float, last: float) -> float:
        """Return when a packet arrives that is sent now, behind one that arrives at `last`; inf: never."""
        at = (now if now >= self.cut_until else self._sent_again(now)) + delay
        return max(last, at)

    def _sent_again(self, now: float) -> float:
        if self.cut_until == inf:
            return inf
        wait = RETRANSMIT
        while now < self.cut_until:
            now += wait
            wait = min(2 * wait, MAX_RETRANSMIT)
        return now


class Paths:
    """Makes people's paths: with luck of their own, or all with one constant latency."""

    def __init__(self, config: NetworkConfig, luck: Luck) -> None:
        self._config = config
        self._luck = luck
        constant = not config.jitter and not isinstance(config.latency, LogNormal)
        self._constant = Latency(config, float) if constant else None

    def make(self, person: int) -> Path:
        """Return a new path for the person of that number."""
        return Path(self._delay(person, "up"), self._delay(person, "down"), self._delay(person, "connect"))

    def _delay(self, person: int, purpose: str) -> Delay:
        return self._constant or Latency(self._config, self._luck.uniform(person, purpose))
