"""A machine over HTTP with a clock and its requests in flight, with short methods for tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Literal

from chatlab.dialects import find_dialect
from chatlab.dialects.base import Answer
from chatlab.messages import (
    ChatEvent,
    ConnectionStatus,
    DeliveryState,
    OutgoingMessage,
    StatusChange,
)
from chatlab.settings import (
    HttpConfig,
    LongPollingConfig,
    ReconnectConfig,
    ShortPollingConfig,
    SSEConfig,
)
from chatlab.transports.factory import make_machine
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Connect,
    Deliver,
    Disconnect,
    Effect,
    Event,
    Failure,
    Fetch,
    Notify,
    Opened,
    OpenWebSocket,
    Received,
    ReceivedBytes,
    Settle,
    Submit,
    Tick,
)

DISCONNECTED, CONNECTING, CONNECTED, RECONNECTING, ERROR = ConnectionStatus
QUEUED, SENT, ACKED, DROPPED, EXPIRED, FAILED = DeliveryState

Purpose = Literal["stream", "poll", "post", "csrf", "websocket"]


class Chat:
    """A machine of any kind. Each link that it opens must be closed or end before the machine is idle."""

    def __init__(self, config: Any, *, uniform: Callable[[], float] = lambda: 0.0) -> None:
        self.machine: Any = make_machine(config, find_dialect(config.dialect), uniform)
        self.now = 0.0
        self.open: dict[int, Fetch | OpenWebSocket] = {}
        self.latest = 0

    def do(self, event: Event, at: float | None = None) -> list[Effect]:
        self.now = self.now if at is None else at
        if isinstance(event, Answered | Closed):
            self.open.pop(event.link, None)
        effects = list(self.machine.handle(event, self.now))
        for effect in effects:
            if isinstance(effect, Fetch | OpenWebSocket):
                assert effect.link > self.latest, "a link's number is used twice"
                self.latest = effect.link
                self.open[effect.link] = effect
            elif isinstance(effect, Close):
                del self.open[effect.link]  # It must not close a link that isn't open.
        if self.machine.status in (DISCONNECTED, ERROR):
            assert not self.open, "a link nobody wants"
            assert self.machine.deadline == inf or self.machine.unsettled
        return effects

    # What the application does

    def connect(self) -> list[Effect]:
        return self.do(Connect())

    def disconnect(self, at: float | None = None) -> list[Effect]:
        return self.do(Disconnect(), at)

    def submit(self, *ids: str, text: str = "hi") -> list[Effect]:
        return [
            effect for id in ids for effect in self.do(Submit(OutgoingMessage(text, client_id=id)), self.now)
        ]

    def tick(self, at: float | None = None) -> list[Effect]:
        """Advance to the deadline."""
        due = self.machine.deadline if at is None else at
        assert due < inf
        return self.do(Tick(), due)

    # What the network does

    def link(self, purpose: Purpose) -> int:
        """Return the link of the only request in flight for that purpose."""
        (link,) = [link for link, effect in self.open.items() if purpose_of(effect) == purpose]
        return link

    def request(self, purpose: Purpose) -> Any:
        """Return the only request in flight for that purpose."""
        effect = self.open[self.link(purpose)]
        return effect.request if isinstance(effect, Fetch) else effect

    def purposes(self) -> list[Purpose]:
        return [purpose_of(effect) for effect in self.open.values()]

    def answer(
        self, purpose: Purpose, status: int = 200, body: Any = b"", at: float | None = None, **headers: str
    ) -> list[Effect]:
        """Answer a request; a body that isn't bytes is sent as JSON, and `_` in a header's name as `-`."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.do(Answered(self.link(purpose), Answer(status, content, named)), at)

    def accept(self, status: int = 201, at: float | None = None) -> list[Effect]:
        """Answer the message in flight: it is in the server's log."""
        ack = {"type": "ack", "client_id": json.loads(self.request("post").body)["client_id"], "id": "e-1"}
        return self.answer("post", status, ack, at)

    def fail(self, purpose: Purpose, failure: Failure | None = None, at: float | None = None) -> list[Effect]:
        return self.do(Closed(self.link(purpose), failure or Failure("reset")), at)

    def opened(self, protocol: str = "text/event-stream", at: float | None = None) -> list[Effect]:
        """Open the stream or the WebSocket."""
        (link,) = [
            link for link, effect in self.open.items() if purpose_of(effect) in ("stream", "websocket")
        ]
        return self.do(Opened(link, protocol), at)

    def stream(self, text: str | bytes, at: float | None = None) -> list[Effect]:
        """Receive bytes on the stream."""
        data = text if isinstance(text, bytes) else text.encode()
        return self.do(ReceivedBytes(self.link("stream"), data), at)

    def hear(self, frame: Any, at: float | None = None) -> list[Effect]:
        """Receive a frame on the WebSocket."""
        return self.do(Received(self.link("websocket"), json.dumps(frame)), at)

    def held(self) -> Chat:
        """Give the poster its CSRF token, by a first message."""
        self.submit("first")
        self.answer("csrf")
        self.accept()
        return self


def sse(*, uniform: Callable[[], float] = lambda: 0.0, **settings: Any) -> Chat:
    return Chat(http_config(SSEConfig, settings), uniform=uniform)


def short_polling(*, uniform: Callable[[], float] = lambda: 0.0, **settings: Any) -> Chat:
    return Chat(http_config(ShortPollingConfig, settings), uniform=uniform)


def long_polling(**settings: Any) -> Chat:
    return Chat(http_config(LongPollingConfig, settings))


def http_config(kind: type[HttpConfig], settings: dict[str, Any]) -> HttpConfig:
    """Return settings without jitter; `reconnect` are fields that override that kind's own."""
    own = kind(url="http://h").reconnect
    reconnect = settings.get("reconnect", {})
    if not isinstance(reconnect, ReconnectConfig):
        reconnect = own.replace(**{"jitter": "none", **reconnect})
    return kind(**{"url": "http://h", "sender": "ada", **settings, "reconnect": reconnect})


def connected(chat: Chat) -> Chat:
    """Return a chat of any kind whose first request is answered, without a message."""
    chat.connect()
    if chat.purposes() == ["poll"]:
        chat.answer("poll", 200, [], chat_cursor="e-0")
    else:
        chat.opened()
    return chat


def purpose_of(effect: Fetch | OpenWebSocket) -> Purpose:
    return effect.purpose if isinstance(effect, Fetch) else "websocket"


def status(
    status: ConnectionStatus,
    reason: str = "",
    attempt: int = 0,
    retry_at: float | None = None,
    code: int | None = None,
) -> Notify:
    return Notify(StatusChange(status, reason, attempt, retry_at, code))


def message(id: str, sender: str = "bob", **more: Any) -> dict[str, Any]:
    text = "hi" if "client_id" in more else "yo"
    return {"type": "message", "id": id, "sender": sender, "text": text} | more


def event(id: str, **more: Any) -> str:
    """Return the text of a message's event in a stream."""
    return f"event: message\nid: {id}\ndata: {json.dumps(message(id, **more))}\n\n"


def fetched(effects: Sequence[Effect]) -> list[Purpose]:
    return [effect.purpose for effect in effects if isinstance(effect, Fetch)]


def posted_ids(effects: Sequence[Effect]) -> list[str]:
    """Return the client ids of the messages that are posted."""
    posts = [effect.request for effect in effects if isinstance(effect, Fetch) and effect.purpose == "post"]
    return [json.loads(post.body)["client_id"] for post in posts if post.path == "/messages"]


def settled(effects: Sequence[Effect]) -> list[tuple[str, DeliveryState]]:
    return [(effect.client_id, effect.state) for effect in effects if isinstance(effect, Settle)]


def delivered(effects: Sequence[Effect]) -> list[ChatEvent]:
    return [effect.event for effect in effects if isinstance(effect, Deliver)]


def shown_ids(effects: Sequence[Effect]) -> list[str]:
    """Return the ids of the messages that are delivered."""
    return [told.message.id for told in delivered(effects) if told.message is not None]


def changes(effects: Sequence[Effect]) -> list[StatusChange]:
    return [effect.change for effect in effects if isinstance(effect, Notify)]


def statuses(effects: Sequence[Effect]) -> list[ConnectionStatus]:
    return [change.status for change in changes(effects)]
