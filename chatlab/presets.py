"""Presets: the reconnection defaults of other systems, as settings to plot, simulate and connect with.

A preset uses one of the six jitter formulas if the system does. Otherwise it has a `schedule`, whose rows are
the bounds of each retry's uniform draw. `websockets` is the Python library.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

from chatlab.errors import SettingsError
from chatlab.settings import HeartbeatConfig, ReconnectConfig
from chatlab.text import unknown_name

Party = Literal["client", "server", "both"]


class Preset(Struct, frozen=True, kw_only=True):
    """A system's defaults. Durations are seconds; None means that the system has no such value, or doesn't
    document it.

    `heartbeat_by` is the side that sends heartbeats. The connection ends if one isn't answered within
    `heartbeat_timeout`; with `until_silent` after that much silence, which includes the interval.
    """

    name: str
    reconnect: ReconnectConfig
    connect_timeout: float | None = None
    heartbeat_by: Party | None = None
    heartbeat_interval: float | None = None
    heartbeat_timeout: float | None = None
    until_silent: bool = False
    source: str
    notes: str = ""

    @property
    def heartbeat(self) -> HeartbeatConfig | None:
        """The settings of its heartbeats; None: it documents none.

        An interval or a time-out that it doesn't document is that of `HeartbeatConfig`. If it documents only
        the silence, heartbeats come twice as often.
        """
        if self.heartbeat_by is None:
            return None
        usual, timeout = HeartbeatConfig(), self.heartbeat_timeout
        interval = self.heartbeat_interval
        if timeout is not None and self.until_silent:
            interval = timeout / 2 if interval is None else interval
            timeout -= interval
        return HeartbeatConfig(
            interval=usual.interval if interval is None else interval,
            timeout=usual.timeout if timeout is None else timeout,
            mode=None if self.heartbeat_by == "client" else self.heartbeat_by,
        )


def _scheduled(
    *rows: float | tuple[float, float], max_delay: float, attempts: int | None = None
) -> ReconnectConfig:
    """Return a config with a schedule; a single number is a row without spread."""
    pairs = tuple(row if isinstance(row, tuple) else (row, row) for row in rows)
    return ReconnectConfig(schedule=pairs, max_delay=max_delay, max_attempts=attempts)


_SYSTEMS = (
    Preset(
        name="seed",
        reconnect=ReconnectConfig(),
        heartbeat_by="client",
        heartbeat_interval=30.0,
        heartbeat_timeout=10.0,
        source="seed, WebSocket Implementation",
        notes="No spread at all once the delay has reached its cap.",
    ),
    Preset(
        name="full jitter",
        reconnect=ReconnectConfig(max_attempts=None, jitter="full"),
        source="AWS Architecture Blog, Exponential Backoff And Jitter",
        notes="The seed's base, cap and multiplier, without its limit of attempts.",
    ),
    Preset(
        name="socket.io",
        # The spread comes before the cap, so that from the fifth retry on there is none.
        reconnect=_scheduled(
            *((0.5 * delay, 1.5 * delay) for delay in (1.0, 2.0, 4.0, 8.0, 16.0)), max_delay=5.0
        ),
        connect_timeout=20.0,
        heartbeat_by="server",
        heartbeat_interval=25.0,
        heartbeat_timeout=20.0,
        source="socket.io-client, Manager options and contrib/backo2",
        notes="±50 %, then the cap: no spread from the fifth retry on. Its own draw has a mean 2.5 % longer.",
    ),
    Preset(
        name="python-socketio",
        reconnect=_scheduled(*((delay - 0.5, delay + 0.5) for delay in (1.0, 2.0, 4.0, 5.0)), max_delay=5.5),
        connect_timeout=5.0,
        heartbeat_by="server",
        heartbeat_interval=25.0,
        heartbeat_timeout=20.0,
        source="python-socketio, client's reconnection task",
        notes="The cap, then ±0.5 s. Its connect timeout is 1 to 5 s, by the stage of the connection.",
    ),
    Preset(
        name="SignalR",
        reconnect=_scheduled(0.0, 2.0, 10.0, 30.0, max_delay=30.0, attempts=4),
        heartbeat_by="both",
        heartbeat_interval=15.0,
        heartbeat_timeout=30.0,
        until_silent=True,
        source="ASP.NET Core SignalR, withAutomaticReconnect",
        notes="Gives up after the fourth retry.",
    ),
    Preset(
        name="Phoenix",
        reconnect=_scheduled(0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, max_delay=5.0),
        connect_timeout=10.0,
        heartbeat_by="client",
        heartbeat_interval=30.0,
        heartbeat_timeout=30.0,
        source="phoenix.js, Socket's reconnectAfterMs",
    ),
    Preset(
        name="Centrifugo",
        reconnect=_scheduled(*((0.5, 0.5 + min(20.0, 0.5 * 2**n)) for n in range(7)), max_delay=20.5),
        connect_timeout=5.0,
        heartbeat_by="server",
        source="centrifuge-js, minReconnectDelay and maxReconnectDelay",
        notes="Full jitter on top of the minimum.",
    ),
    Preset(
        name="Ably",
        reconnect=_scheduled(*((0.8 * delay, delay) for delay in (15.0, 20.0, 25.0, 30.0)), max_delay=30.0),
        connect_timeout=10.0,
        heartbeat_by="server",
        source="ably-js, disconnectedRetryTimeout and getRetryTime",
        notes="Its suspended state, after two minutes, is left out: it waits 30 s.",
    ),
    Preset(
        name="ActionCable",
        reconnect=_scheduled(
            (6.0, 12.0), *((6.0 * 1.15**n, 6.0 * 1.15 ** (n + 1)) for n in range(1, 11)), max_delay=60.0
        ),
        heartbeat_by="server",
        heartbeat_timeout=6.0,
        until_silent=True,
        source="@rails/actioncable, ConnectionMonitor's getPollInterval",
        notes="The first retry is spread by 100 %, the others by 15 %.",
    ),
    Preset(
        name="partysocket",
        reconnect=ReconnectConfig(
            max_attempts=None, base_delay=3.0, max_delay=10.0, backoff_multiplier=1.3, jitter="none"
        ),
        connect_timeout=4.0,
        source="partysocket, ws.ts",
    ),
    Preset(
        name="websockets",
        reconnect=_scheduled((0.0, 5.0), *(3.1 * 1.618**n for n in range(9)), max_delay=90.0),
        connect_timeout=10.0,
        heartbeat_by="both",
        heartbeat_interval=20.0,
        heartbeat_timeout=20.0,
        source="websockets (Python), client.backoff",
        notes="Only the first retry is spread.",
    ),
    Preset(
        name="Matrix",
        reconnect=_scheduled((2.0, 7.0), (5.0, 10.0), max_delay=10.0),
        connect_timeout=15.0,
        source="matrix-js-sdk, SyncApi's keep-alive",
        notes="Long polling; the delays are those between two probes of a lost server.",
    ),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({system.name: system for system in _SYSTEMS})
"""All presets by name."""


def preset(name: object) -> Preset:
    """Return the preset of that name, ignoring case.

    Errors: `SettingsError` that lists the names, and a near one.
    """
    for system in _SYSTEMS:
        if isinstance(name, str) and system.name.casefold() == name.casefold():
            return system
    raise SettingsError(unknown_name(name, PRESETS, "preset"))
