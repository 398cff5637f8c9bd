"""The probe of a server by a dialect that is given: each of its transports connects once."""

from __future__ import annotations

import time
from typing import Any

from chatlab.dialects.base import Dialect
from chatlab.errors import ConnectError
from chatlab.live.client.kinds import make_config, make_transport
from chatlab.live.client.probe_findings import Finding
from chatlab.settings import AnyConfig, ReconnectConfig, shown_url
from chatlab.trace import Step
from chatlab.transports.machine import Fetch, OpenWebSocket

HOLD = 1.0
"""Seconds for which the server may hold a poll."""


async def ask_by(
    url: str, dialect: Dialect, given: str | Dialect, timeout: float, **settings: Any
) -> tuple[list[Finding], str, AnyConfig | None, int]:
    """Connect once by each transport of the dialect; return the findings, what to do, the settings to use,
    and the number of requests. Nothing is sent but what a connection needs.

    Errors: `SettingsError` if a setting is invalid.
    """
    findings: list[Finding] = []
    works: list[AnyConfig] = []
    requests = 0

    def count(step: Step) -> None:
        nonlocal requests
        requests += sum(isinstance(effect, OpenWebSocket | Fetch) for effect in step.effects)

    for kind in dialect.transports:
        config = make_config(
            kind,
            url,
            dialect=given,
            sender="probe",
            connect_timeout=timeout,
            timeout=timeout + HOLD,
            request_timeout=timeout,
            hold=HOLD,
            reconnect=ReconnectConfig(max_attempts=0),
            **settings,
        )
        transport = make_transport(config, record=count)
        began = time.monotonic()
        try:
            await transport.connect()
        except ConnectError as error:
            reason = error.reason.removeprefix("gave up after 0 retries: ")
            findings.append(Finding(dialect.name, kind, False, reason))
        else:
            note = f"connected after {(time.monotonic() - began) * 1000:.0f} ms"
            findings.append(Finding(dialect.name, kind, True, note))
            works.append(make_config(kind, url, dialect=given))
        await transport.disconnect()
    return findings, _advice(url, dialect, given, findings), works[0] if works else None, requests


def _advice(url: str, dialect: Dialect, given: str | Dialect, findings: list[Finding]) -> str:
    best = next((row.transport for row in findings if row.works), None)
    if best is None:
        return f"The dialect {dialect.name} can't connect there, for the reasons above."
    name = given if isinstance(given, str) else dialect.name
    other = "" if findings[0].works else f" --transport {best}"
    return f"The dialect {dialect.name} connects. Use: chatlab chat {shown_url(url)} --dialect {name}{other}"
