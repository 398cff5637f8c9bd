"""The exceptions of the public interface.

Settings, messages and the live transports raise them. In the machines a failure is a value, not an exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ChatError(Exception):
    """Base class of the errors of a chat with a server."""


class ConnectError(ChatError):
    """The transport gave up connecting; `code` is the last close code or HTTP status, if any."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class ChatSendError(ChatError):
    """The server refused a message; `status` is its HTTP status, or the nearest one on a WebSocket.

    It is 0 if the message was not accepted for another reason, without a server's refusal.
    """

    def __init__(self, status: int, reason: str = "") -> None:
        what = f"the server refused the message ({status})" if status else "the message was not accepted"
        super().__init__(f"{what}{': ' + reason if reason else ''}")
        self.status = status
        self.reason = reason


class TryAgain(ChatError):
    """Raised by a user's `headers` function that has failed, but may succeed later.

    The attempt counts as failed and is retried like any other, after at least `retry_after` seconds. `reason`
    is shown in the transport's status. (Network errors and HTTP statuses such as 503 are retried without it.)
    """

    def __init__(self, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class LoginRefused(ChatError, PermissionError):
    """Raised by a user's `headers` function that gets no token, and would get none by trying again.

    The transport gives up, and shows `reason` in its status; it should say what to correct.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class OutboxFull(ChatError):
    """The outbox has no room, and its overflow policy is `reject`."""


class SettingsError(ValueError):
    """A setting has the wrong type or is out of range; the text names the field and the valid values."""


class InvalidMessage(ValueError):
    """A message can't be sent as it is: too large, empty, or not valid Unicode."""


class EventTooLarge(ValueError):
    """A line or an event of an event stream is above the limit, so the stream can't be read further.

    `events` are the complete events before it in the same chunk, which must still be delivered.
    """

    def __init__(self, reason: str, events: Sequence[Any] = ()) -> None:
        super().__init__(reason)
        self.events = events
