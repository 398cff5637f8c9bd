"""The pages that are generated from types and docstrings are up to date and complete."""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any, get_args

import msgspec
import pytest
from msgspec.inspect import FloatType, UnionType, type_info

import chatlab
from chatlab import Scenario
from chatlab.settings import Settings
from chatlab.sim.faults import AnyFault
from tests.docs import interface, scenarios
from tests.docs.raising import raised_by
from tests.docs.tables import SECONDS, UNITS, WIDTH, fields_in_a_line, fold, settings_table, words


def test_the_interface_has_every_public_name_once() -> None:
    names = [name for group in interface.GROUPS.values() for name in group]
    assert sorted(names) == sorted(chatlab.__all__)


@pytest.mark.parametrize("face", interface.FACES)
def test_the_interface_has_every_name_of_a_face_once(face: str) -> None:
    page = interface.content().partition(f"\n## {face}\n")[2].partition("\n## ")[0]
    told = re.findall(r"^- `(\w+)", page, re.MULTILINE)
    too = re.findall(r"\[(\w+)\]\(#", page.partition("\n- ")[0])
    assert sorted(told + too) == sorted(import_module(face).__all__)
    assert re.findall(r"^ *- `[^`]+`:? *$", page, re.MULTILINE) == []


def test_the_interface_is_up_to_date() -> None:
    assert interface.PAGE.read_text(encoding="utf-8") == interface.page(), f"run `{interface.WRITE}`"


def test_every_public_name_says_what_it_is() -> None:
    entries = re.split(r"^### ", interface.content(), flags=re.MULTILINE)[1:]
    assert [entry for entry in entries if not re.search(r"^[A-Z`].*\.", entry, flags=re.MULTILINE)] == []


OWN_POLICIES = {"compare_policies"}
"""Functions that pass only their own, valid values on."""


def public_calls() -> Iterator[tuple[str, Any, type | None]]:
    """Yield each public function and method, and how a class is made, with its class."""
    for face in ("chatlab", *interface.FACES):
        module = import_module(face)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value) and name not in OWN_POLICIES:
                yield name, value, None
            elif isinstance(value, type) and not getattr(value, "_is_protocol", False):
                for called, member in vars(value).items():
                    function = member.fget if isinstance(member, property) else member
                    function = getattr(function, "__func__", function)
                    if inspect.isfunction(function) and (called == "__init__" or not called.startswith("_")):
                        yield f"{name}.{called}", function, value


@pytest.mark.slow
def test_every_public_call_says_what_it_may_raise() -> None:
    silent = []
    for name, function, owner in public_calls():
        told = inspect.getdoc(owner if name.endswith(".__init__") else function) or ""
        silent += [
            f"{name}: {kind.__name__}" for kind in raised_by(function, owner) if kind.__name__ not in told
        ]
    assert silent == []


@pytest.mark.parametrize(
    "line",
    [
        r"- `await connect\(\)`: .* Errors: `ConnectError` when",
        r"- `await send\(.*`: .* Errors: `OutboxFull` by",
        r"- `load\(path.*`: .* Errors: `SettingsError` naming the file",
        r"- `find_dialect\(.*`: .* Errors: `SettingsError` that lists the names",
    ],
)
def test_the_interface_says_what_a_call_may_raise(line: str) -> None:
    assert re.search(rf"^ *{line}", interface.content(), re.MULTILINE)


def test_every_exception_that_the_interface_names_can_be_caught() -> None:
    named = {
        kind
        for told in re.findall(r"Errors: (.*)", interface.content())
        for kind in re.findall(r"\b[A-Z]\w*(?:Error|Full|Large|Message)\b", told)
    }
    assert {"ConnectError", "OutboxFull", "SettingsError", "OSError"} <= named
    assert named - set(chatlab.__all__) - set(vars(builtins)) == set()


def looks_up(path: str) -> None:
    """Look something up, without a word on errors."""
    try:
        checks(-1)
    except ValueError:
        raises(path)


def checks(number: int) -> None:
    if number < 0:
        raise ValueError(number)


def raises(path: str) -> None:
    raise LookupError(path)


def test_what_a_callee_raises_is_found_unless_it_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    for function in (checks, raises):
        monkeypatch.setattr(function, "__module__", "chatlab.example")
    assert raised_by(looks_up) == {LookupError}
    assert raised_by(checks) == {ValueError}


def test_the_scenario_reference_is_up_to_date() -> None:
    assert scenarios.PAGE.read_text(encoding="utf-8") == scenarios.page(), f"run `{scenarios.WRITE}`"


def test_the_scenario_reference_has_every_field_of_every_fault() -> None:
    page = scenarios.page().partition("## `[[faults]]`")[2].partition("| kind |")[2]
    for fault in get_args(AnyFault):
        (row,) = re.findall(rf"^\| `{fault.__struct_config__.tag}` \|.*$", page, re.MULTILINE)
        own = [field.name for field in msgspec.structs.fields(fault) if f"`{field.name}`" not in row]
        assert set(own) <= {"at", "share", "people", "groups"}


def test_one_of_each_fault_is_a_scenario() -> None:
    (text,) = re.findall(r"^```toml\n(duration.*?)^```$", scenarios.page(), re.MULTILINE | re.DOTALL)
    assert [type(fault) for fault in Scenario.from_toml(text).faults] == list(get_args(AnyFault))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SECONDS | set(UNITS)))
def test_a_unit_is_that_of_a_field(name: str) -> None:
    found = {
        field.name
        for kind in _settings(Settings)
        for field in msgspec.structs.fields(kind)
        if kind.__module__.startswith("chatlab.")
    }
    assert name in found


def _settings(kind: type[Settings]) -> list[type[Settings]]:
    return [kind, *(further for child in kind.__subclasses__() for further in _settings(child))]


class Sample(Settings, frozen=True, kw_only=True):
    """One of each kind of field."""

    duration: float
    bandwidth: float | None = None
    count: int = 3
    kind: str = "a"


def test_a_table_tells_unit_and_default() -> None:
    assert settings_table(Sample)[2:] == [
        "| `duration` | seconds | must be given |",
        '| `bandwidth` | bytes/s, or `"none"` | `"none"` |',
        "| `count` | whole number | `3` |",
        '| `kind` | text | `"a"` |',
        "",
    ]
    assert fields_in_a_line(Sample, Settings).startswith("`duration` (seconds); `bandwidth` (bytes/s, or")


def test_a_float_without_a_unit_is_noticed() -> None:
    with pytest.raises(KeyError, match="weight"):
        words(type_info(float), "weight")
    assert words(UnionType((FloatType(None, None, None, None, None),)), "share") == "number"


def test_a_page_is_folded_at_sentences_then_at_words_and_last_within_code() -> None:
    long, longer = (" ".join(["word"] * count) for count in (26, 27))
    for line, folded in {
        "One. Two, e.g. three. `Four` is code.": ["One.", "Two, e.g. three.", "`Four` is code."],
        "- `a`: One. Two.": ["- `a`: One. Two."],
        f"- `a`: {long}. Two.": [f"- `a`: {long}.", "  Two."],
        f"- `a`: {longer}.": ["- `a`:", f"  {longer}."],
        f"{long} {longer}": [f"{longer} word", long.removeprefix("word ")],
        f"| {long} {long} |": [f"| {long} {long} |"],
        f"```\n{long} {long}\n```": ["```", f"{long} {long}", "```"],
    }.items():
        assert fold(line).split("\n") == folded
    code = f"`call({', '.join(['number: int'] * 12)})`"
    rows = fold(code).split("\n")
    assert " ".join(rows) == code
    assert all(len(row) <= WIDTH and row.endswith((",", "`")) for row in rows)
