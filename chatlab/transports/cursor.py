"""Where a reader stands in a room: what it has seen, and what to ask for after a break."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from itertools import islice
from typing import TypeVar
from urllib.parse import quote

from chatlab.messages import ChatMessage

K = TypeVar("K")

REMEMBERED_IDS = 10_000
"""At least so many of the latest ids are remembered to drop duplicates; one that is a tenth older is shown
again."""
FORGOTTEN_IDS = REMEMBERED_IDS // 10
"""So many of the oldest are forgotten together: a dict that loses its first key over and over searches ever
longer for the next."""
_FULL = REMEMBERED_IDS + FORGOTTEN_IDS
LONG = 128
"""Characters of the longest id that is remembered as it is; of a longer one a digest is, so that what is
remembered is bounded in bytes, too."""


class Cursor:
    """Remembers the id of the last message received, and enough ids to drop a message that comes twice.

    Ids are opaque strings: never compared but for equality. It may begin after a message received elsewhere.
    What it remembers is made when first needed: in a crowd many never get a message.
    """

    __slots__ = ("_posted", "_seen", "last_id")

    def __init__(self, last_id: str | None = None) -> None:
        self.last_id = last_id
        self._seen: dict[str, None] | None = None
        self._posted: dict[bytes, None] | None = None

    def advance(self, id: str) -> bool:
        """Note a received message; return whether it is new. A message without an id is always new."""
        if not id:
            return True
        seen = self._seen
        if seen is None:
            seen = self._seen = {}
        if not _note(seen, id if len(id) <= LONG else _digest(id)):
            return False
        self.last_id = id
        return True

    def first(self, message: ChatMessage) -> bool:
        """Note a message that its sender may have posted more than once; return whether it is new.

        Everybody can choose a sender and a client id, so only another copy of the same content is the same.
        """
        posted = self._posted
        if posted is None:
            posted = self._posted = {}
        return _note(posted, _print_of(message))

    def move(self, id: str | None) -> None:
        """Stand where the server says; what was seen stays seen."""
        self.last_id = id

    def rewind(self, id: str | None, unread: Iterable[ChatMessage]) -> None:
        """Stand at an earlier place, from which these messages will come once more, as new ones."""
        for message in unread:
            if self._seen is not None:
                self._seen.pop(message.id if len(message.id) <= LONG else _digest(message.id), None)
            if self._posted is not None:
                self._posted.pop(_print_of(message), None)
        self.last_id = id


def _digest(id: str) -> str:
    """Return what stands for a long id; no id that is kept as it is begins so."""
    return "\0" * (LONG - 63) + blake2b(id.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()


MAX_PLACE = 4096
"""Bytes of the longest id to resume from, percent-encoded as in an address: servers refuse longer lines."""
_SURELY_SHORT = MAX_PLACE // 12
"""Characters of an id that can't be longer: each has at most four bytes, and each of those three encoded."""


def too_long(id: str) -> bool:
    """Whether an id is too long to ask a server for what came after it."""
    return len(id) > _SURELY_SHORT and len(quote(id, safe="", errors="replace")) > MAX_PLACE


def _print_of(message: ChatMessage) -> bytes:
    """Return what tells a message from all others but its copies, by sender, client id and content."""
    digest = blake2b(digest_size=16)
    for part in (message.sender, message.client_id, message.text):
        encoded = part.encode(errors="surrogatepass")
        digest.update(len(encoded).to_bytes(4))
        digest.update(encoded)
    digest.update(b"" if message.data is None else b"\1" + message.data)
    return digest.digest()


def _note(noted: dict[K, None], key: K) -> bool:
    """Note the latest keys; return whether this one is new."""
    if key in noted:
        return False
    noted[key] = None
    if len(noted) >= _FULL:
        for old in tuple(islice(noted, FORGOTTEN_IDS)):
            del noted[old]
    return True
