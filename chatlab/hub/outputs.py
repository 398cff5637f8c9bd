"""Outputs: what the server's driver must now do, in order; and the frames that only a server sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

from msgspec import Struct

from chatlab.messages import ChatMessage


@final
class Keep(Struct, frozen=True, gc=False):
    """Write the message to the room's history, before anything that follows; then whoever waits for the
    room's next message can read it."""

    room: str
    message: ChatMessage


@final
class Reply(Struct, frozen=True, gc=False):
    """Send a frame to these members."""

    members: Sequence[int]
    frame: str | bytes


@final
class Expel(Struct, frozen=True, gc=False):
    """Close a member's connection."""

    member: int
    code: int
    reason: str


Output = Keep | Reply | Expel


class PresenceFrame(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="presence"):
    """Somebody `joined` or `left`; or, to a newcomer, the people who are `here`."""

    state: Literal["joined", "left", "here"]
    sender: str = ""
    people: list[str] = []


class TypingFrame(Struct, frozen=True, tag_field="type", tag="typing"):
    """Somebody types."""

    sender: str


class ErrorFrame(Struct, frozen=True, tag_field="type", tag="error"):
    """What a client sent makes no sense."""

    reason: str
