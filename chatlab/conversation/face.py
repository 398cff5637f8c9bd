"""The interface by which a conversation is shown to a person."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from chatlab.conversation.own import Own
from chatlab.conversation.places import Place
from chatlab.messages import ChatMessage, StatusChange


class Heard(Struct, frozen=True):
    """A message from the server. `key` is made of the server's id, if it has one; `own`: under one's name."""

    key: str
    message: ChatMessage
    own: bool


class Face(Protocol):
    """Shows what happens. Calls come one at a time, in order, on any thread, and must be quick."""

    def accepted(self, own: Own) -> None:
        """Show an own message that was just accepted."""

    def settled(self, own: Own) -> None:
        """Show the new state of an own message, which may be one from long ago."""

    def heard(self, heard: Heard) -> None:
        """Show a message from the server."""

    def notice(self, text: str, *, warning: bool = False) -> None:
        """Show a line that is no message."""

    def moved(self, before: Place) -> None:
        """Show that the conversation goes on elsewhere."""

    def status(self, change: StatusChange) -> None:
        """Show how the connection stands."""

    def changed(self) -> None:
        """Show anew who types, and how many messages are under way."""
