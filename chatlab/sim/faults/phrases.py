"""Faults as a person types them: `down at 10 for 5`, `latency 0.3 jitter 0.1 for 20`, `http error 503`.

A phrase is a kind of fault, the values of its own settings in their order or by name, `at` a time and `for` a
duration, all in seconds. Several phrases are separated by semicolons or line breaks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import get_args

import msgspec

from chatlab.errors import SettingsError
from chatlab.settings.base import choices_of
from chatlab.sim.faults import AnyFault
from chatlab.sim.faults.base import Fault
from chatlab.text import quoted, short_name

UNTIL_ENDED = 1e8
"""Duration in seconds of a fault that lasts until somebody ends it."""
KINDS: Mapping[str, type[Fault]] = {kind.__struct_config__.tag: kind for kind in get_args(AnyFault)}
"""The kinds of faults by their names in scenarios."""
SHORT: Mapping[str, str] = {"down": "server_down", "restart": "server_restart", "reset": "connection_reset"}
"""Shorter names of kinds."""
_COMMON = (*Fault.__struct_fields__, "duration")
_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
EXAMPLE = "such as “down at 10 for 5” or “latency 0.3 for 20”"


def settings_of(kind: type[Fault]) -> Sequence[msgspec.structs.FieldInfo]:
    """Return the settings that only this kind of fault has, in their order."""
    return [field for field in msgspec.structs.fields(kind) if field.name not in _COMMON]


def lasts(kind: type[Fault]) -> bool:
    """Return whether this kind of fault has a duration."""
    return "duration" in kind.__struct_fields__


def read_faults(text: str) -> list[Fault]:
    """Return the faults of a text. One without a duration lasts until it is ended.

    Errors: `SettingsError` with the phrase that can't be read, and why.
    """
    phrases = [phrase.strip() for phrase in re.split(r"[;\n]", text) if phrase.strip()]
    if not phrases:
        raise SettingsError(f"give a fault, {EXAMPLE}")
    return [_read(phrase) for phrase in phrases]


def _read(phrase: str) -> Fault:
    kind, words = _kind(phrase)
    where = f"{quoted(phrase)}: "
    own = {field.name: field for field in settings_of(kind)}
    values: dict[str, object] = {"at": 0.0}
    left = list(own)
    while words:
        word = words.pop(0)
        name = {"for": "duration"}.get(word, word)
        if name == "at" or name in own or (name == "duration" and lasts(kind)):
            if not words:
                raise SettingsError(f"{where}give a value after {word!r}")
            word = words.pop(0)
        elif left and (_is_number(word) or word in choices_of(own[left[0]].type)):
            name = left[0]
        else:
            raise SettingsError(f"{where}{_confused(kind, word, list(own))}")
        values[name] = _value(word, words, own.get(name))
        if name in left:
            left.remove(name)
    if lasts(kind) and "duration" not in values:
        values["duration"] = UNTIL_ENDED
    for field in settings_of(kind):
        if field.required and field.name not in values:
            raise SettingsError(f"{where}give its {field.name}, such as “{kind_name(kind)} {_sample(field)}”")
        value = values.get(field.name)
        if isinstance(value, float) and value.is_integer() and int in _types(field.type):
            values[field.name] = int(value)
    try:
        return kind(**values)  # type: ignore[arg-type]  # It checks them itself.
    except SettingsError as error:
        raise SettingsError(f"{where}{str(error).partition('.')[2]}") from None


def _kind(phrase: str) -> tuple[type[Fault], list[str]]:
    """Return the kind that a phrase begins with, and its other words."""
    words = re.sub(r"(?<=[a-z])[-_](?=[a-z])", " ", phrase.lower().replace(",", " ")).split()
    for name in sorted([*KINDS, *SHORT], key=len, reverse=True):
        parts = name.split("_")
        if words[: len(parts)] == parts:
            return KINDS[SHORT.get(name, name)], _joined(words[len(parts) :])
    likely = get_close_matches("_".join(words[:2]), [*KINDS, *SHORT], 1) or get_close_matches(
        words[0], [*KINDS, *SHORT], 1
    )
    hint = f"did you mean {likely[0].replace('_', ' ')}?" if likely else f"choose one of {', '.join(KINDS)}"
    raise SettingsError(f"there is no fault {short_name(phrase)!r}; {hint}")


def _joined(words: list[str]) -> list[str]:
    """Return the words with the names and values of settings that have two words joined again."""
    fields = [field for kind in KINDS.values() for field in settings_of(kind)]
    names = {name for field in fields for name in (field.name, *choices_of(field.type)) if "_" in name}
    joined: list[str] = []
    for word in words:
        if joined and f"{joined[-1]}_{word}" in names:
            joined[-1] += f"_{word}"
        else:
            joined.append(word)
    return joined


def _is_number(word: str) -> bool:
    return _NUMBER.fullmatch(word.removesuffix("s")) is not None


def _value(word: str, words: list[str], field: msgspec.structs.FieldInfo | None) -> object:
    """Return the value in a word; take further values of a list, or a unit, from the `words` after it."""
    choices = () if field is None else choices_of(field.type)
    if field is not None and isinstance(field.default, tuple):
        chosen = [word]
        while words and words[0] in choices:
            chosen.append(words.pop(0))
        return tuple(chosen)
    if words and words[0] == "s":
        words.pop(0)
    if _is_number(word) and word not in choices:
        return float(word.removesuffix("s"))
    return None if word == "none" else word


def _types(annotation: object) -> set[object]:
    """Return the types in an annotation."""
    parts = get_args(annotation)
    return {annotation}.union(*(_types(part) for part in parts))


def _sample(field: msgspec.structs.FieldInfo) -> str:
    return "2000" if field.name == "bandwidth" else "0.5"


def _confused(kind: type[Fault], word: str, own: Sequence[str]) -> str:
    known = [*own, "at", *(["for"] if lasts(kind) else [])]
    return f"{quoted(word)} is none of {', '.join(known)}" if len(known) > 1 else f"{quoted(word)} isn't at"


def kind_name(kind: type[Fault]) -> str:
    """Return the name of a kind of fault as a person reads it."""
    return str(kind.__struct_config__.tag).replace("_", " ")


def phrase_of(fault: Fault, *, at: bool = False, duration: bool = True) -> str:
    """Return the phrase of a fault. Settings with their default values are left out."""
    words = [kind_name(type(fault))]
    for position, field in enumerate(settings_of(type(fault))):
        value = getattr(fault, field.name)
        if field.required or value != field.default:
            words += [_shown(value)] if position == 0 else [field.name, _shown(value)]
    if at and fault.at:
        words += ["at", _shown(fault.at)]
    length = getattr(fault, "duration", None) or 0.0
    if duration and 0 < length < UNTIL_ENDED:
        words += ["for", _shown(length)]
    return " ".join(words)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(value)
    return f"{value:.6g}" if isinstance(value, (int, float)) else str(value)
