"""Outputs: instructions to the server's driver, in order; and the frames that only a server sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

from msgspec import Struct


@final
class News(Struct, frozen=True, gc=False):
    """A new message is in a room's log: wake the readers that wait for it."""

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
    """A member's replay has more pages: call `Hub.go_on` when it has read the last one."""

    member: int


Output = News | Reply | Expel | Behind


class PresenceFrame(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="presence"):
    """A person `joined` or `left`; or, for a new member, the people who are `here`."""

    state: Literal["joined", "left", "here"]
    sender: str = ""
    people: list[str] = []


class TypingFrame(Struct, frozen=True, tag_field="type", tag="typing"):
    """A person is typing."""

    sender: str


class ErrorFrame(Struct, frozen=True, tag_field="type", tag="error"):
    """A client's frame can't be understood."""

    reason: str
