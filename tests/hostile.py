"""The tests of each row of bad input, hostile servers and broken networks: `docs/hostile.md`.

    python -m tests.hostile            # report rows without a test
    python -m tests.hostile --write    # write the table

A test covers a row if the row's id stands in its name, in the ids or values of its parameters, in its
docstring or in a comment within it: `test_A37_…`, `A72: …`, `HOSTILE A66`; `A01_to_A06` is all of them. If
a module's docstring names a row, the whole file is listed, which is too vague to count.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "hostile.md"
WRITE = "python -m tests.hostile --write"


class Row(NamedTuple):
    """A failure: its place, its cause, and its result."""

    where: str
    what: str


class CoveringTest(NamedTuple):
    """A test: its file below `tests/` and its name; the whole file if the name is empty."""

    file: str
    name: str


ROWS: dict[str, Row] = {
    "A01": Row("WebSocket", "an undecodable binary frame is reported; the connection stays open"),
    "A02": Row("WebSocket", "text that isn't JSON is reported with its first characters"),
    "A03": Row("WebSocket, SSE", "JSON of another shape, or ids of another type, are never coerced"),
    "A04": Row("everywhere", "NaN, infinities and numbers beyond a float are refused"),
    "A05": Row("everywhere", "repeated keys, endless digits, 100,000 brackets give a bounded error"),
    "A06": Row("everywhere", "a lone surrogate is never passed on"),
    "A07": Row("WebSocket", "a text frame that isn't UTF-8 ends the connection with 1007"),
    "A08": Row("WebSocket", "endless frames and fragments end the connection with 1009, in bounded memory"),
    "A09": Row("WebSocket", "framing errors end the connection with 1002"),
    "A10": Row("WebSocket", "an extension or sub-protocol that was not offered is final"),
    "A11": Row(
        "WebSocket",
        "RST or FIN within a frame: nothing partial is delivered, and reading resumes at the cursor",
    ),
    "A12": Row("WebSocket", "1000 from the server ends the transport, without an error"),
    "A13": Row("WebSocket", "1001, 1006, 1011, 1012 and 1014 are retried"),
    "A14": Row("WebSocket", "1013, a busy server, is retried"),
    "A15": Row("WebSocket", "codes are final if the next connection would end with them, too"),
    "A16": Row("WebSocket", "1008 is final"),
    "A17": Row(
        "WebSocket", "codes from 4000 on follow a table that users can change; 4401 asks for new headers"
    ),
    "A18": Row(
        "WebSocket",
        "a malformed close frame is 1005 or a protocol error; its reason is shown as short printable text",
    ),
    "A19": Row("all transports", "a refused handshake is final, with its status; 401 asks for new headers"),
    "A20": Row("all transports", "an overloaded server is retried; Retry-After is a floor, up to a cap"),
    "A21": Row("all transports", "redirects: at most 5, never out of TLS, no credentials to others"),
    "A22": Row("all transports", "an invalid response is final; no response leads to a time-out and a retry"),
    "A23": Row("all transports", "a certificate that can't be trusted is final, and nothing is sent"),
    "A24": Row(
        "all transports",
        "an unknown name or a refused connection is retried, and attempts are counted correctly",
    ),
    "A25": Row("all transports", "a server that accepts and closes at once leads to backoff"),
    "A26": Row("all transports", "clients that lose their server at once reconnect at different times"),
    "A27": Row("WebSocket", "a half-open connection is found within interval + timeout"),
    "A28": Row("WebSocket", "any incoming frame answers a ping"),
    "A29": Row(
        "WebSocket",
        "a server without JSON pings: Ping frames, no heartbeat, or a reason that names the cause",
    ),
    "A30": Row(
        "WebSocket",
        "late, early and repeated pongs are ignored; pings by the server are answered, at a limited rate",
    ),
    "A31": Row("all transports", "no timer, task or socket outlives its connection"),
    "A32": Row("all transports", "a clock that jumps or a computer that sleeps leads to one reconnect"),
    "A33": Row("SSE", "event streams are parsed by the standard, however the bytes are split"),
    "A34": Row("SSE", "204 ends the transport"),
    "A35": Row("SSE", "another content type is final, and its body is not read"),
    "A36": Row("SSE", "streams are decoded as UTF-8, whatever the content type says"),
    "A37": Row("SSE", "events in the body of an error response are ignored"),
    "A38": Row("SSE, polling", "a refusal is final"),
    "A39": Row("SSE, polling", "redirects keep the cursor, and drop credentials for another origin"),
    "A40": Row("SSE, polling", "half an event or half a response is ignored, and the cursor stays"),
    "A41": Row("SSE, polling", "endless lines, events, headers and bodies take bounded memory"),
    "A42": Row(
        "SSE, polling",
        "gzip: events are delivered at once, broken gzip is a lost connection, and a bomb is bounded",
    ),
    "A43": Row("SSE", "comments keep a stream alive"),
    "A44": Row("SSE", "a silent stream counts as a lost connection"),
    "A45": Row("SSE", "any `retry:` is clamped, so there is no busy loop"),
    "A46": Row(
        "SSE", "ids with NUL, line ends or 1 MB inject no header; one too long to resume from is reported"
    ),
    "A47": Row("SSE", "events named like our own never change the status"),
    "A48": Row("POST", "a stale CSRF token is renewed once, for the same message"),
    "A49": Row("POST", "a redirect never makes a GET of a POST"),
    "A50": Row("POST", "a message whose answer was lost is sent again with the same id, and shown once"),
    "A51": Row("POST", "a refused message fails alone"),
    "A52": Row("POST", "Retry-After delays the queue, in order"),
    "A53": Row("POST", "one's own message that comes back before the response is shown once"),
    "A54": Row("polling", "a slow answer delays the next poll, and never overlaps it"),
    "A55": Row("polling", "invalid responses and elements don't spoil valid ones"),
    "A56": Row("polling", "204, 304, 408 and an empty list mean that nothing is new"),
    "A57": Row("long polling", "a server that answers each poll at once causes no busy loop"),
    "A58": Row("polling", "messages that are posted between two polls are not lost"),
    "A59": Row("polling", "a response that comes too late is fetched again, and its messages are shown once"),
    "A60": Row("polling", "304 means nothing new; a cursor that the server doesn't know leads to a resync"),
    "A61": Row("polling", "ids with characters that have a meaning in a URL are percent-encoded"),
    "A62": Row("all transports", "a message that comes twice is shown once"),
    "A63": Row("all transports", "ids are opaque: never compared, counted or converted"),
    "A64": Row("all transports", "sending without a connection is accepted, in order"),
    "A65": Row("all transports", "more messages than the outbox holds are all accounted for"),
    "A66": Row(
        "all transports", "a connection dies while it sends: unacknowledged messages are sent again, in order"
    ),
    "A67": Row("all transports", "disconnecting works in any phase, twice, and from a handler"),
    "A68": Row(
        "all transports", "connecting twice, after an error, or cancelled leads to one connection at most"
    ),
    "A69": Row("all transports", "handlers that raise, are slow, or call the transport stop nothing else"),
    "A70": Row("client, panel", "floods of messages, and large messages, take bounded memory; all arrive"),
    "A71": Row("client", "a loop or interpreter that ends prints nothing, and frees the port"),
    "A72": Row("panel", "markup from others is shown as text"),
    "A73": Row("panel", "no text of others is in the saved widget state"),
    "A74": Row(
        "panel", "hidden and reordering characters are shown as symbols, and combining characters are limited"
    ),
    "A75": Row("panel, logs", "control characters and ANSI escapes become visible"),
    "A76": Row("server", "foreign origins are refused"),
    "A77": Row("server", "a `Host` that is not this server's is refused"),
    "A78": Row("server", "posts without a token, of another origin or of another type are refused"),
    "A79": Row("everywhere", "a token is sent to the server only, and appears nowhere else"),
    "A80": Row("server", "line ends in text can't forge events"),
    "A81": Row("server", "connections, queues, bodies, headers and rates are limited"),
    "A82": Row("server", "the server listens on loopback, and stops with its owner"),
    "A83": Row(
        "network",
        "no acknowledged message is lost or shown twice: each fault of the proxy, direction and transport",
    ),
    "A84": Row("the user's code", "an exception, even `SystemExit`, ends nothing that others share"),
    "A85": Row("the user's code", "a forked process gets threads of its own, or one clear error"),
    "A86": Row("the user's code", "blocking code delays nobody else, and `async` code runs in order"),
    "A87": Row("the user's code", "a headers function gets the failure only if it has a parameter for it"),
    "A88": Row(
        "all transports", "a headers function or a login that fails is retried, unless it is a mistake"
    ),
    "A89": Row(
        "all transports", "all transports choose a proxy by one rule; its errors are reported as the proxy's"
    ),
    "A90": Row(
        "POST", "a response is an ack only if it says so; any other one counts as a temporary failure"
    ),
    "A91": Row(
        "all transports", "a captive portal in a server's place loses no message, and acknowledges none"
    ),
    "A92": Row("everywhere", "names and client ids that a peer chooses give no access to others' data"),
    "A93": Row("client", "a task that waits for a receipt can learn that the transport gave up"),
    "A94": Row(
        "all transports", "an id too long to resume from is a resync, and the rest is requested again"
    ),
    "A95": Row("all transports", "a query and a host are sent as given, encoded once"),
    "A96": Row("all transports", "if an address doesn't answer, the next one of the name is tried"),
    "A97": Row("all transports", "a look-up that hangs delays neither others nor the end of the program"),
    "A98": Row("WebSocket", "interim responses before the handshake are skipped, in bounded memory"),
    "A99": Row("client", "unread messages and seen ids take bounded memory"),
    "A101": Row("panel, console", "a message for one server, room or name never reaches another one"),
    "A102": Row(
        "panel, console", "messages that are unsettled when a setting changes are sent again, under their ids"
    ),
    "A103": Row("panel, console", "no message is skipped when a setting changes, or the gap is reported"),
    "A104": Row("panel, console", "ids and names that a peer chooses change nobody else's message"),
    "A105": Row("panel, console", "without acks, sent messages don't wait for ever"),
    "A106": Row("panel, console", "a typing note ends with the message, or after some seconds"),
    "A107": Row("panel, console", "every failure to connect or send is reported, and ends nothing"),
    "A108": Row("all transports", "a cookie is sent back to the server that set it, and to no other"),
}

NOT_APPLICABLE: dict[str, str] = {}
"""Rows that can't occur here, and the reason."""

_ID = re.compile(r"(?<![A-Za-z0-9\\/%#])[Aa](\d{2,3})(?![0-9A-Za-z])")
_RANGE = re.compile(r"(?<![A-Za-z0-9])[Aa](\d{2,3})(?:_to_| to |–|-)[Aa](\d{2,3})(?![0-9A-Za-z])")
_JAVASCRIPT_TEST = re.compile(r"\b(?:test|it|describe)\(\s*([\"'`])(.+?)\1")


def ids_in(text: str) -> set[str]:
    """Return the ids of rows in a text."""
    numbers = {int(number) for number in _ID.findall(text)}
    for first, last in _RANGE.findall(text):
        numbers.update(range(int(first), int(last) + 1))
    return {id for id in (f"A{number:02}" for number in numbers) if id in ROWS}


def python_tests(source: str) -> Iterator[tuple[str, set[str]]]:
    """Yield the tests of a Python module, and the rows that each covers; first the module itself, as "".

    Ids in a constant that a test's decorators name count as the test's.
    """
    module = ast.parse(source)
    lines = source.splitlines()
    yield "", ids_in(ast.get_docstring(module) or "")
    named: dict[str, set[str]] = {}
    for node in module.body:
        text = "\n".join(lines[_first_line(node) - 1 : node.end_lineno])
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                named[name] = ids_in(text)
            case ast.FunctionDef() | ast.AsyncFunctionDef() if node.name.startswith("test_"):
                used = {
                    inner.id
                    for decorator in node.decorator_list
                    for inner in ast.walk(decorator)
                    if isinstance(inner, ast.Name)
                }
                yield node.name, ids_in(text).union(*(named.get(name, set()) for name in used))
            case _:
                pass


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def javascript_tests(source: str) -> Iterator[tuple[str, set[str]]]:
    """Yield the tests of a JavaScript module, and the rows that their names cite."""
    for _, name in _JAVASCRIPT_TEST.findall(source):
        yield name, ids_in(name)


@cache
def covering_tests(folder: Path = ROOT / "tests") -> dict[str, list[CoveringTest]]:
    """Return the tests of each row, in the order of files and lines."""
    found: dict[str, list[CoveringTest]] = {id: [] for id in ROWS}
    for file in sorted([*folder.rglob("test_*.py"), *folder.rglob("*.test.mjs")]):
        if "node_modules" in file.parts or file.name == "test_hostile.py":
            continue
        read = python_tests if file.suffix == ".py" else javascript_tests
        for name, ids in read(file.read_text(encoding="utf-8")):
            for id in sorted(ids):
                found[id].append(CoveringTest(file.relative_to(folder).as_posix(), name))
    return found


def untested(found: dict[str, list[CoveringTest]]) -> list[str]:
    """Return the applicable rows that no test covers."""
    return [
        id for id, tests in found.items() if not any(test.name for test in tests) and id not in NOT_APPLICABLE
    ]


def page(found: dict[str, list[CoveringTest]]) -> str:
    """Return the page with the tests of each row."""
    lines = [
        "# Bad input, hostile servers, broken networks",
        "",
        "Each row is a failure and its result, with the tests that show it.",
        "The tests run the live client, the server and the panel against servers that send wrong bytes,",
        "a proxy that injects faults, and hostile clients.",
        "[The hostile rows](reference/HOSTILE.md) say what is expected; code and tests cite their ids.",
        f"`{WRITE}` generates this page from the tests.",
        "",
        "| id | part | failure and result | tests |",
        "|---|---|---|---|",
    ]
    for id, row in ROWS.items():
        lines.append(f"| {id} | {row.where} | {row.what} | {_cell(id, found[id])} |")
    return "\n".join([*lines, ""])


def _cell(id: str, tests: list[CoveringTest]) -> str:
    if not tests:
        return f"*{NOT_APPLICABLE.get(id, 'none')}*"
    files: dict[str, list[str]] = {}
    for test in tests:
        files.setdefault(test.file, []).append(test.name)
    return "<br>".join(
        f"`{file}`: {', '.join(map(_shown, dict.fromkeys(filter(None, names)))) or 'as a whole'}"
        for file, names in files.items()
    )


def _shown(name: str) -> str:
    """Return a test's name as words, without the ids at its start."""
    words = re.sub(r"^test_(?:A\d{2,3}_(?:to_)?)*", "", name, flags=re.IGNORECASE).replace("_", " ")
    words = re.sub(r"^(?:A\d{2,3}[,:]\s*)+", "", words)
    return words.replace("|", "\\|").replace("<", "&lt;")


def main() -> int:
    """Write the page if asked to, and report rows without a test."""
    found = covering_tests()
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(found), encoding="utf-8")
    missing = untested(found)
    if missing:
        sys.stderr.write(f"no test covers {', '.join(missing)}\n")
    return bool(missing)


if __name__ == "__main__":
    raise SystemExit(main())
