"""What may be wrong where a server and a dialect don't fit, in words that say what to try."""

from __future__ import annotations

from chatlab.settings import TransportConfig
from chatlab.transports.machine import Failure

BREACHES = frozenset({1003, 1007, 1008})
"""Close codes by which a server refuses what it was sent. Source: RFC 6455 §7.4.1."""
NOT_THERE = frozenset({404, 405, 406, 410, 426, 501})
"""Statuses by which a server says that there is nothing of that kind."""


def heartbeat_refused(failure: Failure) -> str:
    """Say what may help where a connection ends while a heartbeat in JSON is unanswered.

    A server that doesn't know them refuses them as a breach of its policy.
    """
    if failure.kind == "close" and failure.code in BREACHES:
        return " (right after a heartbeat: try HeartbeatConfig(mode='ping'))"
    return ""


def not_there(failure: Failure, config: TransportConfig, what: str, path: str) -> str:
    """Say what a dialect has asked for in vain, where a server has no such thing."""
    if failure.kind == "http" and failure.code in NOT_THERE:
        return f"; {asked_for(config, what, path)}"
    return ""


def asked_for(config: TransportConfig, what: str, path: str) -> str:
    """Say which dialect has asked for what isn't there, and at which path under the address."""
    where = f" at {path}" if path else ""
    return f"the {config.dialect_name!r} dialect asks for {what}{where}: try another dialect or address"
