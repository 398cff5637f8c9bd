"""The `socket.io` dialect over a WebSocket, and its options."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import copy

import msgspec

from chatlab.dialects.base import Credentials, Dialect, Incoming, Opening
from chatlab.dialects.socketio.fields import FIELDS, OWN_FIELDS, RECEIVED, SENT, Shape, check
from chatlab.dialects.socketio.http import SocketIOHttp
from chatlab.dialects.socketio.session import Options, SocketIOSession
from chatlab.messages import OutgoingMessage
from chatlab.settings import TransportConfig

_CONNECT = re.compile(r"40(?:/[^,]*,)?")


class SocketIODialect(Dialect):
    """A Socket.IO server.

    - `event`, `sends`: the event of a message, and the fields of its arguments.
    - `reads`: the events that are messages, and the fields of their arguments; by default that same event.
    - `join`: an event that is sent with the room's name once connected; None: the server needs none.
    - `auth`: the keys of `auth`, and the names of the settings' `headers` that they are taken from. A
      leading `Bearer ` is left out.
    - `offset`: the key of `auth` with the last message's own id.
    - `acks`: whether the server acknowledges a message's event, or sends it back with its `client_id`.

    Errors: `SettingsError` if a shape has an unknown field.
    """

    name = "socket.io"
    acks = True
    idempotent = False
    greets = True
    heartbeat = "server"

    def __init__(
        self,
        *,
        path: str = "/socket.io/",
        namespace: str = "/",
        event: str = "chat message",
        sends: Shape = OWN_FIELDS,
        reads: Mapping[str, Shape] | None = None,
        join: str | None = None,
        auth: Mapping[str, str] | None = None,
        offset: str | None = "serverOffset",
        typing: str | None = None,
        acks: bool = True,
    ) -> None:
        reads = {event: FIELDS} if reads is None else reads
        check("sends", sends, SENT)
        for shape in reads.values():
            check("reads", shape, RECEIVED)
        self.acks = acks
        self._path = path
        self._auth = {"token": "Authorization"} if auth is None else auth
        self._typing = typing
        self._options = Options(
            namespace if namespace.startswith("/") else f"/{namespace}",
            event,
            sends,
            reads,
            join,
            offset,
            acks,
        )
        self._session = SocketIOSession(self._options)

    @property
    def http(self) -> SocketIOHttp:
        return SocketIOHttp(self._path, self._options)

    def for_connection(self) -> SocketIODialect:
        fresh = copy(self)
        fresh._session = SocketIOSession(self._options)
        return fresh

    def credentials(self, headers: Mapping[str, str]) -> Credentials:
        values = {name.lower(): value for name, value in headers.items()}
        auth = {
            key: values[name.lower()].removeprefix("Bearer ")
            for key, name in self._auth.items()
            if name.lower() in values
        }
        return Credentials(headers, sign=(lambda frame: _signed(frame, auth)) if auth else None)

    def opening(self, config: TransportConfig, cursor: str | None) -> Opening:
        self._session.ask(config, cursor)
        return Opening(self._path, {"EIO": "4", "transport": "websocket"})

    def encode(self, config: TransportConfig, message: OutgoingMessage) -> str:
        return self._session.message(config, message)

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        return self._session.read(frame)

    def pong(self, id: int | None) -> str:
        return "3"

    def typing(self, config: TransportConfig) -> str | None:
        return None if self._typing is None else self._session.event(self._typing, config.sender)


def _signed(frame: str | bytes, auth: Mapping[str, str]) -> str | bytes:
    """Return a frame; one that connects to a namespace with `auth` added."""
    head = _CONNECT.match(frame) if isinstance(frame, str) else None
    if head is None:
        return frame
    content = msgspec.json.decode(frame[head.end() :] or "{}")
    return head[0] + msgspec.json.encode({**content, **auth}).decode()
