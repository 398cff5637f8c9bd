"""Faults that impair a person's path, or the server as seen from it, for a time."""

from __future__ import annotations

from abc import abstractmethod
from math import inf
from typing import Annotated

from msgspec import Meta

from chatlab.settings import Duration, PositiveDuration, Size
from chatlab.sim.fault_context import FaultContext
from chatlab.sim.faults.base import Injection, LastingFault, LosingFault
from chatlab.sim.latency import Latency, LogNormal, NetworkConfig
from chatlab.sim.path import Impairment
from chatlab.transports.backoff import Uniform

TOLERABLE = 1.0
"""Seconds of latency that break hardly any connection."""


class Condition(LastingFault, frozen=True, kw_only=True):
    """An impairment of a path for `duration` seconds."""

    @property
    def severity(self) -> int:
        return 1

    @abstractmethod
    def impairment(self, uniform: Uniform) -> Impairment:
        """Return the impairment of one path. `uniform` draws its random numbers."""

    def inject(self, context: FaultContext) -> Injection:
        impairments = [self.impairment(context.uniform_of(target)) for target in context.hit]
        for target, impairment in zip(context.hit, impairments, strict=True):
            target.add_impairment(impairment)
        yield self.duration
        for target, impairment in zip(context.hit, impairments, strict=True):
            target.remove_impairment(impairment)


class HighLatency(Condition, frozen=True, kw_only=True, tag="latency"):
    """Each packet takes `latency` more, and up to `jitter` more than that, uniformly."""

    latency: Duration | LogNormal = 1.0
    jitter: Duration = 0.0

    @property
    def severity(self) -> int:
        most = self.latency.p99 if isinstance(self.latency, LogNormal) else self.latency
        return int(most + self.jitter >= TOLERABLE)

    def impairment(self, uniform: Uniform) -> Impairment:
        return Impairment(delays=(Latency(NetworkConfig(latency=self.latency, jitter=self.jitter), uniform),))


class LowBandwidth(Condition, frozen=True, kw_only=True, tag="bandwidth"):
    """A person's line carries only `bandwidth` bytes a second in each direction."""

    bandwidth: PositiveDuration

    def impairment(self, uniform: Uniform) -> Impairment:
        return Impairment(bandwidth=self.bandwidth)


class Loss(LosingFault, frozen=True, kw_only=True, tag="loss"):
    """The share `loss` of the packets is lost in each direction; TCP sends them again, so they come late."""

    loss: Annotated[float, Meta(gt=0, le=1)]

    @property
    def severity(self) -> int:
        return 1

    @property
    def lost_share(self) -> float:
        return self.loss

    @property
    def deaf_until(self) -> float:
        return -inf


class IdleTimeout(Condition, frozen=True, kw_only=True, tag="idle_timeout"):
    """A proxy resets connections that are idle for `timeout` seconds."""

    timeout: PositiveDuration = 60.0

    def impairment(self, uniform: Uniform) -> Impairment:
        return Impairment(idle_timeout=self.timeout)


class Buffering(Condition, frozen=True, kw_only=True, tag="buffering"):
    """A proxy buffers event streams until it has `size` bytes (None: until they end)."""

    size: Size | None = None

    def impairment(self, uniform: Uniform) -> Impairment:
        return Impairment(buffer=inf if self.size is None else self.size)


class HttpError(Condition, frozen=True, kw_only=True, tag="http_error"):
    """Requests and opening handshakes are answered with `status`, and `retry_after` (seconds) if given."""

    status: Annotated[int, Meta(ge=400, le=599)] = 503
    retry_after: Duration | None = None

    def impairment(self, uniform: Uniform) -> Impairment:
        return Impairment(error=(self.status, self.retry_after))


class NoPong(Condition, frozen=True, kw_only=True, tag="no_pong"):
    """The server doesn't answer pings, and sends no comments on streams."""

    def impairment(self, uniform: Uniform) -> Impairment:
        return Impairment(mute=True)


class SlowServer(Condition, frozen=True, kw_only=True, tag="slow_server"):
    """Each request or frame keeps the server busy for `service_time` seconds more, one after the other."""

    service_time: PositiveDuration = 1.0

    @property
    def spreads(self) -> bool:
        return True

    def impairment(self, uniform: Uniform) -> Impairment:
        return Impairment(work=self.service_time)

    def inject(self, context: FaultContext) -> Injection:
        context.server.loaded = True
        yield from super().inject(context)
