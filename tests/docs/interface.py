"""Makes `docs/interface.md`, the public names, from their signatures, types and docstrings.

python -m tests.docs.interface --write
"""

from __future__ import annotations

import enum
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chatlab
from chatlab import ChatTransport, Receipt, Run
from chatlab.settings import HttpConfig, Settings, TransportConfig
from tests.docs.tables import first_sentence, prose, settings_table

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
        "Receipt",
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
    "Server and parser": ["EmbeddedServer", "EventStreamParser"],
    "Scenarios and runs": ["Scenario", "Run", "run", "compare", "sweep", "backoff_delays"],
    "The panel": ["ChatPanel"],
    "Errors": ["ChatSendError", "ConnectError", "InvalidMessage", "OutboxFull", "SettingsError", "TryAgain"],
}
BASES: dict[str, type] = {
    "WebSocketConfig": TransportConfig,
    "SSEConfig": HttpConfig,
    "LongPollingConfig": HttpConfig,
    "ShortPollingConfig": HttpConfig,
}

STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}

BEGINNING = f"""\
# The interface

`from chatlab import …` has these names. What is here is kept stable; the rest of the package is free to
change. A name is loaded when it is first used, so `import chatlab` takes no time, and the panel needs
ipywidgets only then. Plots are in `chatlab.plots`, explorers with sliders in `chatlab.widgets.explorers`,
and [scenarios](scenarios.md) have a page of their own.

Durations are seconds. Tables show settings as TOML has them: `"none"` is Python's None, but where it is a
choice of its own.

This page is made from signatures and docstrings by `{WRITE}`.
"""


def page() -> str:
    """Return the page."""
    lines = [BEGINNING]
    for title, names in GROUPS.items():
        lines += [f"## {title}", ""]
        if title == "Settings":
            lines += _common_settings()
        for name in names:
            lines += _entry(name)
    return "\n".join(lines)


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
        lines += ["Made and used as a [ChatTransport](#chattransport).", ""]
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
        "### What all transports have",
        "",
        prose(TransportConfig),
        "",
        *settings_table(TransportConfig),
        "Those over HTTP also have `request_timeout`, 10 seconds by default.",
        "",
    ]


def members(kind: type, beyond: type = object) -> list[str]:
    """Return a class's own public methods and properties, each with its first sentence."""
    told = []
    for name, member in _own(kind):
        if name.startswith("_") or hasattr(beyond, name):
            continue
        if isinstance(member, property):
            told.append(f"- `{name}`: {first_sentence(member)}")
        else:
            function = member.__func__ if isinstance(member, staticmethod | classmethod) else member
            waited = "await " if inspect.iscoroutinefunction(function) else ""
            told.append(f"- `{waited}{name}{signature(function)}`: {first_sentence(function)}")
    return [*told, ""] if told else []


def _own(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield what a class defines that is documented and can be used, in the order of its source."""
    for name, member in vars(kind).items():
        if isinstance(member, property | staticmethod | classmethod) or inspect.isfunction(member):
            yield name, member


def signature(function: Any) -> str:
    """Return a signature as it is written, without annotations' quotes and what isn't meant for callers."""
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


def _written(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:chatlab|datetime|typing)(?:\.\w+)*\.(?=\w)", "", text)


def _value(default: Any) -> str:
    return default.__name__ if inspect.isfunction(default) else repr(default)


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
