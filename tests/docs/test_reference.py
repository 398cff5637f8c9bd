"""The pages that are made from types and docstrings are up to date, and leave nothing out."""

from __future__ import annotations

import re
from typing import get_args

import msgspec
import pytest
from msgspec.inspect import FloatType, UnionType, type_info

import chatlab
from chatlab import Scenario
from chatlab.settings import Settings
from chatlab.sim.faults import AnyFault
from tests.docs import interface, scenarios
from tests.docs.tables import SECONDS, UNITS, fields_in_a_line, settings_table, words


def test_the_interface_has_every_public_name_once() -> None:
    names = [name for group in interface.GROUPS.values() for name in group]
    assert sorted(names) == sorted(chatlab.__all__)


def test_the_interface_is_up_to_date() -> None:
    assert interface.PAGE.read_text(encoding="utf-8") == interface.page(), f"run `{interface.WRITE}`"


def test_every_public_name_says_what_it_is() -> None:
    entries = re.split(r"^### ", interface.page(), flags=re.MULTILINE)[1:]
    assert [entry for entry in entries if not re.search(r"^[A-Z`].*\.", entry, flags=re.MULTILINE)] == []


def test_the_scenario_reference_is_up_to_date() -> None:
    assert scenarios.PAGE.read_text(encoding="utf-8") == scenarios.page(), f"run `{scenarios.WRITE}`"


def test_the_scenario_reference_has_every_field_of_every_fault() -> None:
    page = scenarios.page().partition("## `[[faults]]`")[2].partition("| kind |")[2]
    for fault in get_args(AnyFault):
        (row,) = re.findall(rf"^\| `{fault.__struct_config__.tag}` \|.*$", page, re.MULTILINE)
        own = [field.name for field in msgspec.structs.fields(fault) if f"`{field.name}`" not in row]
        assert set(own) <= {"at", "share", "people"}


def test_one_of_each_fault_is_a_scenario() -> None:
    (text,) = re.findall(r"^```toml\n(duration.*?)^```$", scenarios.page(), re.MULTILINE | re.DOTALL)
    assert [type(fault) for fault in Scenario.from_toml(text).faults] == list(get_args(AnyFault))


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
