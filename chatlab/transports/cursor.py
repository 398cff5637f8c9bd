"""The cursor: a reader's position in a room, from which it resumes, and the ids that it has seen."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from itertools import islice
from typing import TypeVar
from urllib.parse import quote

from chatlab.messages import ChatMessage

K = TypeVar("K")

REMEMBERED_IDS = 10_000
"""Minimum number of the latest ids that are kept to drop duplicates."""
FORGOTTEN_IDS = REMEMBERED_IDS // 10
"""Number of the oldest ids that are dropped together. If they were removed one by one, a dict would take ever
longer to find its first key."""
_FULL = REMEMBERED_IDS + FORGOTTEN_IDS
MAX_PLAIN_ID = 128
"""Maximum characters of an id that is kept unchanged. Longer ids are kept as digests, to bound memory."""


class Cursor:
    """The id of the last message received, and the latest ids, by which duplicates are dropped.

    Ids are opaque strings, compared for equality only. `last_id` may be that of a message received elsewhere.
    The sets of ids are created on demand, as many simulated clients never get a message.
    """

    __slots__ = ("_posted", "_seen", "last_id")

    def __init__(self, last_id: str | None = None) -> None:
        self.last_id = last_id
        self._seen: dict[str, int | None] | None = None
        self._posted: dict[bytes, int | None] | None = None

    def advance(self, id: str, content: int | None = None) -> bool:
        """Record a received message; return whether it is new. A message without an id is always new.

        `content` is its `content_of`; None: the id isn't reused.
        """
        if not id:
            return True
        seen = self._seen
        if seen is None:
            seen = self._seen = {}
        if not _record(seen, _key(id), content):
            return False
        self.last_id = id
        return True

    def reused(self, id: str, content: int) -> bool:
        """Return whether a known id has come again with another content; then record that one."""
        seen, key = self._seen, _key(id)
        before = None if seen is None else seen.get(key)
        if seen is None or before is None or before == content:
            return False
        seen[key] = content
        self.last_id = id
        return True

    def record_posted(self, message: ChatMessage) -> bool:
        """Record a message that its sender may have posted more than once; return whether it is new.

        Anybody can use any sender name and client id, so a duplicate must also have the same content.
        """
        posted = self._posted
        if posted is None:
            posted = self._posted = {}
        return _record(posted, _fingerprint(message))

    def move(self, id: str | None) -> None:
        """Move to the id that the server gives; the ids seen are kept."""
        self.last_id = id

    def rewind(self, id: str | None, unread: Iterable[ChatMessage]) -> None:
        """Move back to an earlier id, and forget the `unread` messages, so that they count as new again."""
        for message in unread:
            if self._seen is not None:
                self._seen.pop(_key(message.id), None)
            if self._posted is not None:
                self._posted.pop(_fingerprint(message), None)
        self.last_id = id


def content_of(message: ChatMessage) -> int:
    """Return a hash of a message's content, valid in this process."""
    return hash(message.text if message.data is None else message.data)


def _key(id: str) -> str:
    return id if len(id) <= MAX_PLAIN_ID else _digest(id)


def _digest(id: str) -> str:
    """Return the digest of a long id. It is longer than any id that is kept unchanged."""
    return (
        "\0" * (MAX_PLAIN_ID - 63) + blake2b(id.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()
    )


MAX_ID_SIZE = 4096
"""Bytes of the longest id to resume from, percent-encoded as in a URL: servers refuse longer lines."""
_SHORT_ID = MAX_ID_SIZE // 12
"""Characters of an id that surely fits: a character has at most 4 bytes, and each is encoded as 3."""


def too_long(id: str) -> bool:
    """Return whether an id is too long to resume from."""
    return len(id) > _SHORT_ID and len(quote(id, safe="", errors="replace")) > MAX_ID_SIZE


def _fingerprint(message: ChatMessage) -> bytes:
    """Return a digest of sender, client id and content, the same for each copy of a message."""
    digest = blake2b(digest_size=16)
    for part in (message.sender, message.client_id, message.text):
        encoded = part.encode(errors="surrogatepass")
        digest.update(len(encoded).to_bytes(4))
        digest.update(encoded)
    digest.update(b"" if message.data is None else b"\1" + message.data)
    return digest.digest()


def _record(noted: dict[K, int | None], key: K, value: int | None = None) -> bool:
    """Record a key with its value, and drop the oldest if there are too many; return whether it is new."""
    if key in noted:
        return False
    noted[key] = value
    if len(noted) >= _FULL:
        for old in tuple(islice(noted, FORGOTTEN_IDS)):
            del noted[old]
    return True
