"""Dialects are found by name, by entry point, and by `module:Class`."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from chatlab.dialects import DIALECTS, dialect_names, find_dialect
from chatlab.dialects.base import Dialect
from chatlab.dialects.finding import GROUP, find_named
from chatlab.errors import SettingsError
from chatlab.sim.transport_settings import WebSocketSettings

_numbers = itertools.count(1)

MODULE = """
from chatlab.dialects import Dialect

class Board(Dialect):
    name = "board"

class Nameless(Board):
    name = ""

class Severed(Board):
    heartbeat = "sever"

severed = Severed()

class Choosy(Dialect):
    name = "choosy"
    def __init__(self, path):
        self.path = path

class Shelf:
    board = Board()

choosy = Choosy("/x")
number = 7
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module with dialects, which no other test uses."""
    name = f"chatlab_finding_{next(_numbers)}"
    (tmp_path / f"{name}.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def install(folder: Path, package: str, *points: str) -> None:
    """Write the metadata of an installed package with these entry points."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *points, ""]), "utf-8")


def test_dialects_are_found_by_their_names() -> None:
    assert {"chatlab", "text", "nchan"} <= set(DIALECTS)
    assert all(find_dialect(name).name == name for name in DIALECTS)


def test_an_unknown_name_lists_the_known_ones() -> None:
    own = "for one of your own give a module and a class, such as board:BoardDialect"
    with pytest.raises(SettingsError, match=f"no 'morse'; choose one of chatlab, .*text.*; {own}"):
        find_dialect("morse")


def test_a_dialect_of_the_users_own_is_returned_as_it_is() -> None:
    class Own(Dialect):
        name = "own"

    own = Own()
    assert find_dialect(own) is own


def test_a_class_or_an_instance_is_found_in_its_module(module: str) -> None:
    assert find_dialect(f"{module}:Board").name == "board"
    assert find_dialect(f"{module}:Shelf.board").name == "board"
    assert vars(find_dialect(f"{module}:choosy")) == {"path": "/x"}


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("nowhere_at_all:Board", "there is no module 'nowhere_at_all'; is it installed?"),
        ("nowhere_at_all.deep:Board", "there is no module 'nowhere_at_all'; is it installed?"),
        ("{module}.deep:Board", "there is no module '{module}.deep'"),
        ("{module}:Bord", "the module '{module}' has no 'Bord'"),
        ("{module}:Shelf.bord", "the module '{module}' has no 'Shelf.bord'"),
        (
            "{module}:number",
            "{module}:number must be a class derived from chatlab.dialects.Dialect, got a 'int'",
        ),
        (
            "{module}:Shelf",
            "{module}:Shelf must be a class derived from chatlab.dialects.Dialect, got a 'type'",
        ),
        ("{module}:Choosy", "{module}:Choosy can't be made without arguments: TypeError: "),
        (
            "{module}:Nameless",
            "{module}:Nameless: give the name of one, or a Dialect that has a name, got a Nameless",
        ),
        (
            "{module}:severed",
            "{module}:severed: the heartbeat of 'board' must be one of json, ping, none, server, both, "
            "got 'sever'",
        ),
        ("{module}:", "give a name, or a module and a class such as board:BoardDialect, got '{module}:'"),
        (":Board", "give a name, or a module and a class"),
        ("../board.py:Board", "give a name, or a module and a class"),
        ("nowhere_at_all.py:Board", "there is no module 'nowhere_at_all'; give it without .py"),
        ("{module}.py:Board", "there is no module '{module}.py'; give it without .py"),
        ("board:Board()", "give a name, or a module and a class"),
    ],
)
def test_a_wrong_place_is_said_in_a_sentence(module: str, place: str, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        find_dialect(place.format(module=module))
    assert str(raised.value).startswith(f"dialect: {says.format(module=module)}")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def broken(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("raise ValueError('a\\x1b[31m\\n' * 200)", "ValueError: a\\x1b[31m\\na"),
    ],
)
def test_a_module_that_fails_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, says: str
) -> None:
    name = f"chatlab_broken_{next(_numbers)}"
    (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingsError) as raised:
        find_dialect(f"{name}:Board")
    assert str(raised.value).startswith(f"dialect: the module {name!r} can't be imported: {says}")
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 400


def test_installed_packages_offer_dialects_by_name(module: str, tmp_path: Path) -> None:
    install(tmp_path, "boards", f"board = {module}:Board", f"text = {module}:Board", f"bad = {module}:Bord")
    assert {"board", *DIALECTS} <= set(dialect_names())
    assert dialect_names() == sorted(dialect_names())
    assert find_named("board").name == "board"
    assert find_dialect("board").name == "board"
    assert find_dialect("text") is DIALECTS["text"]
    assert WebSocketSettings(dialect="board").dialect == "board"
    with pytest.raises(SettingsError, match=f"the module '{module}' has no 'Bord'"):
        find_dialect("bad")
    with pytest.raises(SettingsError, match=r"no 'bord'; choose one of bad, board, chatlab, .*"):
        find_dialect("bord")


def test_two_packages_with_one_name_are_ambiguous_unless_they_mean_the_same(
    module: str, tmp_path: Path
) -> None:
    install(tmp_path, "one", f"board = {module}:Board")
    install(tmp_path, "two", f"board = {module}:Board")
    assert find_dialect("board").name == "board"
    install(tmp_path, "three", f"board = {module}:Shelf.board")
    with pytest.raises(SettingsError, match=rf"'board' is offered by {module}:.* and by {module}:"):
        find_dialect("board")


def test_a_scenario_imports_no_module(module: str) -> None:
    with pytest.raises(SettingsError, match=f"no '{module}:Board'; .*a scenario takes no module:Class"):
        WebSocketSettings(dialect=f"{module}:Board")
