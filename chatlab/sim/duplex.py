"""Both directions of a TCP connection: when bytes arrive, and when TCP gives up.

In each direction bytes arrive in order: a slow packet delays those behind it (head-of-line blocking). All
bytes sent at one instant travel as one packet. Bytes above TCP are counted when they are sent for the first
time; those of TLS are not modelled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from math import inf, isnan

from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.latency import Delay
from chatlab.sim.path import Direction, Path
from chatlab.sim.retransmission import GIVE_UP
from chatlab.sim.sender import Sender


class Traffic:
    """Counters of bytes and requests over all connections to one server."""

    __slots__ = ("bytes_down", "bytes_up", "environment", "requests", "tls")

    def __init__(self, environment: LadderEnvironment, *, tls: bool = False) -> None:
        self.environment = environment
        self.tls = tls
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        self.bytes_up = self.bytes_down = self.requests = 0


class Duplex(ABC):
    """The two directions of one connection: `up` sends the client's bytes, and `down` the server's."""

    __slots__ = ("_environment", "_silent_at", "_traffic", "down", "path", "up")

    def __init__(self, traffic: Traffic, path: Path) -> None:
        self._traffic = traffic
        self._environment = traffic.environment
        self.path = path
        self.up, self.down = Sender(path, "up"), Sender(path, "down")
        self._silent_at = inf  # From then on either the bytes or their acks are dropped.

    # The function called on arrival checks whether its side still has the connection. The end of the bytes
    # travels with the last packet.

    def _up(self, size: int = 0, draw: Delay | None = None) -> float:
        """Send `size` bytes to the server; return when they arrive. `draw` replaces `path.up`."""
        self._traffic.bytes_up += size
        now = self._environment.now
        at = self.up.send(now, size, draw or self.path.up, self.down.delay)
        if at == inf or now >= self._silent_at:
            self._expect_time_out(self.up, self._on_time_out)
        return at

    def _up_behind(self, size: int = 0) -> float:
        """Send `size` bytes, or FIN or RST, with the delay of the latest packet; return when they arrive."""
        self._traffic.bytes_up += size
        now, back = self._environment.now, self.down.delay
        if not size:
            return self.up.end(now, back)
        at = self.up.follow(now, size, back)
        if at == inf:
            self._expect_time_out(self.up, self._on_time_out)
        return at

    def _down(self, size: int = 0, draw: Delay | None = None) -> float:
        """Send `size` bytes to the client; return when they arrive. `draw` replaces `path.down`."""
        self._traffic.bytes_down += size
        now = self._environment.now
        at = self.down.send(now, size, draw or self.path.down, self.up.delay)
        if at == inf or now >= self._silent_at:
            self._expect_time_out(self.down, self._on_client_closed)
        return at

    def _down_behind(self) -> float:
        """Send FIN or RST with the delay of the latest packet; return when it arrives."""
        if isnan(self.down.delay):
            self.down.delay = self.path.delay(self.path.down)
        return self.down.end(self._environment.now, self.up.delay)

    def _expect_time_out(self, sender: Sender, time_out: Callable[[], None]) -> None:
        """Call `time_out` when an end's TCP has waited for too long for the ack of bytes sent now."""
        now = self._environment.now
        at = now + GIVE_UP if now >= self._silent_at else inf
        if sender.timer is not None:
            at = min(at, sender.timer.gives_up_at)
        if at < sender.gives_up_at:
            sender.gives_up_at = at
            self._environment.call_at(at, time_out)

    @property
    def _up_silent(self) -> bool:
        """Whether a packet that would arrive at the server now is dropped."""
        return self._environment.now >= self.up.silent_at

    @property
    def _down_silent(self) -> bool:
        """Whether a packet that would arrive at the client now is dropped."""
        return self._environment.now >= self.down.silent_at

    def silence(self, at: float, directions: Sequence[Direction]) -> None:
        """From `at` on drop all packets in these directions, unreported."""
        if "up" in directions:
            self.up.silent_at = min(self.up.silent_at, at)
        if "down" in directions:
            self.down.silent_at = min(self.down.silent_at, at)
        self._silent_at = min(self.up.silent_at, self.down.silent_at)
        if self.up.arrives_at > at:
            self._expect_time_out(self.up, self._on_time_out)
        if self.down.arrives_at > at:
            self._expect_time_out(self.down, self._on_client_closed)

    @abstractmethod
    def _on_time_out(self) -> None:
        """Handle that the client's TCP has given up, at the client."""

    @abstractmethod
    def _on_client_closed(self) -> None:
        """Handle the end of the client's side, at the server."""
