"""One-way latency of packets: its settings and its draws."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import exp, log
from statistics import NormalDist
from typing import Annotated

from msgspec import Meta

from chatlab.errors import SettingsError
from chatlab.settings import Duration, PositiveDuration, Settings

quantile = NormalDist().inv_cdf
"""The standard normal distribution's quantile function."""
_Z99 = quantile(0.99)


LossShare = Annotated[float, Meta(ge=0, lt=1)]
"""A share of packets that are lost."""


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


@lru_cache
def _sigma(latency: LogNormal) -> float:
    """Return the standard deviation of the logarithm, the same object for all people."""
    return log(latency.p99 / latency.median) / _Z99


class NetworkConfig(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One-way `latency` of each packet, and up to `jitter` more, uniformly.

    The share `loss` of the packets is lost in each direction; TCP sends them again. Each person's line
    carries `bandwidth` bytes a second in each direction (None: any number). With `tls` opening a connection
    takes one more round trip (TLS 1.3, RFC 8446 §2). Clients keep an idle
    HTTP connection for `keep_alive` seconds, browsers for minutes. The server closes it after 5 s.
    """

    latency: Duration | LogNormal = 0.04
    jitter: Duration = 0.0
    loss: LossShare = 0.0
    bandwidth: PositiveDuration | None = None
    tls: bool = False
    keep_alive: Duration = 4.0


def is_constant(config: NetworkConfig) -> bool:
    """Return whether each packet takes equally long."""
    return not config.jitter and not isinstance(config.latency, LogNormal)


Delay = Callable[[], float]
"""Returns the next packet's one-way latency, in seconds."""


class Latency:
    """One-way latencies: `median` times exp(`sigma` · N(0, 1)), and up to `jitter` more, by `uniform`."""

    __slots__ = ("_uniform", "jitter", "median", "sigma")

    def __init__(self, config: NetworkConfig, uniform: Callable[[], float]) -> None:
        latency = config.latency
        if isinstance(latency, LogNormal):
            self.median = latency.median
            self.sigma = _sigma(latency)
        else:
            self.median = latency
            self.sigma = 0.0
        self.jitter = config.jitter
        self._uniform = uniform

    def draw(self) -> float:
        """Return the latency of the next packet, in seconds."""
        delay = self.median
        if self.sigma:
            delay *= exp(self.sigma * quantile(self._uniform() or 2**-54))
        return delay + self.jitter * self._uniform() if self.jitter else delay

    __call__ = draw  # Calling an object takes twice as long as calling its method.
