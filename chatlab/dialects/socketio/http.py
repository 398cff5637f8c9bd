"""Socket.IO by long polling. A body has several packets; bytes are base64."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from contextlib import suppress

from chatlab.dialects.base import (
    Ack,
    Answer,
    HttpDialect,
    Incoming,
    InFlight,
    Page,
    Refused,
    Reply,
    Request,
    ServerPing,
)
from chatlab.dialects.socketio.session import CLOSE, Options, SocketIOSession
from chatlab.messages import OutgoingMessage
from chatlab.settings import TransportConfig

_SEPARATOR = "\x1e"
_BAD_REQUEST = 400
_UNKNOWN = Refused("the server doesn't know the session any more")


class SocketIOHttp(HttpDialect):
    """Long polling: one session, from its first poll on.

    A server recovers a session only if it knows that the session has ended. If a poll or its answer was lost
    on the way, it doesn't. So before its own first poll, a session ends the last one, whose sid is `unended`.
    """

    streams = False
    short_polls = False

    def __init__(self, path: str, options: Options, unended: str = "") -> None:
        self._path = path
        self._options = options
        self._unended = unended
        self._session = SocketIOSession(options)

    def for_connection(self) -> SocketIOHttp:
        unended = self._session.sid if self._session.recoverable else self._unended
        return SocketIOHttp(self._path, self._options, unended)

    def _request(self, sid: str, packets: str | None = None) -> Request:
        """Return a poll, or the POST of packets."""
        query = {"EIO": "4", "transport": "polling"} | ({"sid": sid} if sid else {})
        if packets is None:
            return Request("GET", self._path, query)
        return Request("POST", self._path, query, {"Content-Type": "text/plain;charset=UTF-8"}, packets)

    def poll(self, config: TransportConfig, cursor: str | None, hold: float | None) -> Request:
        self._session.ask(config, cursor)
        if self._unended:
            return self._request(self._unended, CLOSE)
        return self._request(self._session.sid)

    def page(self, answer: Answer) -> Page | None:
        if self._unended:
            if not (_arrived(answer) or answer.status == _BAD_REQUEST):
                return None
            self._unended = ""  # It has ended now, or had ended before.
            return Page(())
        if answer.status == _BAD_REQUEST and self._session.sid:
            return Page((_UNKNOWN,))
        if answer.status != 200:
            return None
        items: list[Incoming] = []
        for packet in answer.body.decode("utf-8", "replace").split(_SEPARATOR):
            items += [Reply("3") if isinstance(item, ServerPing) else item for item in self._read(packet)]
        return Page(items)

    def _read(self, packet: str) -> Sequence[Incoming]:
        if packet.startswith("b"):
            with suppress(ValueError):
                return self._session.read(b64decode(packet[1:], validate=True))
        return self._session.read(packet)

    def post(self, config: TransportConfig, message: OutgoingMessage) -> Request:
        return self.post_reply(config, self._session.message(config, message))

    def post_reply(self, config: TransportConfig, frame: str | bytes) -> Request:
        assert isinstance(frame, str)  # The session replies by texts.
        return self._request(self._session.sid, frame)

    def posted(self, answer: Answer, client_id: str) -> Ack | InFlight | Refused | None:
        if answer.status == _BAD_REQUEST:
            return _UNKNOWN
        if not _arrived(answer):
            return None
        return InFlight(client_id) if self._options.acks else Ack(client_id)


def _arrived(answer: Answer) -> bool:
    """Return whether the packets of a POST have arrived."""
    return answer.status == 200 and answer.body.strip().lower() == b"ok"
