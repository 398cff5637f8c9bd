"""A SYN of simulated TCP, and the answer to it."""

from __future__ import annotations

from collections.abc import Callable

from chatlab.sim.retransmission import SYN_GIVES_UP, SYN_TIMES
from chatlab.sim.tcp_segments import Take
from chatlab.sim.tcp_sender import TcpDirection


class HandshakePacket:
    """A SYN or the answer to it, which is sent again at the times of `SYN_TIMES` until it gets through.

    It is sent as long as it is `wanted`; at last `give_up` is called. SYNs sent before the path is reachable
    are lost. It is first sent at `first_at`, and was last sent at `left_at`, `waited` seconds later.
    """

    def __init__(
        self,
        direction: TcpDirection,
        take: Take,
        wanted: Callable[[], bool] = lambda: True,
        *,
        is_syn: bool = False,
        give_up: Callable[[], None] = lambda: None,
    ) -> None:
        path = direction.path
        self._direction = direction
        self._take = take
        self._wanted = wanted
        self._is_syn = is_syn
        self._give_up = give_up
        self.first_at = direction.draw(path.connect)
        self.latency = direction.latency
        self._loss_number = direction.loss_number = direction.lose() if path.lossy else 1.0
        self._limit = 1.0
        self._times = 0
        self.waited = 0.0
        self.left_at = self.first_at

    def send(self) -> None:
        """Send it, or send it again."""
        environment = self._direction.environment
        if self._times == len(SYN_TIMES):
            environment.call_at(max(environment.now, self.first_at + SYN_GIVES_UP), self._give_up)
            return
        self.waited = SYN_TIMES[self._times]
        self.left_at = self.first_at + self.waited
        self._times += 1
        if self.left_at > environment.now and (self._times > 1 or self._direction.path.lossy):
            environment.call_at(self.left_at, self._leave)
        else:
            self._leave()

    def _leave(self) -> None:
        path = self._direction.path
        if not self._wanted():
            return
        unreachable = self._is_syn and self.left_at < path.unreachable_until
        share = 1.0 if unreachable else path.loss_at(self.left_at)
        self._limit *= share
        if share == 1 or self._loss_number < self._limit:
            self.send()
        else:
            self._direction.arrive(self.left_at + self.latency, self._take)
