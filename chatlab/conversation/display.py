"""Interface of an object that shows a conversation to a person."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from chatlab.conversation.own import OwnMessage
from chatlab.conversation.places import Place
from chatlab.messages import ChatMessage, StatusChange


class ReceivedMessage(Struct, frozen=True):
    """A message from the server. `key` contains the server's id, if any; `own`: its sender has the person's
    name."""

    key: str
    message: ChatMessage
    own: bool


class Display(Protocol):
    """Shows a conversation. Methods are called one at a time, in order, on any thread, and must be quick."""

    def accepted(self, own: OwnMessage) -> None:
        """Show an own message that was just accepted."""

    def settled(self, own: OwnMessage) -> None:
        """Show the new state of an own message, which may be an old one."""

    def received(self, received: ReceivedMessage) -> None:
        """Show a message from the server."""

    def notice(self, text: str, *, warning: bool = False) -> None:
        """Show a notice, which is not a message."""

    def moved(self, before: Place) -> None:
        """Show that the conversation switched from `before` to another place."""

    def status(self, change: StatusChange) -> None:
        """Show the connection's status."""

    def changed(self) -> None:
        """Update the people who are here, those who are typing, and the numbers of unsettled and undelivered
        messages."""
