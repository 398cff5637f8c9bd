"""Private parts of libraries: used in one file each, below an upper version bound, and as that file expects.

A failure names the library, its version, the file that breaks and the names that it misses. After an upgrade,
adapt the file or keep the bound in `pyproject.toml`.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import tomllib
from importlib import import_module
from importlib.metadata import version
from types import ModuleType

import pytest
from packaging.requirements import Requirement

from chatlab.experiment.worlds import httpcore_clock
from chatlab.live.client.websocket_client import WebSocketClient
from chatlab.live.server.connections import Connections
from chatlab.live.server.http_connection import HttpConnection
from chatlab.live.server.websocket_connection import WebSocketConnection
from chatlab.sim.environment import LadderEnvironment
from tests.test_repo import ROOT

MODULES = {
    "httpcore._async.http11": "chatlab/experiment/worlds/httpcore_clock.py",
    "uvicorn.protocols.http.h11_impl": "chatlab/live/server/http_connection.py",
    "uvicorn.protocols.utils": "chatlab/live/server/guard.py",
    "uvicorn.protocols.websockets.websockets_sansio_impl": "chatlab/live/server/websocket_connection.py",
    "uvicorn.server": "chatlab/live/server/connections.py",
}
"""Undocumented modules of libraries, and the one file that may import each."""

CLASSES: dict[type, set[str]] = {
    HttpConnection: {"access_log", "logger"},
    WebSocketConnection: {
        "close_sent",
        "close_timeout",
        "close_timer",
        "last_ping_rtt",
        "logger",
        "ping_interval",
        "ping_timeout",
        "read_paused",
    },
    Connections: {"connections"},
    WebSocketClient: set(),
    LadderEnvironment: {"_now", "_queue"},
}
"""Subclasses that rely on private parts of their base, and the attributes of the base that they set."""

LIBRARIES = {"httpcore", "simpy", "uvicorn", "websockets"}


def base_of(cls: type) -> type:
    """Return the first base class that belongs to a library."""
    return next(base for base in cls.__mro__[1:] if base.__module__.partition(".")[0] != "chatlab")


def library_of(cls: type) -> str:
    return base_of(cls).__module__.partition(".")[0]


def base_names(cls: type, *, of_the_library: bool = False) -> set[str]:
    """Return the attributes that the bases of a class, or those of the library alone, have or give to their
    instances."""
    names = set()
    for base in cls.__mro__[1:]:
        if of_the_library and base.__module__.partition(".")[0] != library_of(cls):
            continue
        names |= vars(base).keys() | getattr(base, "__annotations__", {}).keys()
        if base.__module__.partition(".")[0] in (library_of(cls), "chatlab"):
            names |= set(assigned(base))
    return names


def tree(cls: type) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(cls)))


def own_attributes(cls: type) -> list[ast.Attribute]:
    """Return each `self.name` in the source of a class."""
    return [
        node
        for node in ast.walk(tree(cls))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    ]


def assigned(cls: type) -> set[str]:
    return {node.attr for node in own_attributes(cls) if isinstance(node.ctx, ast.Store)}


def asked_of_super(cls: type) -> set[str]:
    """Return each `super().name` in the source of a class."""
    return {
        node.attr
        for node in ast.walk(tree(cls))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "super"
    }


def missing(cls: type, changed: set[str]) -> list[str]:
    """Return the names that a class expects in its base, but the base lacks."""
    own = vars(cls).keys() | getattr(cls, "__annotations__", {}).keys() | (assigned(cls) - changed)
    used = {node.attr for node in own_attributes(cls)}
    inherited = base_names(cls)
    return sorted(
        ((used - own) | asked_of_super(cls)) - inherited | changed - base_names(cls, of_the_library=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_base_has_what_the_subclass_uses(cls: type) -> None:
    library, file = library_of(cls), cls.__module__.replace(".", "/") + ".py"
    absent = missing(cls, CLASSES[cls])
    assert not absent, f"{library} {version(library)} broke {file}: {base_of(cls)} has no {absent}"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_an_overridden_method_is_called_as_before(cls: type) -> None:
    """Check the call's parameters: another one would end a connection with a TypeError."""
    library = library_of(cls)
    for name, method in vars(cls).items():
        inherited = getattr(base_of(cls), name, None)
        if inspect.isfunction(method) and inspect.isfunction(inherited) and name != "__init__":
            ours, theirs = inspect.signature(method).parameters, inspect.signature(inherited).parameters
            rest = {each.kind for each in ours.values()} >= {
                inspect.Parameter.VAR_POSITIONAL,
                inspect.Parameter.VAR_KEYWORD,
            }
            told = f"{library} {version(library)} broke {cls.__module__}: {name} takes {list(theirs)}"
            assert rest or list(ours) == list(theirs), told


def test_httpcore_asks_its_module_time_for_nothing_but_the_monotonic_clock() -> None:
    http11: ModuleType = import_module("httpcore._async.http11")
    told = f"httpcore {version('httpcore')} broke chatlab/experiment/worlds/httpcore_clock.py"
    assert vars(http11)["time"] is sys.modules["time"], told
    asked = {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(http11)))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "time"
    }
    assert asked == {"monotonic"}, f"{told}: it asks for {asked}"
    with httpcore_clock.httpcore_uses_loop_time():
        assert vars(http11)["time"] is not sys.modules["time"]
    assert vars(http11)["time"] is sys.modules["time"]


def private_imports() -> set[tuple[str, str]]:
    """Return each private module of a library, with the file that imports it."""
    found = set()
    for path in (ROOT / "chatlab").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(node, ast.ImportFrom) or node.level or not node.module:
                continue
            file = path.relative_to(ROOT).as_posix()
            library, *folders = node.module.split(".")
            if any(part.startswith("_") for part in folders) and library != "chatlab":
                found |= {(f"{node.module}.{alias.name}", file) for alias in node.names}
            if library == "uvicorn" and folders:
                found.add((node.module, file))
    return found


@pytest.mark.slow
def test_each_private_module_is_imported_by_one_file() -> None:
    assert private_imports() == set(MODULES.items())


@pytest.mark.parametrize("library", sorted(LIBRARIES))
def test_a_library_with_private_parts_has_an_upper_bound(library: str) -> None:
    lines = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    (wanted,) = [each for each in map(Requirement, lines) if each.name == library]
    assert any(bound.operator == "<" for bound in wanted.specifier)
    assert wanted.specifier.contains(version(library)), f"{library} {version(library)} is beyond {wanted}"


def test_every_library_is_listed() -> None:
    assert {library_of(cls) for cls in CLASSES} | {name.partition(".")[0] for name in MODULES} == LIBRARIES


def test_what_a_base_lost_is_noticed() -> None:
    class Base:
        def kept(self) -> None:
            self.state = 1

    class Sub(Base):
        def kept(self) -> None:
            super().kept()
            super().gone()  # type: ignore[misc]
            self.own = self.state
            self.lost()  # type: ignore[attr-defined]

    assert missing(Sub, {"changed"}) == ["changed", "gone", "lost"]
