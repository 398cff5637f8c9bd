"""A WebSocket machine with a clock, in every state, with short methods for tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from chatlab.dialects import find_dialect
from chatlab.dialects.base import Dialect
from chatlab.messages import ChatEvent, ConnectionStatus, DeliveryState, OutgoingMessage, StatusChange
from chatlab.settings import ReconnectConfig, WebSocketConfig
from chatlab.transports.machine import (
    Closed,
    Connect,
    Deliver,
    Disconnect,
    Effect,
    Event,
    Failure,
    Notify,
    Opened,
    OpenWebSocket,
    Received,
    ReceivedBytes,
    Send,
    Settle,
    Submit,
    Tick,
)
from chatlab.transports.websocket import WebSocketMachine

DISCONNECTED, CONNECTING, CONNECTED, RECONNECTING, ERROR = ConnectionStatus
QUEUED, SENT, ACKED, DROPPED, EXPIRED, FAILED = DeliveryState

FIRST = {"room": "lobby", "sender": "ada", "history": "50"}
GOODBYE = "asked to disconnect"
PING_1 = '{"type":"ping","id":1}'


def outgoing(client_id: str, text: str = "hi") -> OutgoingMessage:
    return OutgoingMessage(text, client_id=client_id)


def frame_of(client_id: str, text: str = "hi") -> str:
    return json.dumps({"type": "message", "text": text, "client_id": client_id}, separators=(",", ":"))


def status(
    status: ConnectionStatus,
    reason: str = "",
    attempt: int = 0,
    retry_at: float | None = None,
    code: int | None = None,
) -> Notify:
    return Notify(StatusChange(status, reason, attempt, retry_at, code))


class Chat:
    """A machine and its clock, with short methods for tests."""

    def __init__(
        self,
        *,
        dialect: str | Dialect = "chatlab",
        uniform: Callable[[], float] = lambda: 0.0,
        jitter: str = "none",
        **settings: Any,
    ) -> None:
        reconnect = settings.pop("reconnect", {})
        if isinstance(reconnect, dict):
            settings["reconnect"] = ReconnectConfig(jitter=jitter, **reconnect)  # type: ignore[arg-type]
        else:
            settings["reconnect"] = reconnect
        config = WebSocketConfig(url="ws://h/ws", sender="ada", dialect=dialect, **settings)
        self.machine = WebSocketMachine(config, find_dialect(dialect), uniform)
        self.now = 0.0
        self.link = 0

    def do(self, event: Event, at: float | None = None) -> list[Effect]:
        self.now = self.now if at is None else at
        effects = list(self.machine.handle(event, self.now))
        self.link = max(
            [self.link, *(effect.link for effect in effects if isinstance(effect, OpenWebSocket))]
        )
        return effects

    @property
    def state(self) -> str:
        return self.machine.state

    def tick(self, at: float | None = None) -> list[Effect]:
        """Advance to the deadline."""
        due = self.machine.deadline if at is None else at
        assert due < inf
        return self.do(Tick(), due)

    def connect(self) -> list[Effect]:
        return self.do(Connect())

    def open(self, at: float | None = None) -> list[Effect]:
        return self.do(Opened(self.link), at)

    def online(self) -> Chat:
        self.connect()
        self.open()
        return self

    def close(
        self, failure: Failure | str = "reset", code: int | None = None, at: float | None = None
    ) -> list[Effect]:
        if not isinstance(failure, Failure):
            failure = Failure(failure, code)  # type: ignore[arg-type]
        return self.do(Closed(self.link, failure), at)

    def hear(self, frame: Any, at: float | None = None) -> list[Effect]:
        """Receive a frame: text, bytes, or a plain value as JSON."""
        if isinstance(frame, bytes):
            return self.do(ReceivedBytes(self.link, frame), at)
        return self.do(Received(self.link, frame if isinstance(frame, str) else json.dumps(frame)), at)

    def submit(self, *ids: str, text: str = "hi") -> list[Effect]:
        return [effect for id in ids for effect in self.do(Submit(outgoing(id, text)))]

    def ack(self, id: str) -> list[Effect]:
        return self.hear({"type": "ack", "client_id": id})


def message(id: str, sender: str = "bob", **more: Any) -> dict[str, Any]:
    return {"type": "message", "id": id, "sender": sender, "text": "yo"} | more


def frames(effects: Sequence[Effect]) -> list[str]:
    return [effect.data for effect in effects if isinstance(effect, Send)]


def sent_ids(effects: Sequence[Effect]) -> list[str]:
    decoded = [json.loads(frame) for frame in frames(effects)]
    return [frame["client_id"] for frame in decoded if frame["type"] == "message"]


def settled(effects: Sequence[Effect]) -> list[tuple[str, DeliveryState]]:
    return [(effect.client_id, effect.state) for effect in effects if isinstance(effect, Settle)]


def delivered(effects: Sequence[Effect]) -> list[ChatEvent]:
    return [effect.event for effect in effects if isinstance(effect, Deliver)]


def changes(effects: Sequence[Effect]) -> list[StatusChange]:
    return [effect.change for effect in effects if isinstance(effect, Notify)]


def queries(effects: Sequence[Effect]) -> list[dict[str, str]]:
    return [effect.query for effect in effects if isinstance(effect, OpenWebSocket)]


def idle() -> Chat:
    return Chat()


def failed() -> Chat:
    chat = connecting()
    chat.close("http", 403)
    return chat


def connecting() -> Chat:
    chat = Chat()
    chat.connect()
    return chat


def online() -> Chat:
    return Chat().online()


def draining() -> Chat:
    chat = online()
    chat.submit("m1")
    chat.do(Disconnect())
    return chat


def waiting() -> Chat:
    chat = connecting()
    chat.close("refused")
    return chat


STATES: dict[str, Callable[[], Chat]] = {
    "idle": idle,
    "failed": failed,
    "connecting": connecting,
    "online": online,
    "draining": draining,
    "waiting": waiting,
}
