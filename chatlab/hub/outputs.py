"""Outputs: what the server's driver must now do, in order; and the frames that only a server sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

from msgspec import Struct


@final
class News(Struct, frozen=True, gc=False):
    """There is a new message in a room's log: wake the readers that wait for it."""

    room: str


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


@final
class Behind(Struct, frozen=True, gc=False):
    """There is more for a member to replay: call `Hub.go_on` when it has read what it got."""

    member: int


Output = News | Reply | Expel | Behind


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
