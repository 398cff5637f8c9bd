"""Scenarios by which the worlds are compared: `docs/fidelity.md`.

Each case is one thing that may happen, run with every transport. Times are odd on purpose: what happens at
the very same instant has no order that could agree.

    python -m tests.experiment.conformance            # say where model and wire differ
    python -m tests.experiment.conformance --write    # write the table
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from chatlab.experiment.compare import Comparison, compare
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.live.client.kinds import TITLES
from chatlab.settings import HeartbeatConfig, OutboxConfig, ReconnectConfig, Settings
from chatlab.sim.blocking import BlockableTransport
from chatlab.sim.capacity import Need, ServerConfig
from chatlab.sim.faults import (
    AnyFault,
    Blocked,
    Buffering,
    ConnectionReset,
    Flapping,
    HalfOpen,
    HighLatency,
    HttpError,
    IdleTimeout,
    Loss,
    LowBandwidth,
    NetworkChange,
    NodeDown,
    NoPong,
    Partition,
    RollingRestart,
    ServerDown,
    ServerRestart,
    SlowServer,
    Suspended,
    Throttled,
)
from chatlab.sim.groups import Group
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry, Start
from chatlab.sim.transport_settings import (
    AnyTransport,
    FallbackSettings,
    LongPollingSettings,
    ShortPollingSettings,
    SSESettings,
    WebSocketSettings,
)

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"
WRITE = "python -m tests.experiment.conformance --write"
MARK = "<!-- conformance -->"
DURATION = 45.0
SCRIPT = (
    (0.11, "ada", ""), (0.23, "bob", ""), (0.37, "cleo", ""),
    (2.13, "ada", "hello"), (4.37, "bob", "hi ada"), (7.19, "cleo", "good morning"),
    (9.41, "ada", "who is there?"), (10.53, "bob", "me"), (16.83, "cleo", "and me"),
    (22.57, "ada", "still there?"), (31.29, "bob", "yes"),
)  # fmt: skip
"""First connections, and messages."""

RECONNECT = ReconnectConfig(jitter="full", max_delay=6.0)
WEBSOCKET = WebSocketSettings(
    reconnect=RECONNECT, connect_timeout=4.0, heartbeat=HeartbeatConfig(interval=7.0, timeout=3.0)
)
SSE = SSESettings(reconnect=RECONNECT, connect_timeout=4.0, request_timeout=6.0, idle_timeout=12.0)
LONG_POLLING = LongPollingSettings(
    reconnect=RECONNECT, connect_timeout=4.0, request_timeout=6.0, hold=9.0, timeout=12.0
)
SHORT_POLLING = ShortPollingSettings(reconnect=RECONNECT, connect_timeout=4.0, request_timeout=6.0)
TRANSPORTS: dict[str, AnyTransport] = {
    "websocket": WEBSOCKET,
    "sse": SSE,
    "long_polling": LONG_POLLING,
    "short_polling": SHORT_POLLING,
    "fallback": FallbackSettings(
        transports=(WEBSOCKET, SSE, LONG_POLLING, SHORT_POLLING), attempts_per_transport=2, upgrade_after=15.0
    ),
}
NETWORK = NetworkConfig(latency=0.08)
SERVER = ServerConfig(keep_alive=5.0)


BLOCKABLE: tuple[BlockableTransport, ...] = ("websocket", "sse", "long_polling", "short_polling")
T = TypeVar("T", bound=Settings)


class Case(NamedTuple):
    """A description of a case, and its parts of the scenario.

    Its seed is chosen so that delays of a few milliseconds lead to the same steps.
    """

    what: str
    faults: tuple[AnyFault, ...] = ()
    network: NetworkConfig = NETWORK
    server: ServerConfig = SERVER
    outbox: OutboxConfig | None = None
    heartbeat: HeartbeatConfig | None = None
    more: tuple[tuple[float, str, str], ...] = ()
    seed: int = 5
    groups: tuple[Group, ...] = ()
    start: Start = "arriving"


CASES: dict[str, Case] = {
    "calm": Case("nothing goes wrong"),
    "server_down": Case(
        "the server dies, and is back after 6 s", (ServerDown(at=6.31, duration=6.2),), seed=49
    ),
    "server_restart": Case(
        "the server shuts down and restarts", (ServerRestart(at=6.31, duration=3.7),), seed=37
    ),
    "history_lost": Case(
        "the server dies and loses its history",
        (ServerDown(at=12.71, duration=2.3),),
        server=SERVER.replace(keep_history=False),
        seed=6,
    ),
    "connection_reset": Case("all connections are reset", (ConnectionReset(at=6.31),), seed=1),
    "half_open": Case("connections are half-open, in both directions", (HalfOpen(at=6.31, duration=1.3),)),
    "answers_lost": Case(
        "connections are half-open, from the server only",
        (HalfOpen(at=6.31, duration=1.3, direction="down"),),
    ),
    "requests_lost": Case(
        "connections are half-open, to the server only", (HalfOpen(at=6.31, duration=1.3, direction="up"),)
    ),
    "latency": Case("half a second more each way", (HighLatency(at=6.31, duration=9.4, latency=0.5),)),
    "jitter": Case(
        "log-normal latency, and jitter for a while",
        (HighLatency(at=6.31, duration=9.3, latency=0.1, jitter=0.2),),
        NetworkConfig(latency=LogNormal(median=0.05, p99=0.15)),
    ),
    "burst": Case(
        "six messages at once, with much jitter",
        network=NETWORK.replace(jitter=0.15),
        more=tuple((8.03 + 0.02 * number, "ada", f"one of six: {number}") for number in range(6)),
        seed=7,
    ),
    "bandwidth": Case("a line of 2 kB/s", (LowBandwidth(at=3.31, duration=14.7, bandwidth=2000.0),)),
    "idle_timeout": Case(
        "a proxy closes connections that are idle for 4 s",
        (IdleTimeout(at=0.07, duration=33.1, timeout=4.1),),
        seed=3,
    ),
    "buffering": Case("a proxy holds back event streams", (Buffering(at=0.07, duration=14.3),)),
    "http_error": Case(
        "503 with Retry-After, and then a reset",
        (HttpError(at=5.87, duration=6.1, status=503, retry_after=2.0), ConnectionReset(at=6.31)),
    ),
    "no_pong": Case("the server sends neither pongs nor keep-alives", (NoPong(at=6.31, duration=20.3),)),
    "slow_server": Case(
        "each request takes the server 0.2 s", (SlowServer(at=3.31, duration=14.7, service_time=0.2),)
    ),
    "flapping": Case(
        "down for 2.3 s of every 7", (Flapping(at=6.31, duration=20.9, period=7.1, down=2.3),), seed=76
    ),
    "partition": Case(
        "all packets are lost, for some people",
        (Partition(at=6.31, duration=5.3, people=("ada", "cleo")),),
        seed=1,
    ),
    "node_down": Case(
        "the only node dies, and is back after 6 s", (NodeDown(at=6.31, duration=6.2),), seed=49
    ),
    "rolling_restart": Case(
        "the only node drains for 4 s, and is back 3 s later",
        (RollingRestart(at=6.31, drain=4.0, down=3.1),),
        seed=37,
    ),
    "network_change": Case("open connections become half-open, new ones work", (NetworkChange(at=6.31),)),
    "suspended": Case("the computers sleep for 9 s", (Suspended(at=6.31, duration=9.4),)),
    "throttled": Case(
        "timers fire every 7 s, as in a hidden tab", (Throttled(at=6.31, duration=29.4, period=7.13),)
    ),
    "blocked": Case(
        "a proxy resets new requests for 15 s, after a reset",
        (Blocked(at=6.07, duration=14.2, how="reset", transports=BLOCKABLE), ConnectionReset(at=6.31)),
    ),
    "swallowed": Case(
        "the same, and the proxy swallows them",
        (Blocked(at=6.07, duration=14.2, how="swallow", transports=BLOCKABLE), ConnectionReset(at=6.31)),
    ),
    "forbidden": Case(
        "a proxy answers 403 instead of WebSockets and streams, after a reset",
        (Blocked(at=20.07, transports=("websocket", "sse")), ConnectionReset(at=20.31)),
    ),
    "no_upgrade": Case(
        "a proxy strips the upgrade, after a reset",
        (Blocked(at=20.07, how="strip_upgrade"), ConnectionReset(at=20.31)),
    ),
    "token_service": Case(
        "each connection needs a token service, which is slow after a reset",
        (ConnectionReset(at=6.31),),
        server=SERVER.replace(needs=(Need(name="token", rate=1.1, timeout=1.6, retry_after=1.0),)),
    ),
    "database": Case(
        "each message needs a database, and few may wait",
        server=SERVER.replace(
            needs=(
                Need(name="database", rate=0.5, queue=1, timeout=4.3, per="message", status=429),
                Need(name="search", rate=3.0, service="constant", per="message"),
            )
        ),
    ),
    "some_down": Case(
        "one of two front ends dies, the other restarts",
        (ServerDown(at=6.31, duration=4.2, people=("ada",)), ServerRestart(at=13.37, people=("bob",))),
        seed=12,
    ),
    "low_accept_rate": Case(
        "the server accepts one connection a second, after a crash",
        (ServerDown(at=6.31, duration=2.2),),
        server=SERVER.replace(accept_rate=1.1, backlog=2),
        seed=65,
    ),
    "refusing_queue": Case(
        "the same, and a reset for who finds its queue full",
        (ServerDown(at=6.31, duration=2.2),),
        server=SERVER.replace(accept_rate=1.1, backlog=2, overflow="refuse"),
        seed=65,
    ),
    "queue_behind_a_proxy": Case(
        "the same, and 503 for who finds its queue full",
        (ServerDown(at=6.31, duration=2.2),),
        server=SERVER.replace(accept_rate=1.1, backlog=2, overflow="503"),
        seed=65,
    ),
    "loss": Case("one packet in ten is lost", network=NETWORK.replace(loss=0.1)),
    "heavy_loss": Case("for a while, four packets in ten are lost", (Loss(at=6.31, duration=9.4, loss=0.4),)),
    "later_loss": Case(
        "more packets are lost while others wait to be sent again",
        (
            Loss(at=6.31, duration=9.4, loss=0.3),
            Loss(at=8.17, duration=4.4, loss=0.5),
            Partition(at=14.03, duration=1.9),
        ),
    ),
    "long_message": Case(
        "60 kB, which TCP sends in three round trips", more=((12.87, "bob", "🎈" * 15_000),)
    ),
    "full_outbox": Case(
        "an outbox of one message while the server is down",
        (ServerDown(at=6.31, duration=11.9),),
        outbox=OutboxConfig(max_size=1, max_age=8.0),
        seed=13,
    ),
    "server_pings": Case(
        "the server sends the pings, and connections are half-open for a while",
        (HalfOpen(at=6.31, duration=1.3), NoPong(at=21.7, duration=12.1)),
        heartbeat=HeartbeatConfig(interval=4.0, timeout=2.0, mode="server"),
    ),
    "pings_both_ways": Case(
        "client and server send pings, and answers are lost",
        (HalfOpen(at=6.31, duration=1.3, direction="down"),),
        heartbeat=HeartbeatConfig(interval=4.0, timeout=2.0, mode="both"),
    ),
    "connected": Case(
        "people are connected at the start, and the server dies",
        (ServerDown(at=6.31, duration=6.2),),
        start="connected",
    ),
    "groups": Case(
        "one person polls from afar, and the server dies for another",
        (
            ServerDown(at=6.31, duration=6.2, groups=("others",)),
            HalfOpen(at=18.0, duration=3.1, groups=("far",)),
        ),
        groups=(
            Group(name="far", share=0.34, network=NetworkConfig(latency=0.31, jitter=0.05)),
            Group(name="polling", share=0.34, transport=SHORT_POLLING, network=NetworkConfig(latency=0.2)),
        ),
    ),
    "tls": Case("one round trip more to open a connection", network=NETWORK.replace(tls=True)),
}


NOT_LIVE = {"connected", "loss", "heavy_loss", "later_loss", "long_message"}
"""Cases that the live world doesn't simulate: loss, slow start, and people who are connected before."""


def _with(settings: T, given: dict[str, Any]) -> T:
    """Return settings with those that are given, as far as this transport has them."""
    has = {name: value for name, value in given.items() if value is not None and hasattr(settings, name)}
    return settings.replace(**has)


def kinds_of(transport: AnyTransport) -> set[str]:
    """Return the kinds of the plain transports that one may use, as `Blocked` names them."""
    if isinstance(transport, FallbackSettings):
        return {kind for inner in transport.transports for kind in kinds_of(inner)}
    return {str(transport.__struct_config__.tag).removeprefix("seed_")}


def scenario(case: str, transport: str) -> Scenario:
    """Return the scenario of one case with one transport."""
    what, faults, network, server, outbox, heartbeat, more, seed, groups, start = CASES[case]
    settings = TRANSPORTS[transport]
    given = {"outbox": outbox, "heartbeat": heartbeat}
    if isinstance(settings, FallbackSettings):
        inner = tuple(_with(each, given) for each in settings.transports)
        settings = settings.replace(transports=inner)
    else:
        settings = _with(settings, given)
    script = tuple(
        ScriptEntry(at=at, person=person, text=text, action="send" if text else "connect")
        for at, person, text in SCRIPT + more
        if text or start == "arriving"
    )
    used = kinds_of(settings)
    return Scenario(
        name=f"{case}, {transport}: {what}",
        duration=DURATION,
        seed=seed,
        people=PeopleConfig(count=3, script=script, groups=groups, start=start),
        transport=settings,
        network=network,
        server=server,
        faults=tuple(
            fault for fault in faults if not isinstance(fault, Blocked) or used.intersection(fault.transports)
        ),
    )


# The comparisons, each made once


@cache
def run_of(case: str, transport: str, world: str = "model") -> Run:
    """Return the case's run in a world of virtual time."""
    return run(scenario(case, transport), world)


@cache
def comparison(case: str, transport: str) -> Comparison:
    """Return how model and wire compare."""
    return compare(run_of(case, transport), run_of(case, transport, "wire"))


# The page


def table() -> str:
    """Return the table of all cases: how many steps are the same in model and wire."""
    lines = [f"| case | what happens | {' | '.join(TITLES.values())} |", "|---" * (2 + len(TITLES)) + "|"]
    for case, (what, *_) in CASES.items():
        cells = [_cell(comparison(case, transport)) for transport in TRANSPORTS]
        lines.append(f"| {case} | {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(compared: Comparison) -> str:
    return f"{compared.steps} ✓" if compared else f"✗ {compared.first}"


def with_table(page: str) -> str:
    """Return the page with the table of now."""
    before, _, rest = page.partition(MARK)
    _, _, after = rest.partition(MARK)
    return f"{before}{MARK}\n\n{table()}\n\n{MARK}{after}"


def main() -> int:
    """Print where model and wire differ, or write the page."""
    if "--write" in sys.argv[1:]:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    differing = [
        compared
        for case in CASES
        for transport in TRANSPORTS
        if not (compared := comparison(case, transport))
    ]
    sys.stdout.writelines(f"{compared}\n" for compared in differing)
    return bool(differing)


if __name__ == "__main__":
    raise SystemExit(main())
