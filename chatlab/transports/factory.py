"""The factory of machines: one for each kind of settings."""

from __future__ import annotations

from chatlab.dialects.base import Dialect
from chatlab.errors import SettingsError
from chatlab.settings import (
    AnyConfig,
    FallbackConfig,
    LongPollingConfig,
    ShortPollingConfig,
    SSEConfig,
    TransportConfig,
    WebSocketConfig,
)
from chatlab.transports.backoff import Uniform
from chatlab.transports.fallback import FallbackMachine
from chatlab.transports.ledger import Ledger
from chatlab.transports.long_polling import LongPollingMachine
from chatlab.transports.machine import Links, Machine, Reader
from chatlab.transports.short_polling import ShortPollingMachine
from chatlab.transports.sse import SSEMachine
from chatlab.transports.websocket import WebSocketMachine


def make_machine(
    config: AnyConfig,
    dialect: Dialect,
    uniform: Uniform,
    *,
    ledger: Ledger | None = None,
    links: Links | None = None,
) -> Reader:
    """Return the machine for these settings.

    Errors: `SettingsError` if the dialect doesn't support that transport, or there is no such transport.
    """
    match config:
        case WebSocketConfig():
            return WebSocketMachine(config, dialect, uniform, ledger=ledger, links=links)
        case SSEConfig():
            return SSEMachine(config, dialect, uniform, ledger=ledger, links=links)
        case LongPollingConfig():
            return LongPollingMachine(config, dialect, uniform, ledger=ledger, links=links)
        case ShortPollingConfig():
            return ShortPollingMachine(config, dialect, uniform, ledger=ledger, links=links)
        case FallbackConfig():

            def make(inner: TransportConfig, shared: Ledger, numbers: Links) -> Machine:
                return make_machine(inner, dialect, uniform, ledger=shared, links=numbers)

            for inner in config.transports:
                make_machine(inner, dialect, uniform)  # Raises now, not when it is the transport's turn.
            return FallbackMachine(config, make, uniform, dialect)
        case _:
            raise SettingsError(f"there is no transport for a {type(config).__name__}")
