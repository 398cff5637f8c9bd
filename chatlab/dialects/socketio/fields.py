"""The table that maps the arguments of an event to the fields of a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chatlab.errors import SettingsError
from chatlab.messages import ChatMessage
from chatlab.settings import TransportConfig
from chatlab.text import quoted

Shape = Sequence[str | Mapping[str, str]]
"""The fields of an event's arguments: a field's name, or a mapping from an object's keys to fields."""

FIELDS = ({"id": "id", "sender": "sender", "text": "text", "client_id": "client_id"},)
"""The default shape of a received message."""
OWN_FIELDS = ({"sender": "sender", "text": "text", "client_id": "client_id"},)
"""The default shape of a sent message."""


SENT = frozenset({"sender", "text", "client_id", "room"})
RECEIVED = frozenset({"id", "sender", "text", "client_id"})


def check(name: str, shape: Shape, known: frozenset[str]) -> None:
    """Check the fields of a shape.

    Errors: `SettingsError` that lists the fields.
    """
    for place in shape:
        for field in (place,) if isinstance(place, str) else place.values():
            if field not in known:
                fields = ", ".join(sorted(known))
                raise SettingsError(
                    f"SocketIODialect.{name}: there is no field {quoted(field)}; choose of {fields}"
                )


def filled(place: str | Mapping[str, str], fields: Mapping[str, str], config: TransportConfig) -> Any:
    """Return the argument of a sent event."""
    known = {**fields, "room": config.room}
    if isinstance(place, str):
        return known[place]
    return {key: known[field] for key, field in place.items()}


def read_message(shape: Shape, arguments: Sequence[Any], offset: str) -> ChatMessage:
    """Return the message of an event. A text in the place of an object is the message's text.

    Errors: `ValueError` and `TypeError` if the arguments have another shape.
    """
    fields: dict[str, Any] = {}
    for place, value in zip(shape, arguments, strict=False):
        if isinstance(place, str):
            fields[place] = value
        elif isinstance(value, str):
            fields["text"] = value
        else:
            fields |= {field: value[key] for key, field in place.items() if value.get(key) is not None}
    content = fields.pop("text", None)
    known: dict[str, Any] = {
        name: str(value) if type(value) is int else value for name, value in fields.items()
    }
    for name, value in known.items():
        if not isinstance(value, str):
            raise TypeError(f"the message's {name} is no text")
    known["id"] = known.get("id") or offset
    if isinstance(content, bytes):
        return ChatMessage(data=content, **known)
    if not isinstance(content, str):
        raise TypeError("an event without a text")
    return ChatMessage(text=content, **known)


def attach(content: Any, attached: Sequence[bytes]) -> Any:
    """Return the content with each placeholder replaced by its bytes."""
    if isinstance(content, list):
        return [attach(item, attached) for item in content]
    if isinstance(content, dict):
        if content.get("_placeholder") is True:
            return attached[content["num"]]
        return {key: attach(item, attached) for key, item in content.items()}
    return content
