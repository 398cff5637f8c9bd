"""`docs/interface.md`, made from the signatures, types and docstrings of the public names.

python -m tests.docs.interface --write
"""

from __future__ import annotations

import ast
import enum
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

from msgspec.inspect import type_info

import chatlab
from chatlab import ChatTransport, Receipt, Run
from chatlab.settings import HttpConfig, Settings, TransportConfig
from tests.docs.tables import errors, first_sentence, fold, prose, settings_table, words

PAGE = Path(__file__).parents[2] / "docs" / "interface.md"
WRITE = "python -m tests.docs.interface --write"

GROUPS: dict[str, list[str]] = {
    "Transports": [
        "ChatTransport",
        "WebSocketTransport",
        "SSETransport",
        "LongPollingTransport",
        "ShortPollingTransport",
        "FallbackTransport",
        "make_config",
        "make_transport",
        "MatrixLogin",
        "Receipt",
        "probe",
        "Probe",
    ],
    "Settings": [
        "WebSocketConfig",
        "SSEConfig",
        "LongPollingConfig",
        "ShortPollingConfig",
        "FallbackConfig",
        "ReconnectConfig",
        "HeartbeatConfig",
        "OutboxConfig",
    ],
    "Messages and events": [
        "OutgoingMessage",
        "ChatMessage",
        "ChatEvent",
        "StatusChange",
        "ConnectionStatus",
        "DeliveryState",
    ],
    "Server and parser": ["EmbeddedServer", "EventStreamParser", "StreamEvent"],
    "Scenarios and runs": [
        "Scenario",
        "Run",
        "run",
        "compare",
        "sweep",
        "find",
        "Found",
        "fit",
        "Fitted",
        "backoff_delays",
    ],
    "The panel": ["ChatPanel", "SideBySide", "SlowMotion"],
    "Errors": [
        "ChatSendError",
        "ConnectError",
        "EventTooLarge",
        "InvalidMessage",
        "LoginRefused",
        "OutboxFull",
        "SettingsError",
        "StoreError",
        "TryAgain",
    ],
}
"""The names of `chatlab`, by purpose."""
FACES: dict[str, str] = {
    "chatlab.settings": "the types of settings, for settings of your own",
    "chatlab.faults": "the faults of scenarios, and a proxy that injects faults into real connections",
    "chatlab.dialects": "the wire formats of servers, and the base classes of your own",
    "chatlab.experiment": "the parts of scenarios, ready-made scenarios, the wire world",
    "chatlab.studies": "closed forms, published models and small experiments",
    "chatlab.transports": "the state machines of the transports, their events and effects",
    "chatlab.plots": "plots, on `ax=` or a new figure",
    "chatlab.widgets.explorers": "plots that follow sliders",
    "chatlab.widgets.guesses": "questions that take a guess before they show the answer",
}
"""The other public modules, and the purpose of each."""
BASES: dict[str, type] = {
    "WebSocketConfig": TransportConfig,
    "SSEConfig": HttpConfig,
    "LongPollingConfig": HttpConfig,
    "ShortPollingConfig": HttpConfig,
}

STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}

BEGINNING = f"""\
# The interface

The names on this page are stable; the rest of the package may change.
Import only from these public modules:

{{faces}}

A name is loaded when it is first used, so `import chatlab` takes no time.
Only the panel and the explorers need ipywidgets.
[Scenarios](scenarios.md) and [dialects](dialects.md) have pages of their own.

Durations are seconds.
Tables show settings as in TOML: `"none"` is Python's None, unless it is a choice of its own.

*Errors* are the exceptions that a call may raise; a call without that word raises none of its own.
Settings are validated when they are created.
A `SettingsError` names the class, the field and its valid values.

This page is generated from signatures and docstrings by `{WRITE}`.
"""


def page() -> str:
    """Return the page."""
    return fold(content())


@cache
def content() -> str:
    """Return the page with each entry on one line."""
    faces = {"chatlab": "transports, settings, messages, server, scenarios, runs and the panel", **FACES}
    lines = [BEGINNING.format(faces="\n".join(f"- `{face}`: {told}" for face, told in faces.items()))]
    for title, names in GROUPS.items():
        lines += [f"## {title}", ""]
        if title == "Settings":
            lines += _common_settings()
        for name in names:
            lines += _entry(name)
    for face in FACES:
        lines += _face(face)
    return "\n".join(lines)


def _face(face: str) -> list[str]:
    """Return the section of a module, a line for each name that `chatlab` doesn't have."""
    module = import_module(face)
    too = [f"[{name}](#{name.lower()})" for name in module.__all__ if name in chatlab.__all__]
    lines = [f"## {face}", "", prose(module), ""]
    lines += [f"Also here: {', '.join(too)}.", ""] if too else []
    for name in module.__all__:
        if name not in chatlab.__all__:
            lines += _line(module, name)
    return [*lines, ""]


def _line(module: Any, name: str) -> list[str]:
    """Return the description of a name, and below a class its methods."""
    value = getattr(module, name)
    if not isinstance(value, type) and not inspect.isfunction(value):
        return [f"- `{name}`: {_data(module, name, value)}"]
    made = isinstance(value, type) and (issubclass(value, Settings | enum.Enum) or inspect.isabstract(value))
    made = made or getattr(value, "_is_protocol", False)
    lines = [f"- `{name}{'' if made else signature(value)}`: {said(value)}"]
    below = members(value, value.__mro__[1]) if isinstance(value, type) else []
    return [*lines, *(f"  {line}" for line in below if line)]


def _data(module: Any, name: str, value: Any) -> str:
    """Describe a constant or alias by the docstring below it, or by its type."""
    told = _text_under(module, name) or _text_under(import_module(_home(module, name)), name)
    if told:
        return told
    if isinstance(value, tuple | dict):
        return ", ".join(f"`{item}`" for item in value) + "."
    kinds = [kind.__name__ for kind in get_args(value) if isinstance(kind, type)]
    if len(kinds) > 1 and len(kinds) == len(get_args(value)):
        return f"one of {', '.join(f'`{kind}`' for kind in kinds)}."
    return words(type_info(value), "duration" if "Duration" in name else "") + "."


def _home(module: Any, name: str) -> str:
    """Return the module from which a public module imports a name."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and node.module and name in [alias.name for alias in node.names]:
            return node.module
    return str(module.__name__)


def _text_under(module: Any, name: str) -> str:
    """Return the first sentence of the docstring below an assignment."""
    body = ast.parse(inspect.getsource(module)).body
    for node, text in pairwise(body):
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        match text:
            case ast.Expr(value=ast.Constant(value=str(told))) if name in [
                ast.unparse(each) for each in targets
            ]:
                return re.split(r"(?<=\.)\s", " ".join(told.split()), maxsplit=1)[0]
    return ""


def said(described: object) -> str:
    """Return the first sentence of a docstring, and its part on errors."""
    first, raised = first_sentence(described), errors(described)
    return first if not raised or "Errors:" in first else f"{first} Errors: {raised}"


def _entry(name: str) -> list[str]:
    value = getattr(chatlab, name)
    lines = [f"### {name}", ""]
    if isinstance(value, type) and issubclass(value, Settings):
        table = settings_table(value, BASES.get(name)) if name != "Scenario" else []
        return [*lines, prose(value), "", *table, *members(value, Settings)]
    if not isinstance(value, type) or _is_made_by_callers(value):
        lines += [f"`{name}{signature(value)}`", ""]
    lines += [prose(value), ""]
    if isinstance(value, type) and issubclass(value, ChatTransport) and value is not ChatTransport:
        lines += ["Created and used like a [ChatTransport](#chattransport).", ""]
    if isinstance(value, type) and issubclass(value, enum.Enum):
        lines += [", ".join(f"`{item.value}`" for item in value) + ".", ""]
    if isinstance(value, type):
        lines += members(value)
    return lines


def _is_made_by_callers(kind: type) -> bool:
    inherited = issubclass(kind, ChatTransport) and kind is not ChatTransport
    return not inherited and not issubclass(kind, enum.Enum | Exception | Receipt | Run)


def _common_settings() -> list[str]:
    return [
        "### Settings of all transports",
        "",
        prose(TransportConfig),
        "",
        *settings_table(TransportConfig),
        "Transports over HTTP also have `request_timeout`, 10 seconds by default.",
        "",
    ]


def members(kind: type, beyond: type = object) -> list[str]:
    """Return a class's own public methods and properties, each with its first sentence."""
    told = []
    for name, member in _own(kind):
        if name.startswith("_") or hasattr(beyond, name):
            continue
        if isinstance(member, property):
            told.append(f"- `{name}`: {said(member)}")
        else:
            function = member.__func__ if isinstance(member, staticmethod | classmethod) else member
            waited = "await " if inspect.iscoroutinefunction(function) else ""
            told.append(f"- `{waited}{name}{signature(function)}`: {said(function)}")
    return [*told, ""] if told else []


def _own(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the documented public members of a class, in the order of its source."""
    for name, member in vars(kind).items():
        if isinstance(member, property | staticmethod | classmethod) or inspect.isfunction(member):
            yield name, member


def signature(function: Any) -> str:
    """Return a signature without quotes around annotations and without private parameters."""
    try:
        found = inspect.signature(function)
    except ValueError:
        return ""
    parts: list[str] = []
    for parameter in found.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        star = STARS.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f" = {_value(parameter.default)}"
        parts.append(f"{star}{parameter.name}{_annotation(parameter.annotation)}{default}")
    returned = found.return_annotation
    shown = "" if returned in (found.empty, "None", None) else f" -> {_written(returned)}"
    return f"({', '.join(parts)}){shown}"


def _annotation(annotation: Any) -> str:
    return "" if annotation is inspect.Parameter.empty else f": {_written(annotation)}"


_ARRAY = re.compile(
    r"numpy\.ndarray\[(?:Any|typing\.Any|tuple\[(?:typing\.)?Any, \.\.\.\]), "
    r"numpy\.dtype\[numpy\.(\w+)\]\]"
)
"""The spellings of `NDArray` in numpy's versions."""


def _written(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = _ARRAY.sub(r"NDArray[\1]", text)
    return re.sub(r"\b(?:chatlab|datetime|typing)(?:\.\w+)*\.(?=\w)", "", text)


def _value(default: Any) -> str:
    return default.__name__ if inspect.isfunction(default) else repr(default)


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
