"""Rendering of lines on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from zlib import crc32

from msgspec.structs import replace
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

from chatlab.messages import ConnectionStatus
from chatlab.terminal.lines import ConsoleLine, clock
from chatlab.terminal.status_line import StatusLine, describe
from chatlab.text import cut, short_name, visible_line

EXCERPT = 60
"""Maximum characters that are repeated of a message that was delivered late."""
NARROWEST = 20
"""Minimum columns of a text."""
SHORTEST_NAME = 6
"""Minimum columns of a name, however narrow the terminal."""
WIDEST_NAMES = 16
"""Columns up to which names are padded to the same width."""

_NAMES = ("ansicyan", "ansimagenta", "ansiblue", "ansiyellow", "ansigreen")
STYLE = Style.from_dict(
    {
        "prompt": "bold",
        "time": "ansibrightblack",
        "own": "bold",
        "mark": "ansigreen",
        "queued": "ansiyellow",
        "notice": "ansibrightblack",
        "warning": "ansired",
        "lost": "ansired",
        "bottom-toolbar": "noreverse",
        "bar": "ansibrightblack",
        "typing": "italic",
        "connected": "ansigreen",
        "connecting": "ansiyellow",
        "reconnecting": "ansiyellow",
        "disconnected": "ansired",
        "error": "ansired",
        **{f"name{number}": colour for number, colour in enumerate(_NAMES)},
    }
)
"""Only colours that every terminal theme defines. No information depends on colour (NO_COLOR)."""
DOTS = {
    ConnectionStatus.CONNECTED: "●",
    ConnectionStatus.CONNECTING: "◌",
    ConnectionStatus.RECONNECTING: "◌",
    ConnectionStatus.DISCONNECTED: "○",
    ConnectionStatus.ERROR: "✗",
}
_BULLETS = {"notice": "·", "warning": "!", "answer": "·"}


class Renderer:
    """Renders lines for a terminal, with the texts aligned in a column."""

    def __init__(self) -> None:
        self._names = 0

    def draw(self, lines: Iterable[ConsoleLine], columns: int) -> StyleAndTextTuples:
        """Return the lines as formatted text, each with a final line feed."""
        drawn: StyleAndTextTuples = []
        for line in merged(lines):
            drawn += self._drawn(line, columns)
        return drawn

    def _drawn(self, line: ConsoleLine, columns: int) -> StyleAndTextTuples:
        head = self._head(line, columns)
        indent = sum(get_cwidth(text) for _, text in head)
        style = f"class:{line.kind}" if line.kind in ("notice", "warning") else ""
        first, *others = wrapped(line.text, columns - indent)
        drawn: StyleAndTextTuples = [*head, (style, f"{first}\n")]
        drawn += [(style, f"{' ' * indent}{row}\n") for row in others]
        if line.kind == "lost":
            rows = wrapped(f"Not delivered: {line.reason}", columns - indent)
            drawn += [("class:lost", f"{' ' * indent}{row}\n") for row in rows]
        return drawn

    def _head(self, line: ConsoleLine, columns: int) -> list[tuple[str, str]]:
        """Return the part before a text. No text can imitate it, since all rows of texts are indented."""
        if line.kind in _BULLETS:
            style = line.kind if line.kind == "warning" else "notice"
            return [(f"class:{style}", f"{_BULLETS[line.kind]}  ")]
        colour = {"queued": "queued", "failed": "lost"}.get(line.state or "", "mark")
        mark = (f"class:{colour}", f"{line.mark:2} ")
        if line.kind not in ("message", "accepted"):
            return [mark]
        time = f"{clock(line.at)}  "
        room = max(columns - NARROWEST - len(time) - 5, SHORTEST_NAME)
        shown = line.name
        while get_cwidth(shown) > room:
            shown = cut(shown, len(shown) - 1)
        width = get_cwidth(shown)
        self._names = max(self._names, min(width, WIDEST_NAMES))
        other = f"name{crc32(line.name.encode()) % len(_NAMES)}"
        name = shown + " " * (max(0, min(self._names, room) - width) + 2)
        whose = "own" if line.kind == "accepted" else other
        return [mark, ("class:time", time), (f"class:{whose}", name)]


def bar(status_line: StatusLine) -> StyleAndTextTuples:
    """Return the status bar."""
    status = status_line.status
    drawn: StyleAndTextTuples = [(f"class:{status.value}", f" {DOTS[status]} ")]
    if status_line.typing:
        who = ", ".join(map(short_name, status_line.typing))
        drawn.append(("class:typing", f"{who} {'is' if len(status_line.typing) == 1 else 'are'} typing… "))
        drawn.append(("class:bar", "· "))
    drawn.append(("class:bar", visible_line(describe(status_line))))
    return drawn


def merged(lines: Iterable[ConsoleLine]) -> Sequence[ConsoleLine]:
    """Return the lines, with consecutive deliveries merged into one short line."""
    result: list[ConsoleLine] = []
    for kind, group in groupby(lines, lambda line: line.kind):
        rows = list(group)
        if kind == "delivered":
            text = cut(visible_line(rows[0].text), EXCERPT)
            more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
            rows = [replace(rows[0], text=text + more)]
        result += rows
    return result


def wrapped(text: str, width: int) -> list[str]:
    """Return the text in rows of at most `width` columns, broken at spaces if possible."""
    width = max(width, NARROWEST)
    rows: list[str] = []
    for paragraph in text.split("\n"):
        row, columns = "", 0
        for character in paragraph:
            wide = get_cwidth(character)
            if columns + wide > width:
                head, _, tail = row.rpartition(" ")
                rows.append(head or row)
                row = tail if head else ""
                columns = get_cwidth(row)
            row += character
            columns += wide
        rows.append(row)
    return rows
