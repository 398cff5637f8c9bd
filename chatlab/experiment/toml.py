"""Settings as TOML. Errors name the field and the allowed values; defaults are not written.

TOML has no null: if a setting may be None, the string "none" stands for it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec.inspect import (
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

from chatlab.errors import SettingsError
from chatlab.settings import Settings
from chatlab.settings.base import plain_error
from chatlab.text import cut, did_you_mean, quoted, visible_line

NONE = "none"

_MAX_PARTS = 50
_DEEP_KEY = re.compile(rf"^[ \t\[]*(?:[^\s=.]+[ \t]*\.[ \t]*){{{_MAX_PARTS}}}", re.MULTILINE)
_MAX_MESSAGE = 200
"""Maximum number of characters of a parser's message, which may quote the text."""

S = TypeVar("S", bound=Settings)


def read_toml(text: str, kind: type[S]) -> S:
    """Return the settings of a TOML text.

    Errors: `SettingsError` naming the field, as in `faults[0].kind`, and the allowed values.
    """
    return from_plain(parse_toml(text), kind)


def parse_toml(text: str) -> dict[str, Any]:
    """Return the data of a TOML text: dicts, lists, strings, numbers and times.

    Errors: `SettingsError`.
    """
    text = text.removeprefix("\ufeff")
    if _DEEP_KEY.search(text):  # tomllib would need minutes and gigabytes for it.
        raise SettingsError(f"not valid TOML: a key has more than {_MAX_PARTS} parts")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"not valid TOML: {cut(str(error), _MAX_MESSAGE)}") from None
    except RecursionError:
        raise SettingsError("not valid TOML: its lists or tables are nested too deeply") from None
    except ValueError:  # Python's limit of digits.
        raise SettingsError("not valid TOML: a number has too many digits") from None


def from_plain(raw: Any, kind: type[S]) -> S:
    """Return the settings of TOML's data: dicts, lists, strings and numbers.

    If the class has a function `prepare_table`, it prepares the data first; `finish_table` is its reverse.

    Errors: as `read_toml`.
    """
    prepare: Callable[[Any], Any] | None = getattr(kind, "prepare_table", None)
    try:
        raw = raw if prepare is None else prepare(raw)
        return msgspec.convert(_checked(raw, _type_info(kind), ""), kind)
    except msgspec.ValidationError as error:
        raise SettingsError(_explained(str(error), raw)) from None
    except RecursionError:
        raise SettingsError("the settings are nested too deeply") from None


def write_toml(settings: Settings) -> str:
    """Return the TOML text of the settings, without those at their defaults."""
    return msgspec.toml.encode(to_plain(settings)).decode()


# Reading


_type_info = cache(type_info)  # msgspec computes it anew each time, in 4 ms for a scenario.


def _checked(value: Any, info: Type, path: str) -> Any:
    """Check names and choices, which msgspec's errors don't list, and replace "none" by None or [].

    A name of a kind stands for a table of that kind: "sse" for `{ kind = "sse" }`.
    """
    match info:
        case ListType() | VarTupleType() if value == NONE:
            return []
        case StructType() if isinstance(value, dict):
            return _checked_fields(value, info, path)
        case UnionType(types=types):
            return _checked_union(value, types, path)
        case ListType(item_type=item) | VarTupleType(item_type=item) if isinstance(value, list):
            return [_checked(part, item, f"{path}[{index}]") for index, part in enumerate(value)]
        case TupleType(item_types=items) if isinstance(value, list) and len(value) == len(items):
            return [
                _checked(part, item, f"{path}[{index}]")
                for index, (part, item) in enumerate(zip(value, items, strict=True))
            ]
        case LiteralType(values=values) if type(value) is int and str(value) in values:
            return str(value)  # Who sets 503 means "503".
        case LiteralType(values=values) if value not in values:
            raise SettingsError(_invalid_choice(path, value, map(str, values)))
    return value


def _checked_union(value: Any, types: Iterable[Type], path: str) -> Any:
    structs = [part for part in types if isinstance(part, StructType)]
    literals = [part for part in types if isinstance(part, LiteralType)]
    if isinstance(value, dict) and structs:
        return _checked_fields(value, _tagged(value, structs, path), path)
    if isinstance(value, str) and not any(isinstance(part, StrType) for part in types):
        choices = [str(choice) for part in literals for choice in part.values]
        if value == NONE and NONE not in choices and any(isinstance(part, NoneType) for part in types):
            return None
        if structs and (field := structs[0].tag_field) and value not in choices:
            choices += [str(part.tag) for part in structs]
            value = {field: value} if value in choices else value
        if choices and isinstance(value, str) and value not in choices:
            raise SettingsError(_invalid_choice(path, value, choices))
    return value


def _tagged(value: dict[str, Any], structs: list[StructType], path: str) -> StructType:
    """Return the struct of a union that the value's tag names."""
    if len(structs) == 1:
        return structs[0]
    field = structs[0].tag_field or ""
    tags = {str(struct.tag): struct for struct in structs}
    where = f"{path}.{field}"
    if field not in value:
        raise SettingsError(f"{where}: it's missing; choose one of {', '.join(tags)}")
    tag = value[field]
    if not isinstance(tag, str) or tag not in tags:
        raise SettingsError(_invalid_choice(where, tag, tags))
    return tags[tag]


def _checked_fields(value: dict[str, Any], struct: StructType, path: str) -> dict[str, Any]:
    fields = {field.encode_name: field for field in struct.fields}
    checked = {}
    for name, item in value.items():
        where = f"{path}.{name}" if path else name
        if name in fields:
            checked[name] = _checked(completed(item, fields[name].default), fields[name].type, where)
        elif name == struct.tag_field:
            if item != struct.tag:
                raise SettingsError(_invalid_choice(where, item, [str(struct.tag)]))
            checked[name] = item
        else:
            raise SettingsError(_unknown_setting(where, name, fields))
    return checked


def completed(value: Any, default: Any, usual: Any = None) -> Any:
    """Return a table merged into the field's default, so that a table sets only the fields that it names.

    A table without a tag has the default's tag. A table with another tag is left as it is. Fields that equal
    those of `usual` are left out, since msgspec fills them in afterwards.
    """
    if not (isinstance(value, dict) and isinstance(default, Settings)):
        return value
    base = to_plain(default, usual)
    tag = default.__struct_config__.tag_field
    if tag in value and value[tag] != base[tag]:
        return value
    defaults = _defaults(type(default))
    return base | {
        name: completed(item, getattr(default, name, None), defaults.get(name))
        for name, item in value.items()
    }


def _unknown_setting(where: str, name: str, fields: Iterable[str]) -> str:
    close = get_close_matches(name[:100], fields, n=1)
    return f"{cut(visible_line(where), _MAX_MESSAGE)}: there is no such setting; " + (
        f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(fields)}"
    )


def _invalid_choice(where: str, value: Any, choices: Iterable[str]) -> str:
    choices = list(choices)
    hint = did_you_mean(quoted(value).strip("'\""), choices)
    return f"{where}: choose one of {', '.join(choices)}, got {quoted(value)}{hint}"


_AT = re.compile(r"(?P<what>.*) - at (?:`key` in )?`\$\.?(?P<path>.*)`", re.DOTALL)
_TOML_WORDS = {
    "Expected `array`": "give a list",
    "Expected `object`": "give a table",
    "Expected `object | null`": "give a table",
    "None": f'"{NONE}"',
}
_CLASS = re.compile(r"[A-Z]\w+(?=(\.\w+)?: )")
"""The class at the beginning of an error that a settings object raised itself."""
_MISSING = re.compile(r"Object missing required field `(\w+)`(?: - at `\$\.?(.*)`)?")


def _explained(error: str, raw: Any) -> str:
    """Return msgspec's error in our order: the field, the allowed values, the value."""
    if missing := _MISSING.fullmatch(error):
        field, path = missing.groups()
        return f"{path}.{field}: it's missing" if path else f"{field}: it's missing"
    if found := _AT.fullmatch(error):
        what, path = found["what"], found["path"]
        if what.startswith("Expected"):
            wanted = plain_error(re.sub(r", got .*", "", what, flags=re.DOTALL))
            for name, words in _TOML_WORDS.items():
                wanted = wanted.replace(name, words)
            what = f"{wanted}, got {quoted(_at(raw, path))}"
        own = _CLASS.match(what)
        return f"{path}{what[own.end() :]}" if own else f"{path}: {what}"
    own = _CLASS.match(error)
    return cut(error[own.end() + 1 :] if own else error, _MAX_MESSAGE)


def _at(raw: Any, path: str) -> Any:
    """Return the value at a path such as `faults[0].at`."""
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", path.replace("[...]", "")):
        raw = raw[int(index)] if index else raw[name]
    return raw


# Writing


def to_plain(value: Any, default: Any = None) -> Any:
    """Return settings as TOML's data, without those that equal `default`, or the defaults of their class."""
    if isinstance(value, Settings):
        config = value.__struct_config__
        plain = {config.tag_field: config.tag} if config.tag_field else {}
        for name, usual in _defaults(type(value)).items():
            item = getattr(value, name)
            compared = getattr(default, name) if type(default) is type(value) else usual
            if item != compared:
                plain[name] = NONE if item is None else to_plain(item, compared)
        finish: Callable[[dict[str, Any]], dict[str, Any]] | None = getattr(value, "finish_table", None)
        return plain if finish is None else finish(plain)
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def to_whole(value: Any) -> Any:
    """Return settings as TOML's data, including defaults other than None.

    So they don't depend on the default of the field into which they are put.
    """
    if isinstance(value, Settings):
        config = value.__struct_config__
        whole = {config.tag_field: config.tag} if config.tag_field else {}
        for name, usual in _defaults(type(value)).items():
            item = getattr(value, name)
            if item is not None:
                whole[name] = to_whole(item)
            elif usual is not None:
                whole[name] = NONE
        return whole
    if isinstance(value, list | tuple):
        return [to_whole(item) for item in value]
    return value


@cache
def _defaults(kind: type[Settings]) -> Mapping[str, Any]:
    """Return the defaults of a class's fields; `NODEFAULT`: none."""
    return {
        field.encode_name: field.default
        if field.default_factory is msgspec.NODEFAULT
        else field.default_factory()
        for field in msgspec.structs.fields(kind)
    }
