"""The original document's `sendMessage`, which its transports over HTTP share.

- Each message is a `fetch` of its own. Several can be under way at once, and overtake each other.
- `if (!response.ok) throw new ChatSendError(response.status)`; a `fetch` without an answer throws, too. The
  message has failed then, and isn't sent again.

Our reading of what the document leaves out: `getCsrfToken()` fetches the token if there is none, or if a POST
was answered with 403. Messages wait for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from math import inf

from chatlab.dialects.base import Answer, Dialect, HttpDialect, Incoming, Request
from chatlab.dialects.chatlab import encode_frame
from chatlab.messages import (
    ChatEvent,
    ChatMessage,
    ConnectionStatus,
    DeliveryState,
    OutgoingMessage,
    StatusChange,
)
from chatlab.transports.machine import (
    Answered,
    Closed,
    Connect,
    Deliver,
    Disconnect,
    Effect,
    Event,
    Fetch,
    Links,
    Notify,
    Opened,
    ReceivedBytes,
    Settle,
    Submit,
    Tick,
)

News = Opened | ReceivedBytes | Answered | Closed


class SeedHttpMachine(ABC):
    """One person's chat through one of these transports over HTTP; subclasses receive."""

    __slots__ = (
        "_csrf",
        "_http",
        "_links",
        "_posts",
        "_room",
        "_sender",
        "_token_held",
        "_waiting",
        "deadline",
        "rtt",
        "status",
    )

    def __init__(self, dialect: Dialect, room: str, sender: str) -> None:
        assert dialect.http is not None
        self._http: HttpDialect = dialect.http
        self._room = room
        self._sender = sender
        self._links = Links()
        self._posts: dict[int, str] = {}  # the client id of the message that each link carries
        self._csrf = 0
        self._token_held = False
        self._waiting: list[OutgoingMessage] = []
        self.deadline = inf
        self.rtt: float | None = None
        self.status = ConnectionStatus.DISCONNECTED

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Handle an event at `now`; return the effects in order."""
        out: list[Effect] = []
        match event:
            case Connect():
                if self.status is ConnectionStatus.DISCONNECTED:
                    self._notify(out, ConnectionStatus.CONNECTING)
                    self._start(now, out)
                    self._get_token(out)
            case Disconnect():
                self._stop(out)
            case Submit(message):
                self._waiting.append(message)
                if self._token_held:
                    self._post(out)
                else:
                    self._get_token(out)
            case Answered(link) | Closed(link) if link == self._csrf:
                self._take_token(event, out)
            case Answered(link) | Closed(link) if link in self._posts:
                self._posted(self._posts.pop(link), event, out)
            case Opened() | ReceivedBytes() | Answered() | Closed():
                self._take(event, now, out)
            case Tick():
                if now >= self.deadline:
                    self._tick(now, out)
            case _:
                pass  # Events that the document doesn't handle.
        return out

    # Receiving

    @abstractmethod
    def _start(self, now: float, out: list[Effect]) -> None:
        """Start receiving."""

    @abstractmethod
    def _stop(self, out: list[Effect]) -> None:
        """Stop receiving, if the document has a way to."""

    @abstractmethod
    def _take(self, event: News, now: float, out: list[Effect]) -> None:
        """Handle an event of the receiving request."""

    @abstractmethod
    def _tick(self, now: float, out: list[Effect]) -> None:
        """Handle the deadline."""

    def _dispatch(self, items: Iterable[Incoming], out: list[Effect]) -> None:
        """Deliver messages and events, even if they were delivered before."""
        for item in items:
            if isinstance(item, ChatMessage):
                out.append(Deliver(ChatEvent("message", message=item, sender=item.sender)))
            elif isinstance(item, ChatEvent):
                out.append(Deliver(item))

    def _notify(self, out: list[Effect], status: ConnectionStatus, reason: str = "") -> None:
        self.status = status
        out.append(Notify(StatusChange(status, reason)))

    # Sending

    def _get_token(self, out: list[Effect]) -> None:
        if not self._csrf and self._http.csrf is not None:
            self._csrf = self._links.next()
            out.append(Fetch(self._csrf, "csrf", self._http.csrf))

    def _take_token(self, event: Answered | Closed, out: list[Effect]) -> None:
        self._csrf = 0
        self._token_held = isinstance(event, Answered) and event.answer.status == 200
        if self._token_held:
            self._post(out)
            return
        lost, self._waiting = self._waiting, []
        for message in lost:
            self._failed(message.client_id, event, out)

    def _post(self, out: list[Effect]) -> None:
        query = {"room": self._room, "sender": self._sender}
        for message in self._waiting:
            link = self._links.next()
            self._posts[link] = message.client_id
            body = encode_frame(message)
            request = Request("POST", "/messages", query, {"Content-Type": "application/json"}, body)
            out.append(Fetch(link, "post", request))
            out.append(Settle(message.client_id, DeliveryState.SENT))
        self._waiting.clear()

    def _posted(self, client_id: str, event: Answered | Closed, out: list[Effect]) -> None:
        if isinstance(event, Answered) and 200 <= event.answer.status < 300:
            out.append(Settle(client_id, DeliveryState.ACKED))
            return
        if isinstance(event, Answered) and event.answer.status == 403:
            self._token_held = False
        self._failed(client_id, event, out)

    def _failed(self, client_id: str, event: Answered | Closed, out: list[Effect]) -> None:
        if isinstance(event, Answered):
            status = event.answer.status
            out.append(Settle(client_id, DeliveryState.FAILED, f"ChatSendError: {status}", status))
        else:
            out.append(Settle(client_id, DeliveryState.FAILED, f"TypeError: {event.failure}"))


def messages_of(http: HttpDialect, answer: Answer) -> list[ChatMessage] | None:
    """Return the messages that `await response.json()` gives; None if it gives something else."""
    page = http.page(answer)
    if page is None or answer.status != 200:
        return None
    return [item for item in page.items if isinstance(item, ChatMessage)]
