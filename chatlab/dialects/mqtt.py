"""The `mqtt` dialect: a topic of an MQTT 3.1.1 broker, over WebSocket.

    client → broker   CONNECT   SUBSCRIBE to the room's topic   PUBLISH   PUBACK   PINGREQ   DISCONNECT
    broker → client   CONNACK   SUBACK (lets the reader in)     PUBLISH   PUBACK (the ack)   PINGRESP

The room is the topic. Brokers pass any content on, so messages have our format (`envelope.py`). Anything else
there is a message of bare text, whose sender is unknown, and of which a second copy can't be recognised. A
broker has no message ids, so there is no cursor, and a client that sends a message again makes a second copy;
readers drop it by sender, client id and content.

With a `client_id` the broker keeps the session, and with QoS 1 it queues messages while its client is away.
Without one the session is clean: messages of the time between two connections are missing, and a `resync`
reports it. The user name and password are the headers `username` and `password`, which go into the CONNECT.

Source: OASIS MQTT Version 3.1.1; tested with mosquitto 2.0.11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from chatlab.dialects.base import (
    Ack,
    Credentials,
    Dialect,
    Incoming,
    Opening,
    Refused,
    Reply,
    ServerPong,
    Welcome,
    unreadable,
)
from chatlab.dialects.envelope import encode_envelope, read_envelope
from chatlab.dialects.mqtt_packets import (
    CONNACK,
    DISCONNECT,
    MAX_ID,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBLISH,
    SUBACK,
    Malformed,
    Packet,
    PacketReader,
    connect,
    packet,
    puback,
    publish,
    read_published,
    subscribe,
)
from chatlab.errors import SettingsError
from chatlab.messages import OutgoingMessage
from chatlab.settings import HeartbeatConfig, TransportConfig, Verdict
from chatlab.text import quoted

SESSION = "mqtt"
"""The cursor of a reader that has been connected, since messages have no ids."""
_SUBSCRIPTION = 1
"""Packet id of the SUBSCRIBE."""
_REFUSALS = {
    1: ("the broker doesn't speak MQTT 3.1.1", 400),
    2: ("the broker doesn't accept the client id", 400),
    3: ("the broker isn't available", 503),
    4: ("the user name or password is wrong", 401),
    5: ("not authorized", 403),
}
"""Return codes of a CONNACK, and the nearest HTTP statuses. Source: §3.2.2.3."""


class MqttDialect(Dialect):
    """A topic of a broker, as one connection sees it.

    `qos` is 0 or 1, for both directions. `retain` asks the broker to keep the latest message for later
    subscribers. `keep_alive` is the seconds, at most 65,535, after which the broker gives up a client that is
    silent; it must be longer than the interval of the heartbeats, and 0 turns it off.

    Errors: `SettingsError` if an argument is out of range.
    """

    name = "mqtt"
    acks = True
    idempotent = False
    greets = True
    heartbeat = "json"  # PINGREQ
    failures: Mapping[str, Verdict] = MappingProxyType({"close 1000": "retry"})  # The broker stops.

    def __init__(
        self, client_id: str = "", *, qos: int = 1, retain: bool = False, keep_alive: int = 120
    ) -> None:
        if qos not in (0, 1):
            raise SettingsError(f"MqttDialect.qos: must be 0 or 1, got {quoted(qos)}")
        if not 0 <= keep_alive <= MAX_ID:
            raise SettingsError(f"MqttDialect.keep_alive: must be 0 to {MAX_ID:,}, got {quoted(keep_alive)}")
        self._client_id = client_id
        self._qos = qos
        self._retain = retain
        self._keep_alive = keep_alive
        self._reader = PacketReader()
        self._sent: dict[int, str] = {}
        self._last_id = _SUBSCRIPTION
        self._resumes = False
        self._session = False
        self._ping_id = 0

    def for_connection(self) -> MqttDialect:
        return MqttDialect(self._client_id, qos=self._qos, retain=self._retain, keep_alive=self._keep_alive)

    def credentials(self, headers: Mapping[str, str]) -> Credentials:
        """Return the CONNECT with the user name and password, and the other headers.

        Errors: `SettingsError` for a password without a user name, or a text above 64 KiB.
        """
        given = {name.lower(): value for name, value in headers.items()}
        user, password = given.get("username"), given.get("password")
        if password is not None and user is None:
            raise SettingsError("headers: MQTT takes a password only with a username")
        others = {name: value for name, value in headers.items() if name.lower() not in _NAMES}
        return Credentials(others, frames=(connect(self._client_id, self._keep_alive, user, password),))

    def opening(self, config: TransportConfig, cursor: str | None) -> Opening:
        """Return the opening of a connection.

        Errors: `SettingsError` if the room is no topic, or heartbeats come more seldom than `keep_alive`.
        """
        if not config.room or set(config.room) & set("+#\0") or len(config.room.encode()) > MAX_ID:
            raise SettingsError(f"room: a topic of MQTT has no + or #, got {quoted(config.room)}")
        beats = getattr(config, "heartbeat", HeartbeatConfig())
        often = beats.enabled and beats.mode in (None, "json", "both") and beats.interval < self._keep_alive
        if self._keep_alive and not often:
            raise SettingsError(
                f"heartbeat: the broker gives up a client without PINGREQ for {self._keep_alive} s; choose a "
                "shorter interval and the mode json, or MqttDialect(keep_alive=0)"
            )
        self._resumes = cursor is not None
        frames = (subscribe(_SUBSCRIPTION, config.room, self._qos),)
        return Opening(protocols=("mqtt",), frames=frames)

    def encode(self, config: TransportConfig, message: OutgoingMessage) -> bytes:
        """Return the PUBLISH of a message. Errors: `SettingsError` if the room's name is above 64 KiB."""
        content = encode_envelope(config.sender, message)
        if not self._qos:
            return publish(config.room, content, retain=self._retain)
        self._last_id = self._last_id % MAX_ID + 1
        while self._last_id in self._sent:
            self._last_id = self._last_id % MAX_ID + 1
        self._sent[self._last_id] = message.client_id
        return publish(config.room, content, self._last_id, retain=self._retain)

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        if isinstance(frame, str):
            return (unreadable("MQTT has binary frames only", frame),)
        items: list[Incoming] = []
        try:
            for got in self._reader.feed(frame):
                items += self._read(got)
        except Malformed as error:
            items.append(Refused(f"the broker's packets can't be read: {error}"))
        return items

    def _read(self, got: Packet) -> Sequence[Incoming]:
        if got.skipped:
            return (unreadable(f"a packet of {got.skipped:,} bytes is too large", got.body),)
        if got.type == PUBLISH:
            return _message(got)
        if len(got.body) < _SIZES.get(got.type, 0):
            return (unreadable("the packet is cut short", got.body),)
        id, code = int.from_bytes(got.body[:2], "big"), got.body[-1] if got.body else 0
        if got.type == PUBACK:
            return (Ack(self._sent.pop(id)),) if id in self._sent else ()
        if got.type == CONNACK:
            self._session = bool(got.body[0] & 1)
            return (_refusal(code),) if code else ()
        if got.type == SUBACK:
            if code & 0x80:
                return (Refused("the broker refuses the subscription to this topic", 403),)
            return (Welcome(cursor=SESSION, resync=self._resumes and not self._session),)
        if got.type == PINGRESP:
            return (ServerPong(self._ping_id),)
        return (unreadable(f"a packet of type {got.type}", got.body),)

    def ping(self, id: int) -> bytes:
        self._ping_id = id  # A PINGRESP has none.
        return packet(PINGREQ, b"")

    def last_frame(self) -> bytes:
        return packet(DISCONNECT, b"")  # Else the broker takes the connection as broken. Source: §3.14.


_NAMES = frozenset({"username", "password"})
_SIZES = {CONNACK: 2, PUBACK: 2, SUBACK: 3}
"""Bytes that these packets have at least."""


def _message(got: Packet) -> Sequence[Incoming]:
    """Return a message, and its acknowledgement with QoS 1."""
    try:
        published = read_published(got)
    except ValueError as error:
        return (unreadable(str(error), got.body),)
    message = read_envelope("", published.content)
    if not published.content:  # An empty retained message removes the one before it. Source: §3.3.1.3.
        return (Reply(puback(published.id)),) if published.id else ()
    return (message, Reply(puback(published.id))) if published.id else (message,)


def _refusal(code: int) -> Refused:
    reason, status = _REFUSALS.get(code, (f"the broker refuses with code {code}", None))
    return Refused(reason, status)
