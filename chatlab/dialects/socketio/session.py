"""The state of one Socket.IO session, which reads and writes its packets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from chatlab.dialects.base import Ack, Incoming, Refused, Reply, ServerPing, Welcome, unreadable
from chatlab.dialects.socketio.fields import Shape, attach, filled, read_message
from chatlab.messages import ChatEvent, OutgoingMessage
from chatlab.settings import TransportConfig

_PACKET = re.compile(r"(\d)(?:(\d{1,3})-)?(?:(/[^,]*),)?(\d{1,9})?")
_SESSION = "~"
"""First character of a cursor that is a session's `pid` and `offset`, or the `sid` of one that can't be
resumed."""
_NO_SUCH_NAMESPACE = "Invalid namespace"
MAX_PENDING_ACKS = 10_000
"""Maximum messages of a session whose acks are awaited."""
MAX_ATTACHMENTS = 16
"""Maximum binary frames of a packet."""
CLOSE = "1"
"""The packet of Engine.IO that ends a session."""
_read_json = msgspec.json.Decoder().decode
_OWN_EVENTS = frozenset({"message", "connection", "resync", "unreadable", "overrun", "presence"})


class Options(Struct, frozen=True):
    """The settings of the dialect that its packets depend on."""

    namespace: str
    event: str
    sends: Shape
    reads: Mapping[str, Shape]
    join: str | None
    offset: str | None
    acks: bool


class SocketIOSession:
    """The state of one session: reading and writing packets."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._room = ""
        self._asked: str | None = None
        self._pid = ""
        self._opened: dict[str, Any] = {}
        self._acks: dict[int, str] = {}
        self._sent = 0
        self._head: tuple[re.Match[str], int] | None = None  # A packet that waits for its binary frames.
        self._attached: list[bytes] = []

    @property
    def sid(self) -> str:
        """The id of the Engine.IO session; "": it isn't open yet."""
        sid = self._opened.get("sid")
        return sid if isinstance(sid, str) else ""

    @property
    def recoverable(self) -> bool:
        """Whether the server may recover it after its end."""
        return bool(self._pid)

    def ask(self, config: TransportConfig, cursor: str | None) -> None:
        """Note what the connection is to resume from."""
        if not self.sid:
            self._room, self._asked = config.room, cursor

    # Sending

    def _packet(self, kind: str, content: Any = None, id: int | None = None) -> str:
        namespace = self._options.namespace
        head = f"4{kind}" + ("" if namespace == "/" else f"{namespace},") + ("" if id is None else str(id))
        return head if content is None else head + msgspec.json.encode(content).decode()

    def message(self, config: TransportConfig, message: OutgoingMessage) -> str:
        """Return the packet of a message, whose ack is counted.

        Errors: `ValueError` for bytes, which would need more than one frame.
        """
        if message.data is not None:
            raise ValueError(
                "the dialect socket.io sends texts only, as bytes take frames of their own; "
                "encode them in the text"
            )
        options = self._options
        fields = {"sender": config.sender, "text": message.text, "client_id": message.client_id}
        event = [options.event, *(filled(place, fields, config) for place in options.sends)]
        if not options.acks:
            return self._packet("2", event)
        self._sent += 1
        if len(self._acks) < MAX_PENDING_ACKS:
            self._acks[self._sent] = message.client_id
        return self._packet("2", event, self._sent)

    def event(self, name: str, *arguments: str) -> str:
        """Return the packet of another event."""
        return self._packet("2", [name, *arguments])

    def _connect(self) -> str:
        """Return the packet that connects to the namespace, and resumes."""
        auth: dict[str, Any] = {}
        cursor, options = self._asked, self._options
        if cursor is not None and cursor.startswith(_SESSION):
            pid, _, offset = cursor.removeprefix(_SESSION).partition(".")
            auth = {"pid": pid, "offset": offset}
        elif cursor is not None and options.offset:
            auth = {options.offset: int(cursor) if cursor.isascii() and cursor.isdigit() else cursor}
        return self._packet("0", auth or None)

    # Receiving

    def read(self, frame: str | bytes) -> Sequence[Incoming]:
        """Return the items of a frame, or of a packet of a poll."""
        try:
            if isinstance(frame, bytes):
                return self._binary(frame)
            return self._engine(frame)
        except (
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            RecursionError,
            msgspec.DecodeError,
        ) as error:
            return (unreadable(str(error) or type(error).__name__, frame),)

    def _engine(self, frame: str) -> Sequence[Incoming]:
        match frame[:1]:
            case "0":
                opened = _read_json(frame[1:])
                if not isinstance(opened["sid"], str):
                    raise TypeError("the session's sid is no text")
                self._opened = opened
                return (Reply(self._connect()),)
            case "1":  # CLOSE
                return (Refused("the server closed the session"),)
            case "2":
                return (ServerPing(),)
            case "4":
                return self._socket(frame[1:])
            case "3" | "6":
                return ()
            case _:
                raise ValueError("no packet of Engine.IO 4")

    def _binary(self, frame: bytes) -> Sequence[Incoming]:
        if self._head is None:
            raise ValueError("bytes that belong to no packet")
        self._attached.append(frame)
        match, count = self._head
        if len(self._attached) < count:
            return ()
        self._head = None
        content = attach(_read_json(match.string[match.end() :]), self._attached)
        return self._event(content, match[4]) if match[1] == "5" else self._acked(match[4])

    def _socket(self, packet: str) -> Sequence[Incoming]:
        match = _PACKET.match(packet)
        if match is None:
            raise ValueError("no packet of Socket.IO 5")
        kind, _, namespace, id = match.groups()
        if (namespace or "/").partition("?")[0] != self._options.namespace:
            if kind == "4":
                return (self._refusal(_read_json(packet[match.end() :])),)
            raise ValueError("another namespace")
        content = _read_json(packet[match.end() :]) if match.end() < len(packet) else None
        match kind:
            case "0":
                return self._welcome(content)
            case "1":
                return (Refused("the server disconnected the client"),)
            case "2":
                return self._event(content, id)
            case "3":
                return self._acked(id)
            case "4":
                return (self._refusal(content),)
            case "5" | "6":
                count = int(match[2] or 0)
                if not 0 < count <= MAX_ATTACHMENTS:
                    raise ValueError(f"a packet of {count} binary frames; 1 to {MAX_ATTACHMENTS} are read")
                self._head, self._attached = (match, count), []
                return ()
            case _:
                raise ValueError("no packet of Socket.IO 5")

    def _acked(self, id: str | None) -> Sequence[Incoming]:
        client_id = self._acks.pop(int(id or 0), None)
        return () if client_id is None else (Ack(client_id),)

    def _welcome(self, content: Any) -> Sequence[Incoming]:
        pid, asked = content.get("pid"), self._asked or ""
        self._pid = pid = pid if isinstance(pid, str) else ""
        recovered = bool(pid) and asked.startswith(f"{_SESSION}{pid}.")
        lost = asked.startswith(_SESSION) and not recovered
        cursor = None if recovered else f"{_SESSION}{pid or content['sid']}."
        seconds = [self._opened.get(name) for name in ("pingInterval", "pingTimeout")]
        interval, timeout = (value / 1000 if isinstance(value, int | float) else None for value in seconds)
        welcome = Welcome(cursor, lost, interval, timeout)
        join = self._options.join
        return (Reply(self.event(join, self._room)), welcome) if join and not recovered else (welcome,)

    def _event(self, content: Any, id: str | None) -> Sequence[Incoming]:
        if not isinstance(content, list) or not content or not isinstance(content[0], str):
            raise TypeError("an event without a name")
        name, *arguments = content
        offset = ""
        shape = self._options.reads.get(name)
        if self._pid and arguments and isinstance(arguments[-1], str) and len(arguments) > len(shape or ()):
            offset = f"{_SESSION}{self._pid}.{arguments.pop()}"
        acks: tuple[Incoming, ...] = () if id is None else (Reply(self._packet("3", [], int(id))),)
        if shape is None:
            sender = arguments[0] if arguments and isinstance(arguments[0], str) else ""
            return (*acks, ChatEvent(_event_type(name), sender=sender, payload=arguments))
        return (*acks, read_message(shape, arguments, offset))

    def _refusal(self, content: Any) -> Refused:
        """Return the refusal of a connect error; its `data` may have a `status`."""
        if isinstance(content, str):
            content = {"message": content}
        message, data = content.get("message"), content.get("data")
        reason = message if isinstance(message, str) else self._packet("4", content)
        status = data.get("status") if isinstance(data, dict) else None
        if reason == _NO_SUCH_NAMESPACE:
            return Refused(f"the server has no namespace {self._options.namespace!r}", 404)
        valid = type(status) is int and 400 <= status < 600
        return Refused(reason, status if valid else 401)


def _event_type(name: str) -> str:
    return f"server:{name}" if name in _OWN_EVENTS else name
