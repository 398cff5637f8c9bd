"""A dialect of chatlab's own frames that greets, for machines, model, wire and live tests.

After the server's `welcome` it sends a ping, and the pong lets the reader in; items that come between are
read afterwards. An event `refused` is the server's refusal.
"""

from __future__ import annotations

from collections.abc import Sequence

from chatlab.dialects import ChatlabDialect
from chatlab.dialects.base import Incoming, Refused, Reply, ServerPing, ServerPong, Welcome
from chatlab.messages import ChatEvent


class GreetingDialect(ChatlabDialect):
    """The state of one connection: the items since the `welcome`, and whether the reader is let in."""

    name = "greeting"
    greets = True

    def __init__(self) -> None:
        self._held: list[Incoming] = []
        self._let_in = False

    def for_connection(self) -> GreetingDialect:
        return GreetingDialect()

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        (item,) = super().decode(frame)
        if isinstance(item, ChatEvent) and item.type == "refused":
            return (Refused(**item.payload),)
        if self._let_in or isinstance(item, ServerPing):
            return (item,)
        if isinstance(item, ServerPong) and self._held:
            self._let_in = True
            return self._held
        self._held.append(item)
        return (Reply(self.ping(0)),) if isinstance(item, Welcome) else ()
