"""What settings are: frozen, and checked when they are made; and the kinds of values that they have."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal, Self, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from chatlab.errors import SettingsError

Count = Annotated[int, Meta(ge=0)]
Size = Annotated[int, Meta(ge=1)]
Duration = Annotated[float, Meta(ge=0, le=1e9)]
PositiveDuration = Annotated[float, Meta(gt=0, le=1e9)]
Jitter = Literal["seed", "none", "proportional", "equal", "full", "decorrelated"]
Overflow = Literal["drop-oldest", "drop-newest", "reject", "wait"]
HeartbeatMode = Literal["json", "ping", "none"]
Verdict = Literal["retry", "give up", "stop"]
FailureKey = Annotated[
    str, Meta(pattern=r"^((close|http|answer)( \d{3,4})?|refused|dns|timeout|reset|tls|protocol)$")
]
Name = Annotated[str, Meta(min_length=1, max_length=200)]

_fields = cache(msgspec.structs.fields)  # which reads a class's annotations anew each time

JITTERS: tuple[str, ...] = get_args(Jitter)
OVERFLOWS: tuple[str, ...] = get_args(Overflow)


class Settings(Struct, frozen=True, kw_only=True):
    """Settings that check themselves against their own annotations.

    Errors: `SettingsError` naming the class, the field and what it may be.
    """

    def __post_init__(self) -> None:
        for field in _fields(type(self)):
            try:
                value = msgspec.convert(getattr(self, field.name), field.type)
            except msgspec.ValidationError as error:
                wanted = choices_of(field.type)
                what = f"choose one of {', '.join(wanted)}" if wanted else str(error)
                raise SettingsError(
                    f"{type(self).__name__}.{field.name}: {what}, got {getattr(self, field.name)!r}"
                ) from None
            msgspec.structs.force_setattr(self, field.name, value)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return msgspec.structs.replace(self, **changes)


def choices_of(annotation: Any) -> tuple[str, ...]:
    """Return the strings that a field may be, where its annotation lists them."""
    if get_origin(annotation) is Literal:
        return tuple(map(str, get_args(annotation)))
    return tuple(choice for part in get_args(annotation) for choice in choices_of(part))
