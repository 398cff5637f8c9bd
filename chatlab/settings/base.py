"""The base class of settings, which are frozen and validated on creation, and the types of their fields."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Literal, Self, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from chatlab.errors import SettingsError
from chatlab.text import quoted

Count = Annotated[int, Meta(ge=0)]
Size = Annotated[int, Meta(ge=1)]
Duration = Annotated[float, Meta(ge=0, le=1e9)]
PositiveDuration = Annotated[float, Meta(gt=0, le=1e9)]
Jitter = Literal["seed", "none", "proportional", "equal", "full", "decorrelated", "capped-10%"]
Overflow = Literal["drop-oldest", "drop-newest", "reject", "wait"]
HeartbeatMode = Literal["json", "ping", "none", "server", "both"]
Verdict = Literal["retry", "give up", "stop"]
FailureKey = Annotated[
    str, Meta(pattern=r"^((close|http|answer)( \d{3,4})?|refused|dns|timeout|reset|tls|protocol)$")
]
Name = Annotated[str, Meta(min_length=1, max_length=200)]

_KINDS = {"float": "a number", "int": "a whole number", "str": "a text", "bool": "True or False"}
_WORDS = [
    (re.compile(pattern), words)
    for pattern, words in (
        (r" > ([-\d.e+]+)", r" above \1"),
        (r" < ([-\d.e+]+)", r" below \1"),
        (r" >= ([-\d.e+]+)", r" of at least \1"),
        (r" <= ([-\d.e+]+)", r" of at most \1"),
        (r"length of at least 1\b", "at least one character"),
        (r"length of at most (\d+)", r"at most \1 characters"),
    )
]
_EXPECTED = re.compile(r"Expected `(\w+)( \| null)?`(, got `[\w |]+`)?")

_fields = cache(msgspec.structs.fields)  # It evaluates a class's annotations at each call.

CAPPED = "capped-10%"
"""Another name of the jitter `seed`."""
JITTERS: tuple[str, ...] = tuple(name for name in get_args(Jitter) if name != CAPPED)
OVERFLOWS: tuple[str, ...] = get_args(Overflow)


class Settings(Struct, frozen=True, kw_only=True):
    """Settings that are validated against their annotations.

    Errors: `SettingsError` with the class, the field and its valid values.
    """

    def __post_init__(self) -> None:
        for field in _fields(type(self)):
            try:
                value = msgspec.convert(getattr(self, field.name), field.type)
            except msgspec.ValidationError as error:
                wanted = choices_of(field.type)
                what = f"choose one of {', '.join(wanted)}" if wanted else plain_error(str(error))
                got = quoted(getattr(self, field.name))
                raise SettingsError(f"{type(self).__name__}.{field.name}: {what}, got {got}") from None
            msgspec.structs.force_setattr(self, field.name, value)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return msgspec.structs.replace(self, **changes)


def choices_of(annotation: Any) -> tuple[str, ...]:
    """Return the strings that a field's annotation lists; empty if it lists none."""
    if get_origin(annotation) is Literal:
        return tuple(map(str, get_args(annotation)))
    return tuple(choice for part in get_args(annotation) for choice in choices_of(part))


def plain_error(error: str) -> str:
    """Return msgspec's error about a number or a text in plain words; any other error unchanged."""
    found = _EXPECTED.match(error)
    if found is None or found[1] not in _KINDS:
        return error
    rest = error[found.end() :]
    for pattern, words in _WORDS:
        rest = pattern.sub(words, rest)
    return f"give {_KINDS[found[1]]}{' or None' if found[2] else ''}{rest}"
