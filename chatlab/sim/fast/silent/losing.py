"""A silent client whose link ends: by a reset, or by the server.

server_close, reset ──▶ losing     unless a heartbeat comes before the client learns of it: then it is
                                   promoted, and a real link ends
be_lost             ──▶ waiting    the client learns of it, and backs off
"""

from __future__ import annotations

from msgspec import Struct

from chatlab.sim.environment import LONG_AGO
from chatlab.sim.fast.silent.context import Context
from chatlab.sim.fast.silent.lifecycle import Lifecycle
from chatlab.sim.node import Node
from chatlab.transports.failures import LOST
from chatlab.transports.machine import Failure


class Loss(Struct, frozen=True, gc=False):
    """The end of a link that the client learns at `at`. A reset reaches the server at `gone_at`.

    If it is a close frame, the client answers with one of `echoed` bytes.
    """

    at: float
    failure: Failure
    gone_at: float = LONG_AGO
    echoed: int = 0


class Losing(Lifecycle):
    """A silent client that can lose its link; `_loss` is set while it does."""

    __slots__ = ("_loss",)

    def __init__(self, person: int, context: Context) -> None:
        super().__init__(person, context)
        self._loss: Loss | None = None

    def server_close(self, code: int | None, reason: str) -> None:
        served, self._served = self._served, False
        if not served or self._driver is not None:
            return
        context, now, loss = self._context, self._context.environment.now, self._loss
        closing = None if code is None else context.closing(code, reason)
        if loss is not None:  # It was reset, and the server may not know it yet.
            if closing is not None and now < loss.gone_at:
                self.down.skip(1)
                context.network.bytes_down += closing.sent
        elif code is None or closing is None:
            loss = Loss(now + self.down.repeat(), LOST)
            if self._meets_heartbeat(loss):
                self._promoted_link.abort()
            else:
                self._begin_to_lose(loss)
        else:
            loss = Loss(now + self.down.draw(), closing.failure, echoed=closing.echoed)
            if self._meets_heartbeat(loss):
                self.down.skip(-1)
                self._promoted_link.server_close(code, reason)
            else:
                self._begin_to_lose(loss)
                context.network.bytes_down += closing.sent

    def reset(self) -> None:
        """Reset the link as a middlebox does."""
        if self._phase == "online":
            now = self._context.environment.now
            loss = Loss(now + self.down.repeat(), LOST, now + self.up.repeat())
            if self._meets_heartbeat(loss):
                self._promoted_link.reset()
            else:
                self._begin_to_lose(loss)
                self._context.environment.call_at(loss.gone_at, Losing._leave, (self, self.node, self.number))

    @staticmethod
    def _leave(leaving: tuple[Losing, Node, int]) -> None:
        """Leave the server, which a reset has reached."""
        client, node, number = leaving
        client._context.server.forget(client, node, number)

    def _meets_heartbeat(self, loss: Loss) -> bool:
        """Return whether a heartbeat comes before the end of the link: then a real link has to end."""
        beats = self._heartbeat
        return beats is not None and self._context.account.comes_before(beats, loss.at, loss.gone_at)

    def _begin_to_lose(self, loss: Loss) -> None:
        self._phase, self._loss = "losing", loss
        self._context.lose(self, loss.at)

    def be_lost(self) -> None:
        """Handle the end of the link."""
        context, loss, safe_until = self._context, self._loss, self._context.barriers.next
        if loss is None or self._driver is not None:
            return
        if self._served:
            # The server may send something before it learns of the reset.
            if loss.gone_at >= safe_until or (self.node.draining and loss.gone_at > context.environment.now):
                self._promote()
                return
            self._served = False
        if loss.echoed:
            context.network.bytes_up += loss.echoed
            self.up.skip(1)
        if self._backoff is not None and loss.at - self._at >= context.config.reconnect.stable_after:
            self._backoff.reset()
        self._heartbeat = self._loss = None
        self._fail(loss.failure, loss.at, safe_until)
