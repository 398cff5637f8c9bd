"""The part that the original document's transports over HTTP share: `sendMessage`.

- Each message is a `fetch` of its own, and several can be under way at once: they overtake each other.
- `if (!response.ok) throw new ChatSendError(response.status)`, and a `fetch` that gets no answer throws too:
  the message has failed, and isn't tried again.

Left out by the seed, and read so: `getCsrfToken()` fetches the token when it has none or a POST was answered
with 403; messages wait for it.
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
    """One person's chat through one of the seed's transports over HTTP; how it receives makes the
    difference."""

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
        """Take what happened at `now`; return what to do, in order."""
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
                pass  # What the seed doesn't know.
        return out

    # Receiving

    @abstractmethod
    def _start(self, now: float, out: list[Effect]) -> None:
        """Begin to receive."""

    @abstractmethod
    def _stop(self, out: list[Effect]) -> None:
        """Stop receiving, where the seed has a way to."""

    @abstractmethod
    def _take(self, event: News, now: float, out: list[Effect]) -> None:
        """Take news of what receives."""

    @abstractmethod
    def _tick(self, now: float, out: list[Effect]) -> None:
        """The deadline has come."""

    def _dispatch(self, items: Iterable[Incoming], out: list[Effect]) -> None:
        """Show what is to be shown, whether it was shown before or not."""
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
    """Return what `await response.json()` gives as an array of messages; None: it is something else."""
    page = http.page(answer)
    if page is None or answer.status != 200:
        return None
    return [item for item in page.items if isinstance(item, ChatMessage)]
