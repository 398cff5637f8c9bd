"""The data that applications and machines exchange: messages, events, statuses."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from chatlab.errors import InvalidMessage

MAX_CONTENT_SIZE = 64 * 1024
"""Maximum bytes of a message's text in UTF-8, and of its data."""
MAX_CLIENT_ID_SIZE = 255
"""Maximum bytes of a `client_id`: servers keep it as long as the message, to detect duplicates."""


class ConnectionStatus(StrEnum):
    """The five statuses of a transport; `error` means that it gave up."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    ERROR = "error"


class DeliveryState(StrEnum):
    """The state of an accepted message in the delivery ledger: always exactly one of these."""

    QUEUED = "queued"
    SENT = "sent"
    ACKED = "acked"
    DROPPED = "dropped"
    EXPIRED = "expired"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether no other state can follow; `sent`, too, is final if the dialect has no acks."""
        return self not in (DeliveryState.QUEUED, DeliveryState.SENT)


class OutgoingMessage(Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", tag="message"):
    """A message to send: text, or bytes in `data`; each at most 64 KiB.

    `client_id` identifies it at the server across resends, and has 255 bytes at most; if it is empty, the
    transport sets one.

    Errors: `InvalidMessage` if it is too large, has neither text nor data, or isn't valid Unicode.
    """

    text: str = ""
    data: bytes | None = None
    client_id: str = ""

    def __post_init__(self) -> None:
        size, data_size = _utf8_size("text", self.text), len(self.data or b"")
        id_size = _utf8_size("client_id", self.client_id)
        if id_size > MAX_CLIENT_ID_SIZE:
            raise InvalidMessage(
                f"the client_id has {id_size:,} bytes; it may have at most {MAX_CLIENT_ID_SIZE}, "
                "so choose a shorter one, or leave it empty"
            )
        if size > MAX_CONTENT_SIZE or data_size > MAX_CONTENT_SIZE:
            what, too_many = ("text", size) if size > MAX_CONTENT_SIZE else ("data", data_size)
            raise InvalidMessage(
                f"the {what} has {too_many:,} bytes; a message holds at most {MAX_CONTENT_SIZE:,}, "
                "so send it in parts"
            )
        if not size and self.data is None:
            raise InvalidMessage("the message is empty; give it text or data")

    @property
    def size(self) -> int:
        """Bytes of its content."""
        return len(self.text.encode()) + len(self.data or b"")


def _utf8_size(what: str, text: str) -> int:
    try:
        return len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidMessage(
            f"the {what} has half of a surrogate pair at index {error.start}; send whole characters"
        ) from None


class ChatMessage(Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", tag="message"):
    """A message that a server has accepted. `id` is the server's, and the cursor to resume after it;
    `posted_at` is UTC."""

    id: str
    sender: str = ""
    text: str = ""
    client_id: str = ""
    posted_at: datetime | None = None
    data: bytes | None = None


class StatusChange(Struct, frozen=True, omit_defaults=True):
    """A transport's status, and why.

    `attempt` counts the retries since the connection was last stable. `retry_at` is when the next one
    starts, on the transport's own clock in seconds; None while one is in progress. `code` is the close
    code or HTTP status behind the change.
    """

    status: ConnectionStatus
    reason: str = ""
    attempt: int = 0
    retry_at: float | None = None
    code: int | None = None


class ChatEvent(Struct, frozen=True, omit_defaults=True):
    """Something that an application may want to show.

    `type` is `message`, `typing`, `presence`, `connection` (with `change`), `resync` (messages may be missing
    before this point), `unreadable` (a frame that couldn't be decoded), `overrun` (the application read too
    slowly), `edit` (`message` has the new content) and `redaction` of the message whose `id` is in `payload`,
    or the name of a server's own event, with its content in `payload`.
    """

    type: str
    message: ChatMessage | None = None
    sender: str = ""
    reason: str = ""
    payload: Any = None
    change: StatusChange | None = None
