"""A probe of a server that a person knows only by its address: which transports and dialects answer there,
what a proxy in between does to them, and which settings to use."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from msgspec import Struct

from chatlab.dialects import Dialect, find_dialect
from chatlab.live.client.kinds import http_url, make_config, websocket_url
from chatlab.live.client.probe_dialect import ask_by
from chatlab.live.client.probe_findings import (
    PROTOCOLS,
    Finding,
    advice_for,
    chatlab_findings,
    is_chatlab,
    is_matrix,
    is_socket_io,
    nobody,
    other_findings,
    proxy_notes,
    silent,
    socket_io_findings,
)
from chatlab.live.client.probe_requests import Prober, Seen
from chatlab.live.client.user_headers import UserHeaders
from chatlab.live.redaction import Redaction
from chatlab.settings import AnyConfig, HttpConfig, shown_url
from chatlab.transports.machine import Failure

TIMEOUT = 5.0
"""Seconds until a request without an answer has failed."""


class Probe(Struct, frozen=True):
    """The result of a probe. `findings` has a row for each transport that was tried; `notes` say what is
    between; `advice` what to do; `config` the settings to use, if a dialect answered."""

    url: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    advice: str
    config: AnyConfig | None
    requests: int

    @property
    def dialect(self) -> str:
        """The name of the dialect that answered; "" if none did."""
        return next((finding.dialect for finding in self.findings if finding.works), "")

    def __str__(self) -> str:
        width = max((len(finding.transport) for finding in self.findings), default=0)
        rows = [
            f"  {finding.transport:{width}}  {'works' if finding.works else 'no'}: {finding.note}"
            for finding in self.findings
        ]
        return "\n".join([self.url, *rows, *self.notes, self.advice])

    def __repr__(self) -> str:
        return str(self)


async def probe(
    url: str,
    *,
    headers: Any = None,
    ca_file: str | None = None,
    proxy: str | None = None,
    timeout: float = TIMEOUT,
    dialect: str | Dialect | None = None,
) -> Probe:
    """Ask a server, by at most ten requests, which transports and dialects it has.

    `url` is its root, or its WebSocket. `headers` are those of a transport; without them no credentials are
    sent. Nothing is sent to a room that others could be in. With a `dialect`, each of its transports connects
    once instead.

    Errors: `SettingsError` if a setting is invalid.
    """
    base = HttpConfig(url=http_url(url), headers=headers, ca_file=ca_file, proxy=proxy)
    given = await UserHeaders(base, redaction := Redaction([base])).get(None, latin1=True)
    if isinstance(given, Failure):
        return Probe(shown_url(url), (), (), f"The headers can't be used: {given.reason}.", None, 0)
    said = redaction.text
    if dialect is not None:
        findings, advice, config, requests = await ask_by(
            url,
            find_dialect(dialect),
            dialect,
            timeout,
            headers=headers,
            ca_file=ca_file,
            proxy=proxy,
            room=_room(),
        )
        findings = [Finding(row.dialect, row.transport, row.works, said(row.note)) for row in findings]
        return Probe(shown_url(url), tuple(findings), (), said(advice), config, requests)
    prober = Prober(base, given, timeout)
    try:
        findings, notes, advice, config = await _ask(prober, url, base, timeout)
    finally:
        await prober.close()
    return Probe(
        shown_url(url),
        tuple(Finding(row.dialect, row.transport, row.works, said(row.note)) for row in findings),
        tuple(map(said, notes)),
        said(advice),
        config,
        prober.count,
    )


async def _ask(
    prober: Prober, url: str, base: HttpConfig, timeout: float
) -> tuple[list[Finding], list[str], str, AnyConfig | None]:
    root = await prober.get("")
    if problem := nobody(root, base.url):
        return [], [], problem, None
    room = _room()
    person = {"room": room, "sender": "probe"}
    address = websocket_url(url)
    page, socket, engine, versions = await asyncio.gather(
        prober.get("/messages", {"room": room}),
        prober.open(address, "", person, tuple(PROTOCOLS)),
        prober.get("/socket.io/", {"EIO": "4", "transport": "polling"}),
        prober.get("/_matrix/client/versions"),
    )
    seen = [root, page, socket, engine, versions]
    if problem := silent(seen, base.url):
        return [], [], problem, None
    findings: list[Finding] = []
    if is_chatlab(page, socket):
        hold = min(1.0, timeout / 2)
        after = {"after": page.headers["chat-cursor"]} if "chat-cursor" in page.headers else {}
        stream, poll = await asyncio.gather(
            prober.get("/stream", person, {"Accept": "text/event-stream"}),
            prober.get("/messages/poll", {"room": room, "hold": f"{hold:g}", **after}),
        )
        seen += [stream, poll]
        findings = chatlab_findings(socket, stream, poll, page, hold)
    elif is_socket_io(engine):
        upgrade = await prober.open(_root(url), "/socket.io/", {"EIO": "4", "transport": "websocket"})
        seen.append(upgrade)
        findings = socket_io_findings(upgrade, engine)
        address = _root(url)
    elif is_matrix(versions):
        findings = [
            Finding("matrix", name, True, "a homeserver; a room and a token are needed")
            for name in ("long_polling", "short_polling")
        ]
    else:
        more = await _others(prober, url, room, socket)
        seen += more.values()
        findings, address = other_findings(root, socket, more, address)
    notes = proxy_notes(seen)
    advice, kind, where = advice_for(findings, base.url, address)
    works = next((row for row in findings if row.works), None)
    config = make_config(kind, where, dialect=works.dialect) if works is not None and kind else None
    return findings, notes, advice, config


async def _others(prober: Prober, url: str, room: str, socket: Seen) -> dict[str, Seen]:
    """Ask for the less common dialects."""
    if socket.protocol:
        return {}
    beat = '[null,"1","phoenix","heartbeat",{}]'
    root = _root(url)
    place = url if url.startswith("ws") and url.rstrip("/").endswith("/socket") else f"{root}/socket"
    names = ("mqtt", "phoenix", "nchan")
    answers = await asyncio.gather(
        prober.open(f"{root}/mqtt", "", {}, ("mqtt",)),
        prober.open(place.rstrip("/"), "/websocket", {"vsn": "2.0.0"}, say=beat),
        prober.get(f"/sub/{room}", {}, {"Accept": "text/event-stream"}),
    )
    return dict(zip(names, answers, strict=True))


def _room() -> str:
    """Return the name of a room that nobody is in."""
    return f"probe{secrets.token_hex(6)}"


def _root(url: str) -> str:
    """Return the ws:// address of the server's root."""
    return websocket_url(http_url(url)).removesuffix("/ws")
