"""A conversation's use of one transport."""

from __future__ import annotations

from msgspec import Struct

from chatlab.conversation.logs import Log
from chatlab.conversation.places import Place
from chatlab.dialects import Dialect
from chatlab.live.client.transport import ChatTransport
from chatlab.live.subscribers import Unsubscribe


class Session(Struct, eq=False):
    """A transport in use, with its place, log and dialect."""

    transport: ChatTransport
    place: Place
    log: Log
    dialect: Dialect
    subscriptions: list[Unsubscribe]

    def end(self) -> None:
        """Unsubscribe from the transport, and save its cursor in the log."""
        for unsubscribe in self.subscriptions:
            unsubscribe()
        self.log.set_cursor(self.transport.cursor)

    def resume(self) -> None:
        """Resume the transport at the log's cursor, if any."""
        if self.log.cursor is not None:
            self.transport.resume(self.log.cursor)
