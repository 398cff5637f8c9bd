"""The conclusions of a probe from the answers that it got. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from chatlab.dialects import dialect_names
from chatlab.live.client.probe_requests import Seen
from chatlab.settings import shown_url
from chatlab.text import cut, visible_line
from chatlab.transports.explanation import explanation

PROTOCOLS: Mapping[str, str] = {
    "mqtt": "mqtt",
    "ws+meta.nchan": "nchan",
    "graphql-transport-ws": "GraphQL over WebSocket (graphql-ws)",
    "xmpp": "XMPP",
}
"""The dialects or names of protocols that a server tells by choosing a sub-protocol.

Source: MQTT 3.1.1 §6; nchan's README; the protocol of graphql-ws; RFC 7395 §3.1.
"""
HELD = 0.7
"""Share of the asked time that a poll is held at least if nothing in between answers it."""
_OPEN_PACKET = re.compile(rb'0\{"sid":')
_ENGINE_REFUSAL = re.compile(rb'\{"code":\d,"message":"')


_STRUCTURED = re.compile(rb"\s*[\[{<]|[\s\S]*[\x00-\x08\x80-\xff]")
"""The beginning of JSON or XML, or binary data: not the greeting of a server of bare texts."""


class Finding(Struct, frozen=True):
    """Whether a transport works in a dialect, and why not."""

    dialect: str
    transport: str
    works: bool
    note: str


def nobody(root: Seen, url: str) -> str:
    """Return a sentence if no HTTP server can be reached at all, else ""."""
    failure = root.failure
    if failure is None:
        return ""
    where = urlsplit(shown_url(url)).netloc
    match failure.kind:
        case "refused":
            return f"Nothing listens at {where}: start the server, or correct the port."
        case "dns":
            return f"The name of the host in {where} can't be resolved: correct it."
        case "timeout" if not root.reached:
            return (
                f"{where} gives no answer within {root.seconds:.1g} s: a firewall may drop the packets, "
                "or the address is wrong."
            )
        case "tls":
            return f"TLS with {where} fails: {failure.reason}."
        case _:
            return ""


def silent(seen: Sequence[Seen], url: str) -> str:
    """Return a sentence if no request was answered, though connections were opened, else ""."""
    if any(one.failure is None or one.failure.kind != "timeout" for one in seen):
        return ""
    where = urlsplit(shown_url(url)).netloc
    return (
        f"{where} accepts connections, and answers nothing: the server may hang, "
        "or it speaks something other than HTTP."
    )


# Which server is it?


def is_chatlab(page: Seen, socket: Seen) -> bool:
    """Return whether a server of chatlab's answered: a page with its cursor, or its welcome."""
    return "chat-cursor" in page.headers or b'"type":"welcome"' in socket.body.replace(b" ", b"")


def is_socket_io(engine: Seen) -> bool:
    """Return whether Engine.IO opened a session, or refused to in its own words."""
    return bool(_OPEN_PACKET.search(engine.body[:80]) or _ENGINE_REFUSAL.match(engine.body))


def is_matrix(versions: Seen) -> bool:
    """Return whether a homeserver told its versions. Source: Matrix specification v1.11, "API Versions"."""
    try:
        return versions.status == 200 and bool(msgspec.json.decode(versions.body, type=_Versions).versions)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False


class _Versions(Struct):
    versions: list[str]


# How do its transports do?


def chatlab_findings(socket: Seen, stream: Seen, poll: Seen, page: Seen, hold: float) -> list[Finding]:
    """Return the findings of a server of chatlab's, which was asked to hold a poll for `hold` seconds."""
    checks = {
        "websocket": _websocket(socket),
        "sse": _stream(stream),
        "long_polling": _held(poll, hold),
        "short_polling": _answered(page),
    }
    return [Finding("chatlab", name, works, note) for name, (works, note) in checks.items()]


def socket_io_findings(upgrade: Seen, engine: Seen) -> list[Finding]:
    """Return the findings of a server of Socket.IO."""
    if upgrade.status == 101 and _OPEN_PACKET.search(upgrade.body):
        socket = True, f"opened after {_ms(upgrade.seconds)}"
    else:
        socket = False, _why_not(upgrade)
    polls = bool(_OPEN_PACKET.search(engine.body))
    note = f"answered after {_ms(engine.seconds)}" if polls else _why_not(engine)
    return [Finding("socket.io", "websocket", *socket), Finding("socket.io", "long_polling", polls, note)]


def other_findings(
    root: Seen, socket: Seen, more: Mapping[str, Seen], address: str
) -> tuple[list[Finding], str]:
    """Return the findings of any other server, and the address of its WebSocket."""
    base = address.removesuffix("/ws")
    if socket.protocol:
        return [_chosen(socket)], address
    if more["mqtt"].protocol == "mqtt":
        return [_chosen(more["mqtt"])], f"{base}/mqtt"
    if b"phx_reply" in more["phoenix"].body:
        note = f"its heartbeat was answered after {_ms(more['phoenix'].first or 0.0)}"
        place = address if address.rstrip("/").endswith("/socket") else f"{base}/socket"
        return [Finding("phoenix", "websocket", True, note)], place
    if more["nchan"].status == 200 and more["nchan"].kind == "text/event-stream":
        return [Finding("nchan", "sse", True, "there is a channel below /sub/")], address
    if root.status == 200 and root.kind == "text/event-stream":
        return [Finding("text", "sse", True, "the address is an event stream")], address
    if socket.status == 101:
        greeting = f"greets with {_excerpt(socket.body)}" if socket.body else "greets with nothing"
        ended = f"; then {socket.failure}" if socket.failure is not None else ""
        note = f"a WebSocket opens, and {greeting}{ended}"
        bare = not _STRUCTURED.match(socket.body)
        return [Finding("text" if bare else "", "websocket", bare, note)], address
    return [Finding("", "websocket", False, _why_not(socket))], address


def _chosen(socket: Seen) -> Finding:
    return Finding(PROTOCOLS[socket.protocol], "websocket", True, f"the server chose {socket.protocol}")


def _websocket(seen: Seen) -> tuple[bool, str]:
    if seen.status == 101 and seen.body:
        return True, f"greeted after {_ms(seen.first or 0.0)}"
    if seen.status == 101:
        ended = f"; then {seen.failure}" if seen.failure is not None else ""
        return (
            False,
            f"it opens, but no frame comes{ended}: a proxy may hold frames back",
        )
    return False, _why_not(seen)


def _stream(seen: Seen) -> tuple[bool, str]:
    if seen.status == 200 and seen.kind == "text/event-stream":
        if seen.first is not None:
            return True, f"first event after {_ms(seen.first)}"
        return False, f"it opens, but no event comes: {_BUFFERS}"
    if seen.failure is not None and seen.failure.kind == "timeout":
        return False, f"no answer within {seen.seconds:.1g} s, though other requests are answered: {_BUFFERS}"
    return False, _why_not(seen)


_BUFFERS = (
    "a proxy buffers the stream; turn its buffering off (in nginx: proxy_buffering off), or use long polling"
)


def _held(seen: Seen, hold: float) -> tuple[bool, str]:
    works, note = _answered(seen)
    if works and seen.seconds < HELD * hold:
        early = f"answered after {_ms(seen.seconds)} instead of being held for {hold:g} s"
        return True, f"{early}: something answers for the server"
    return works, f"held for {seen.seconds:.1f} s" if works else note


def _answered(seen: Seen) -> tuple[bool, str]:
    if seen.status == 200 and "chat-cursor" in seen.headers:
        return True, f"answered after {_ms(seen.seconds)}"
    return False, _why_not(seen)


def _why_not(seen: Seen) -> str:
    """Return why a request failed, with what to do if that is known."""
    if seen.failure is not None:
        return str(seen.failure)
    said = explanation(seen.body)
    told = f"HTTP {seen.status}{f': {said}' if said else ''}"
    if seen.from_proxy:
        return f"{told}; a proxy answers, since it can't reach the server behind it"
    upgrade = seen.status == 426 or (seen.status == 400 and "upgrade" in said.lower())
    if seen.what.startswith("WebSocket") and upgrade:
        return f"{told}; a proxy drops the Upgrade header: make it forward WebSockets, or use wss://"
    if seen.status is not None and 300 <= seen.status < 400:
        return f"{told}; it redirects to {_excerpt(seen.headers.get('location', '').encode())}"
    if seen.status == 101:
        return f"it opens, and sends {_excerpt(seen.body)}"
    return told


# What is in between, and what to do?


def proxy_notes(seen: Sequence[Seen]) -> list[str]:
    """Return sentences about what is in front of the server."""
    notes: list[str] = []
    names = sorted({_excerpt(one.headers["server"].encode()) for one in seen if "server" in one.headers})
    if names:
        notes.append(f"Answers come from {' and '.join(names)}.")
    vias = sorted({_excerpt(one.headers["via"].encode()) for one in seen if "via" in one.headers})
    if vias:
        notes.append(f"They came through {' and '.join(vias)}.")
    cookies = {one.headers["set-cookie"].partition("=")[0] for one in seen if "set-cookie" in one.headers}
    if cookies:
        which = ", ".join(_excerpt(name.encode()) for name in sorted(cookies))
        notes.append(f"A cookie is set ({which}), perhaps by a balancer; transports send it back.")
    places = {
        one.headers["location"] for one in seen if one.status in range(300, 400) and "location" in one.headers
    }
    if places:
        notes.append(f"It redirects to {_excerpt(min(places).encode())}: give that address.")
    if any(one.from_proxy for one in seen):
        notes.append("A proxy answers, but can't reach the server behind it.")
    refused = [status for status in (401, 403) if any(one.status == status for one in seen)]
    if refused:
        notes.append(f"Some requests need credentials (HTTP {refused[0]}): give --header or --token-file.")
    pages = [one for one in seen if one.status == 200 and one.kind == "text/html"]
    if len(pages) >= 3:
        notes.append("Every address answers with a web page: a portal, or a site that isn't a chat server.")
    return notes


def advice_for(findings: Sequence[Finding], base: str, address: str) -> tuple[str, str, str]:
    """Return what to do, and the transport and address to use; "" if there is none."""
    works = [row for row in findings if row.works]
    if not works:
        if any(row.note.startswith("a WebSocket opens") for row in findings):
            return (
                "A WebSocket is there, in a protocol that chatlab doesn't know: docs/dialects.md shows how "
                "to write its dialect.",
                "",
                "",
            )
        return "No dialect that chatlab knows answers there. Check the address and its path.", "", ""
    best = works[0]
    named = best.dialect in dialect_names()
    where = address if best.transport == "websocket" and best.dialect != "chatlab" else base
    if not named:
        return f"It speaks {best.dialect}: docs/dialects.md shows how to write its dialect.", "", ""
    words = ["chatlab chat", shown_url(where)]
    if best.dialect != "chatlab":
        words += ["--dialect", best.dialect]
    if findings[0] is not best:
        words += ["--transport", best.transport]
    if best.dialect == "matrix":
        words += ["--room '!ID:SERVER'", "--name @YOU:SERVER", "--token-file FILE"]
    told = f"It speaks {best.dialect}. Use: {' '.join(words)}"
    if best.dialect == "text":
        told = (
            "It speaks none of chatlab's other dialects: docs/dialects.md shows how to write one. "
            f"If messages are bare text, use: {' '.join(words)}"
        )
    return told, best.transport, where


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _excerpt(data: bytes) -> str:
    return cut(visible_line(data.decode("utf-8", "replace")), 60)
