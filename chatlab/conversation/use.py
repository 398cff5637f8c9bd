"""A transport in use, and what it is used for."""

from __future__ import annotations

from msgspec import Struct

from chatlab.conversation.logs import Log
from chatlab.conversation.places import Place
from chatlab.dialects import Dialect
from chatlab.live.subscribers import Unsubscribe
from chatlab.live.transport import ChatTransport


class Use(Struct, eq=False):
    """A transport in use: where it leads to, the log that it reads, and the dialect that it speaks."""

    transport: ChatTransport
    place: Place
    log: Log
    dialect: Dialect
    subscriptions: list[Unsubscribe]

    def end(self) -> None:
        """Hear no more of the transport; the log is resumed where it stands."""
        for unsubscribe in self.subscriptions:
            unsubscribe()
        self.log.move(self.transport.cursor)

    def resume(self) -> None:
        """Resume the transport at the log's cursor, if it has one."""
        if self.log.cursor is not None:
            self.transport.resume(self.log.cursor)
