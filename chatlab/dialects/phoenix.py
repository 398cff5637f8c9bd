"""The `phoenix` dialect: a topic of Phoenix channels, with version 2 of their JSON serializer.

Each frame is a list `[join_ref, ref, topic, event, payload]`:

    client → server   ["1","1","room:lobby","phx_join",{"sender":…}]
                      ["1",client_id,"room:lobby","new_msg",{"body":…,"sender":…,"client_id":…}]
                      [null,"beat3","phoenix","heartbeat",{}]
    server → client   ["1",ref,topic,"phx_reply",{"status":"ok"|"error","response":{…}}]
                      ["1",null,topic,"phx_error"|"phx_close",{}]       the channel crashed, or was closed
                      [null,null,topic,"new_msg",{…}]                   a broadcast; or any other event

The reply to the join lets the reader in. A reply to a message is its ack or nack; so is the message's own
broadcast, if it has the `client_id`. A server that neither replies nor passes the `client_id` on needs
`acks=False`. If payloads have an `id`, that of the last one goes with the next join as `after`. Otherwise
each reconnect is a `resync`, since Phoenix keeps no messages.

The configured URL is the socket's, such as `ws://host/socket`. The header `token`, or a bearer token in
`Authorization`, becomes the parameter `token`, as `connect/3` expects it.

Source: Phoenix 1.7, `Phoenix.Socket.V2.JSONSerializer` and "Writing a Channels Client".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from chatlab.dialects.base import (
    Ack,
    Credentials,
    Dialect,
    Incoming,
    Nack,
    Opening,
    Refused,
    ServerPong,
    Welcome,
    excerpt,
    unreadable,
)
from chatlab.messages import ChatEvent, ChatMessage, OutgoingMessage
from chatlab.settings import TransportConfig

_JOIN, _BEAT, _SYSTEM = "1", "beat", "phoenix"
JOINED = "phoenix"
"""The cursor of a reader that has joined, and has read no message with an id."""
_REFUSALS = {"unauthorized": 401, "unmatched topic": 404}
"""Reasons of a refused join that are usual, and the nearest HTTP statuses; others are 403."""
_encode = msgspec.json.Encoder().encode
_Frame = tuple[str | None, str | None, str, str, Any]
_decode = msgspec.json.Decoder(_Frame).decode


class _Message(msgspec.Struct):
    """A message's payload. Its text has a name of the server's choice, and is read apart."""

    sender: str = ""
    client_id: str = ""
    id: str | int = ""
    data: bytes | None = None


class _Status(msgspec.Struct):
    status: str
    response: Any = None


class PhoenixDialect(Dialect):
    """A topic of a Phoenix server. `topic` is a template with `{room}`; `event` the name of messages, and
    `text` the key of their text."""

    name = "phoenix"
    idempotent = False
    greets = True
    heartbeat = "json"

    def __init__(
        self, *, topic: str = "room:{room}", event: str = "new_msg", text: str = "body", acks: bool = True
    ) -> None:
        self._topic = topic
        self._event = event
        self._text = text
        self.acks = acks
        self._resumes = False

    def for_connection(self) -> PhoenixDialect:
        return PhoenixDialect(topic=self._topic, event=self._event, text=self._text, acks=self.acks)

    def credentials(self, headers: Mapping[str, str]) -> Credentials:
        others, query = dict(headers), {}
        for name, value in headers.items():
            kind, _, token = value.partition(" ")
            if name.lower() == "token":
                query["token"] = others.pop(name)
            elif name.lower() == "authorization" and kind.lower() == "bearer":
                del others[name]
                query["token"] = token.strip()
        return Credentials(others, query)

    def opening(self, config: TransportConfig, cursor: str | None) -> Opening:
        self._resumes = cursor == JOINED
        after = {} if cursor in (None, JOINED) else {"after": cursor}
        person = {"sender": config.sender, **after}
        join = self._frame(config, _JOIN, "phx_join", person)
        return Opening("/websocket", {"vsn": "2.0.0"}, frames=(join,))

    def encode(self, config: TransportConfig, message: OutgoingMessage) -> str:
        note: dict[str, Any] = {
            self._text: message.text,
            "sender": config.sender,
            "client_id": message.client_id,
        }
        if message.data is not None:
            note["data"] = message.data
        return self._frame(config, message.client_id, self._event, note)

    def _frame(self, config: TransportConfig, ref: str, event: str, payload: Mapping[str, Any]) -> str:
        topic = self._topic.format(room=config.room)
        return _encode((_JOIN, ref, topic, event, payload)).decode()

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        if isinstance(frame, bytes):
            return (unreadable("binary payloads aren't read", frame),)
        try:
            _, ref, topic, event, payload = _decode(frame)
            if event == "phx_reply":
                return self._reply(ref or "", topic, payload)
            if event in ("phx_error", "phx_close"):
                why = "the channel crashed" if event == "phx_error" else "the channel was closed"
                return (Refused(why),)
            if event == "presence_diff":
                return _presence(payload)
            if event != self._event:
                return (ChatEvent(f"server:{event}" if event in _LOCAL else event, payload=payload),)
            known = msgspec.convert(payload, _Message)
            text = payload.get(self._text, "")
            if not isinstance(text, str):
                return (unreadable(f"the payload's {self._text!r} isn't text", frame),)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, AttributeError) as error:
            return (unreadable(str(error), frame),)
        return (ChatMessage(str(known.id), known.sender, text, known.client_id, None, known.data),)

    def _reply(self, ref: str, topic: str, payload: Any) -> Sequence[Incoming]:
        """Return the answer to a join, a heartbeat or a message."""
        reply = msgspec.convert(payload, _Status)
        if topic == _SYSTEM:
            number = ref.removeprefix(_BEAT)
            return (ServerPong(int(number)),) if number.isascii() and number.isdecimal() else ()
        if reply.status == "ok":
            welcome = Welcome(cursor=JOINED, resync=self._resumes)
            return (welcome,) if ref == _JOIN else (Ack(ref),)
        said = reply.response
        if isinstance(said, dict):
            said = said.get("reason", said)
        reason = excerpt(said if isinstance(said, str) else _encode(said))
        if ref == _JOIN:
            return (Refused(f"the server refuses the join: {reason}", _REFUSALS.get(reason, 403)),)
        return (Nack(ref, 422, reason),)

    def ping(self, id: int) -> str:
        return _encode((None, f"{_BEAT}{id}", _SYSTEM, "heartbeat", {})).decode()


_LOCAL = frozenset(
    {"connection", "edit", "message", "overrun", "presence", "redaction", "resync", "unreadable"}
)
"""Types of events that chatlab gives itself."""


class _Diff(msgspec.Struct):
    joins: dict[str, Any] = {}
    leaves: dict[str, Any] = {}


def _presence(payload: Any) -> Sequence[Incoming]:
    """Return who came and who left. Source: `Phoenix.Presence`."""
    diff = msgspec.convert(payload, _Diff)
    changes = [(name, "joined") for name in diff.joins] + [(name, "left") for name in diff.leaves]
    return [ChatEvent("presence", sender=name, payload={"state": state}) for name, state in changes]
