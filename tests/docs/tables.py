"""Settings as tables, read from the types: the name, values and default of each field."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.inspect import (
    AnyType,
    BoolType,
    DictType,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    NoneType,
    StrType,
    StructType,
    TupleType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

SECONDS = frozenset(
    {
        "arrive_over",
        "at",
        "base_delay",
        "connect_timeout",
        "down",
        "drain",
        "drain_timeout",
        "duration",
        "error_delay",
        "hold",
        "idle_timeout",
        "interval",
        "jitter",
        "keep_alive",
        "latency",
        "max_age",
        "max_delay",
        "max_hold",
        "max_retry_after",
        "median",
        "min_gap",
        "min_retry",
        "p99",
        "pause",
        "period",
        "reconnection_time",
        "ping_interval",
        "ping_timeout",
        "request_timeout",
        "retry_after",
        "schedule",
        "service_time",
        "spread",
        "stable_after",
        "timeout",
        "upgrade_after",
    }
)
UNITS = {
    "accept_rate": "connections/s",
    "backoff_multiplier": "",
    "bandwidth": "bytes/s",
    "burst": "messages",
    "history": "messages",
    "loss": "",
    "max_bytes": "bytes",
    "max_event_size": "bytes",
    "max_frame_size": "bytes",
    "max_in_flight": "messages",
    "max_size": "messages",
    "message_size": "bytes",
    "queue_size": "messages",
    "rate": "per second",
    "send_rate": "messages/s",
    "share": "",
    "size": "bytes",
}
"""Units of numbers other than seconds. Every float is in one of the two; whole numbers may have no unit."""


WIDTH = 140
"""Characters in a line of a page, outside tables and code."""

_SENTENCE_END = re.compile(r"(?<=[.?!])\s+(?=[A-Z`*(\[])")
_SIGNATURE_END = re.compile(r"(?<=`:)\s+")


def prose(described: object) -> str:
    """Return a docstring as Markdown, each paragraph and list item on one line, and indented code fenced."""
    return "\n\n".join(map(_joined, (inspect.getdoc(described) or "").split("\n\n")))


def _joined(paragraph: str) -> str:
    if paragraph.startswith("    "):
        return f"```py\n{textwrap.dedent(paragraph)}\n```"
    return re.sub(r"\s*\n(?!- )\s*", " ", paragraph)


def fold(page: str) -> str:
    """Break a page into one sentence a line, and at most `WIDTH` characters; tables and code stay."""
    lines: list[str] = []
    fenced = False
    for line in page.split("\n"):
        fenced ^= line.startswith("```")
        lines += [line] if fenced or line.startswith(("```", "|", "#", "<")) else _folded(line)
    return "\n".join(lines)


def _folded(line: str) -> list[str]:
    """Break a line between sentences; a list item only if it is too long."""
    text = line.lstrip()
    indent = line[: len(line) - len(text)]
    if not text.startswith("- "):
        return [row for sentence in _SENTENCE_END.split(text) for row in _wrapped(sentence, indent, indent)]
    if len(line) <= WIDTH:
        return [line]
    sentences = _SENTENCE_END.split(text)
    if len(indent + sentences[0]) > WIDTH:
        sentences[:1] = _SIGNATURE_END.split(sentences[0], maxsplit=1)
    hanging = f"{indent}  "
    return [
        row
        for number, sentence in enumerate(sentences)
        for row in _wrapped(sentence, hanging if number else indent, hanging)
    ]


def _wrapped(sentence: str, first: str, hanging: str) -> list[str]:
    """Break a sentence between words, but code only if it fits on no line, and then between parameters; one
    of those only if it fits on no line either, and then before a `|`."""
    limit = WIDTH - len(hanging) - 1

    def protect(code: re.Match[str]) -> str:
        parts = [code[0]] if len(code[0]) <= limit else re.split("(?<=,) ", code[0])
        return " ".join(re.sub(" " if len(part) <= limit else r" (?!\|)", "\0", part) for part in parts)

    rows = textwrap.wrap(
        re.sub(r"`[^`]+`", protect, sentence),
        WIDTH,
        initial_indent=first,
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [row.replace("\0", " ") for row in rows] or [""]


def first_sentence(described: object) -> str:
    """Return the first sentence of a docstring."""
    return re.split(r"(?<=\.)\s", prose(described), maxsplit=1)[0]


def errors(described: object) -> str:
    """Return a docstring's text after "Errors:", to the end of the paragraph."""
    told = re.search(r"\bErrors: (.+)", prose(described))
    return told[1] if told else ""


def settings_table(kind: type, beyond: type | None = None) -> list[str]:
    """Return the table of a class's fields, without those that are the same in the class `beyond`."""
    known = {} if beyond is None else {field.name: repr(field.default) for field in _fields(beyond)}
    own = [field for field in _fields(kind) if known.get(field.name) != repr(field.default)]
    if not own:
        return []
    return [
        "| setting | allowed values | default |",
        "|---|---|---|",
        *(f"| `{field.encode_name}` | {_cell(field)} | {_default(field)} |" for field in own),
        "",
    ]


def fields_in_a_line(kind: type, beyond: type) -> str:
    """Return the fields that the class `beyond` doesn't have, with units and defaults."""
    known = {field.name for field in _fields(beyond)}
    told = []
    for field in _fields(kind):
        if field.name not in known:
            default = "" if field.required else f", default {_default(field)}"
            told.append(f"`{field.encode_name}` ({_cell(field)}{default})")
    return "; ".join(told) or "–"


def _fields(kind: type) -> tuple[msgspec.inspect.Field, ...]:
    info = type_info(kind)
    assert isinstance(info, StructType)
    return info.fields


def _cell(field: msgspec.inspect.Field) -> str:
    return words(field.type, field.encode_name).replace("|", "\\|")


def words(info: Type, name: str = "") -> str:
    """Describe the allowed values, in the unit of a field with that `name`."""
    match info:
        case FloatType():
            unit = "seconds" if name in SECONDS else UNITS[name]
            return " ".join(filter(None, [unit or "number", _bounds(info)]))
        case IntType():
            return " ".join(filter(None, [UNITS.get(name, "whole number"), _bounds(info)]))
        case BoolType():
            return "`true` or `false`"
        case StrType():
            return "text"
        case LiteralType(values=values):
            return ", ".join(f"`{value!r}`".replace("'", '"') for value in values)
        case NoneType():
            return '`"none"`'
        case UnionType(types=types):
            told = ", or ".join(dict.fromkeys(words(part, name) for part in _structs_as_one(types)))
            return told.replace(', or `"none"`', "; or not given") if _none_is_a_choice(types) else told
        case VarTupleType(item_type=item) | ListType(item_type=item):
            return f"list of {words(item, name)}"
        case TupleType(item_types=items):
            return f"[{', '.join(words(item, name) for item in items)}]"
        case DictType(value_type=value):
            return f"table of {words(value, name)}"
        case StructType(cls=kind):
            return f"[{kind.__name__}](#{kind.__name__.lower()})"
        case AnyType():
            return "see above" if name in ("headers", "dialect") else "anything"
        case _:
            raise AssertionError(f"no words for {info}")


def _structs_as_one(types: tuple[Type, ...]) -> Iterator[Type]:
    tagged = [part for part in types if isinstance(part, StructType) and part.tag]
    if len(tagged) > 1:
        yield LiteralType(tuple(str(part.tag) for part in tagged))
    yield from (part for part in types if len(tagged) < 2 or part not in tagged)


def _none_is_a_choice(types: tuple[Type, ...]) -> bool:
    """Return whether "none" is itself a choice, so that it can't stand for None."""
    return any(isinstance(part, LiteralType) and "none" in part.values for part in types)


def _bounds(info: FloatType | IntType) -> str:
    low = f"> {info.gt:g}" if info.gt is not None else f"≥ {info.ge:g}" if info.ge is not None else ""
    high = f"≤ {info.le:g}" if info.le is not None and info.le < 1e9 else ""
    high = f"< {info.lt:g}" if info.lt is not None else high
    return ", ".join(filter(None, [low, high]))


def _default(field: msgspec.inspect.Field) -> str:
    if field.required:
        return "must be given"
    default: Any = field.default
    if default is None and isinstance(field.type, UnionType) and _none_is_a_choice(field.type.types):
        return "not given"
    if default is msgspec.NODEFAULT:
        default = field.default_factory()
    return default_words(default)


def default_words(default: Any) -> str:
    """Return a default as TOML."""
    match default:
        case None:
            return '`"none"`'
        case bool():
            return f"`{str(default).lower()}`"
        case str():
            return f'`"{default}"`'
        case int() | float():
            return f"`{default!r}`"
        case msgspec.Struct():
            changed = [
                f"{field.name} = {getattr(default, field.name)!r}"
                for field in msgspec.structs.fields(type(default))
                if getattr(default, field.name) != field.default
                and field.default_factory is msgspec.NODEFAULT
            ]
            tag = default.__struct_config__.tag
            return f"`{tag}`" if tag else f"its own, but `{', '.join(changed)}`" if changed else "its own"
        case _ if not default:
            return "none"
        case tuple() | list():
            return f"{len(default)} of them" if len(default) > 3 else ", ".join(map(default_words, default))
        case _:
            raise AssertionError(f"no words for {default!r}")
