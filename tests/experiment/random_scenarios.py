"""Random scenarios, and how many of them differ between model and wire: `docs/fidelity.md`.

    python -m tests.experiment.random_scenarios 2000 7    # compare 2,000 scenarios of seed 7

Prints each kind of difference with a scenario that was cut down to what it takes, and the count.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from msgspec import structs

from chatlab.errors import SettingsError
from chatlab.experiment.compare import compare
from chatlab.experiment.moments import Moment
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.toml import from_plain, to_plain
from chatlab.experiment.worlds.runner import run
from chatlab.settings import HeartbeatConfig, OutboxConfig, ReconnectConfig
from chatlab.settings.base import JITTERS, OVERFLOWS
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
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import (
    AnyTransport,
    FallbackSettings,
    LongPollingSettings,
    ShortPollingSettings,
    SSESettings,
    WebSocketSettings,
)
from tests.experiment.conformance import kinds_of

SHORTEST, LONGEST = 3.0, 20.0
"""Seconds that a scenario lasts."""

Strategy = st.SearchStrategy
T = TypeVar("T")

shares = st.builds(lambda tens, units: (100 * tens + units) / 1e4, st.integers(0, 99), st.integers(0, 99))
"""Uniform numbers in [0, 1). From large ranges Hypothesis draws mostly small numbers."""


def seconds(low: float, high: float) -> Strategy[float]:
    """Draw a time between these, in seconds, which is short in TOML."""
    return shares.map(lambda share: round(low + (high - low) * share, 4))


def some(
    kind: Callable[..., T], always: dict[str, Strategy[Any]] | None = None, /, **fields: Strategy[Any]
) -> Strategy[T]:
    """Draw settings of a kind: some of the `fields`, and those that are `always` given."""
    return st.fixed_dictionaries(always or {}, optional=fields).map(lambda given: kind(**given))


ONE_WAY = st.sampled_from([0.04, 0.0413, 0.2503, 0.7001, 1.5]) | seconds(0.001, 1.0)
SPREAD = st.sampled_from([0.01, 0.1]) | seconds(0.001, 0.5)
RANDOM = st.sampled_from([(0.05, 0.3), (0.05, 0.5), (0.3, 2.0)]).map(
    lambda pair: LogNormal(median=pair[0], p99=pair[1])
)
BANDWIDTH = st.sampled_from([100.0, 300.0, 1000.0, 3000.0, 20_000.0])
SHORT = st.sampled_from([0.0001, 0.001, 0.04, 0.05]) | seconds(0.01, 1.0)
WAIT = SHORT | seconds(0.2, 6.0)
PAUSE = seconds(0.04, 6.0)
"""Pauses between attempts. A thousand attempts a second would take minutes."""

networks = some(
    NetworkConfig,
    latency=ONE_WAY | RANDOM,
    jitter=SPREAD,
    bandwidth=BANDWIDTH,
    loss=st.sampled_from([0.01, 0.1, 0.3]),
    tls=st.just(True),
)
needs = st.lists(
    some(
        Need,
        {"name": st.sampled_from(["token", "database"]), "rate": st.sampled_from([0.3, 1.0, 4.0, 50.0])},
        service=st.just("constant"),
        queue=st.integers(1, 3),
        timeout=WAIT,
        per=st.just("message"),
        status=st.just(429),
        retry_after=st.just(0.0) | WAIT,
    ),
    max_size=2,
    unique_by=lambda need: need.name,
).map(tuple)
servers = some(
    ServerConfig,
    needs=needs,
    accept_rate=st.sampled_from([0.5, 2.0, 7.0, 50.0]),
    backlog=st.integers(1, 4),
    overflow=st.sampled_from(["drop", "refuse", "503"]),
    max_connections=st.integers(1, 4),
    service_time=st.sampled_from([0.001, 0.05, 0.3, 1.0]),
    service=st.sampled_from(["constant", "exponential"]),
    rate=st.sampled_from([0.1, 1.0, 5.0]),
    burst=st.integers(1, 5),
    max_hold=seconds(0.2, 8.0),
    keep_alive=seconds(0.2, 8.0),
    reconnection_time=WAIT,
    keep_history=st.just(False),
    presence=st.just(True),
)

row = st.tuples(WAIT, SHORT).map(lambda pair: (pair[0], pair[0] + pair[1]))
reconnects = some(
    ReconnectConfig,
    enabled=st.just(False),
    max_attempts=st.sampled_from([0, 1, 3, None]),
    base_delay=st.just(0.0) | WAIT,
    max_delay=st.just(0.0) | WAIT,
    backoff_multiplier=st.sampled_from([1.0, 1.5, 3.0]),
    jitter=st.sampled_from(JITTERS),
    stable_after=st.just(0.0) | WAIT,
    max_retry_after=st.just(0.0) | WAIT,
    schedule=st.lists(row, max_size=3).map(tuple),
)
outboxes = some(
    OutboxConfig,
    max_size=st.integers(1, 3),
    max_bytes=st.sampled_from([1, 100, 1000]),
    max_age=WAIT,
    max_in_flight=st.integers(1, 3),
    overflow=st.sampled_from(OVERFLOWS),
)
heartbeats = some(
    HeartbeatConfig,
    enabled=st.just(False),
    interval=seconds(0.1, 6.0),
    timeout=SHORT | seconds(0.1, 6.0),
    mode=st.sampled_from(["json", "ping", "none", "server", "both"]),
)
FAILURES = [
    "refused", "timeout", "reset", "close", "close 1006", "close 1012",
    "http", "http 503", "http 404", "answer",
]  # fmt: skip
ANY: dict[str, Strategy[Any]] = {
    "history": st.sampled_from([None, 0, 1, 3]),
    "failures": st.dictionaries(
        st.sampled_from(FAILURES), st.sampled_from(["retry", "give up", "stop"]), max_size=2
    ),
    "reconnect": reconnects,
    "outbox": outboxes,
    "connect_timeout": PAUSE,
    "drain_timeout": st.just(0.0) | WAIT,
}
HTTP = {**ANY, "request_timeout": PAUSE}
singles: Strategy[Any] = st.one_of(
    some(
        WebSocketSettings,
        **ANY,
        protocols=st.just(("chat.v1",)),
        heartbeat=heartbeats,
        max_frame_size=st.sampled_from([50, 200, 1000]),
    ),
    some(
        SSESettings,
        **HTTP,
        idle_timeout=seconds(0.2, 8.0),
        strict_eventsource=st.just(True),
        max_event_size=st.sampled_from([50, 200, 1000]),
        min_retry=st.just(0.0) | WAIT,
    ),
    some(
        LongPollingSettings,
        **HTTP,
        timeout=seconds(0.2, 8.0),
        hold=seconds(0.2, 8.0),
        error_delay=PAUSE,
        min_gap=st.just(0.0) | WAIT,
    ),
    some(ShortPollingSettings, **HTTP, interval=seconds(0.1, 6.0), spread=SHORT),
)
transports: Strategy[AnyTransport] = st.one_of(
    singles,
    some(
        FallbackSettings,
        transports=st.lists(singles, min_size=1, max_size=3).map(tuple),
        attempts_per_transport=st.integers(1, 3),
        upgrade_after=WAIT,
    ),
)

GROUPS = ["phones", "ünï 🎈"]
groups: Strategy[tuple[Group, ...]] = st.just(()) | st.lists(
    some(
        Group,
        {"name": st.sampled_from(GROUPS), "share": st.sampled_from([0.0, 0.25, 0.34, 0.5])},
        transport=transports,
        network=networks,
    ),
    max_size=2,
    unique_by=lambda group: group.name,
).map(tuple)

TEXTS = st.sampled_from(
    ["hello", '{"type":"ping"}', "ünïcode 🎈", "two\nlines", "x" * 700, "é" * 3000, "data: \\u0000"]
) | st.text(min_size=1, max_size=20)
NAMES = ["ada", "bob", "zoë"]


def lasting(at: Strategy[float], people: PeopleConfig) -> dict[str, Strategy[Any]]:
    """Draw when a fault begins, how long it lasts, and whom it hits; two may end at the same instant."""
    return {"at": at, "duration": WAIT, **whom(people)}


def whom(people: PeopleConfig) -> dict[str, Strategy[Any]]:
    """Draw whom a fault hits: mostly everybody."""
    some_names = st.lists(st.sampled_from(people.names), max_size=2, unique=True).map(tuple)
    some_groups = st.lists(st.sampled_from(people.membership.names), max_size=2, unique=True).map(tuple)
    return {
        "share": st.sampled_from([1.0, 1.0, 0.5, 0.0]),
        "people": st.just(()) | some_names,
        "groups": st.just(()) | some_groups,
    }


def faults(at: Strategy[float], people: PeopleConfig, used: list[str]) -> Strategy[AnyFault]:
    """Draw a fault that begins at one of these instants; `used` are the kinds of transports."""
    long = lasting(at, people)
    return st.one_of(
        some(ConnectionReset, {"at": at}, **whom(people)),
        some(HalfOpen, {"at": at}, duration=WAIT, direction=st.sampled_from(["up", "down"]), **whom(people)),
        some(ServerDown, long),
        some(ServerRestart, long),
        some(Partition, long),
        some(Flapping, long | {"period": seconds(0.2, 5.0), "down": seconds(0.001, 0.19)}),
        some(Loss, long | {"loss": st.sampled_from([0.05, 0.3, 1.0])}),
        some(HighLatency, long | {"latency": ONE_WAY | RANDOM}, jitter=SPREAD),
        some(LowBandwidth, long | {"bandwidth": BANDWIDTH}),
        some(IdleTimeout, long | {"timeout": seconds(0.1, 5.0)}),
        some(Buffering, long, size=st.sampled_from([1, 100, 1000])),
        some(
            HttpError,
            long | {"status": st.sampled_from([400, 401, 404, 413, 429, 451, 500, 502, 503, 599])},
            retry_after=st.just(0.0) | WAIT,
        ),
        some(NoPong, long),
        some(SlowServer, long | {"service_time": WAIT}),
        some(NodeDown, {"at": at, "duration": WAIT}),
        some(RollingRestart, {"at": at, "drain": st.just(0.0) | WAIT, "down": WAIT}),
        some(NetworkChange, {"at": at}, **whom(people)),
        some(Suspended, long),
        some(
            Blocked,
            {"at": at, "transports": st.lists(st.sampled_from(used), min_size=1, unique=True).map(tuple)},
            how=st.sampled_from(["403", "swallow", "reset"]),
            duration=WAIT,
            **whom(people),
        ),
        *(
            [some(Blocked, {"at": at, "how": st.just("strip_upgrade")}, duration=WAIT)]
            * ("websocket" in used)
        ),
        some(Throttled, long | {"period": st.sampled_from([0.5, 3.0, 60.0]) | seconds(0.05, 5.0)}),
    )


def entries(at: Strategy[float]) -> Strategy[ScriptEntry]:
    """Draw a person's action at one of these instants."""
    person = {"at": at, "person": st.sampled_from(NAMES)}
    return some(ScriptEntry, person | {"text": TEXTS}) | some(
        ScriptEntry, person | {"action": st.sampled_from(["connect", "disconnect"])}
    )


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Draw a scenario; some things in it happen at the very same instant."""
    wrong, said = draw(st.integers(0, 4)), draw(st.integers(0, 5))
    duration = draw(seconds(SHORTEST, LONGEST))
    shared = draw(st.lists(seconds(0.0, duration), max_size=2))
    at = seconds(0.0, duration) | (st.sampled_from(shared) if shared else st.just(0.0))
    script = draw(st.tuples(*[entries(at)] * said))
    few = len({entry.person for entry in script})
    people = draw(
        some(
            PeopleConfig,
            {
                "count": st.integers(max(few, 1), 4),
                "script": st.just(script),
                "send_rate": st.sampled_from([0.0, 0.2, 1.0, 3.0]),
            },
            rooms=st.integers(1, 2),
            message_size=st.sampled_from([1, 80, 2000]),
            arrive_over=SHORT | seconds(0.0, 5.0),
        )
    )
    network = draw(networks)
    parts = tuple(
        group.replace(network=group.network and group.network.replace(tls=network.tls))
        for group in draw(groups)
    )
    people = people.replace(groups=parts)
    if draw(st.booleans()) and not people.arrive_over:
        people = people.replace(start="connected")
    transport = draw(transports)
    own = [group.transport for group in parts if group.transport is not None]
    used = sorted(set().union(*map(kinds_of, [transport, *own])))
    return Scenario(
        duration=duration,
        seed=draw(st.integers(0, 100_000)),
        people=people,
        transport=transport,
        network=network,
        server=draw(servers),
        faults=draw(st.tuples(*[faults(at, people, used)] * wrong)),
    )


# What differs


def difference(scenario: Scenario) -> str:
    """Return the kind of the first difference of model and wire; "": they agree."""
    runs = []
    for world in ("model", "wire"):
        try:
            runs.append(run(scenario, world))
        except Exception as error:
            return f"{world}: {type(error).__name__}: {error}"
    comparison = compare(*runs)
    first = comparison.first
    if first is None:
        return ""
    sides = _what_differs(first.a, first.b)
    return " | ".join(f"{world}: {what}" for world, what in zip(comparison.worlds, sides, strict=True))


def _what_differs(a: Moment | None, b: Moment | None) -> tuple[str, str]:
    """Return the first different event or effect, without numbers and texts."""
    if a is None or b is None:
        return _in_general(a), _in_general(b)
    parts = zip_longest(a.text.split("; "), b.text.split("; "), fillvalue="no more")
    unlike = next(((one, other) for one, other in parts if one != other), None)
    if unlike is None:
        when = ("earlier", "later") if a.at < b.at else ("later", "earlier")
        return f"{_in_general(a)}, {when[0]}", when[1]
    one, other = unlike
    return _in_general(structs.replace(a, text=one)), _in_general(structs.replace(b, text=other))


def _in_general(moment: Moment | None) -> str:
    """Return the beginning of a text, without numbers and quoted texts."""
    if moment is None:
        return "nothing"
    text = re.sub(r"“.*?”", "…", re.sub(r"\d+", "n", moment.text), flags=re.DOTALL)
    return text.split("; ")[0][:60]


def _smaller(value: Any) -> Iterator[Any]:
    """Yield smaller variants of TOML's data."""
    if isinstance(value, dict):
        for name, item in value.items():
            rest = {other: value[other] for other in value if other != name}
            yield rest
            yield from (rest | {name: less} for less in _smaller(item))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield [*value[:place], *value[place + 1 :]]
            yield from ([*value[:place], less, *value[place + 1 :]] for less in _smaller(item))
    elif isinstance(value, float):
        yield from (round(value, digits) for digits in range(3) if round(value, digits) != value)
    elif isinstance(value, str) and len(value) > 1:
        yield from ("x", value[: len(value) // 2])


def _read(plain: Any) -> Scenario | None:
    try:
        return from_plain(plain, Scenario)
    except SettingsError:
        return None


def cut_down(scenario: Scenario, kind: str) -> Scenario:
    """Return the scenario without the parts that this kind of difference doesn't need."""
    plain = to_plain(scenario)
    while smaller := next(
        (less for less in _smaller(plain) if (made := _read(less)) and difference(made) == kind), None
    ):
        plain = smaller
    return from_plain(plain, Scenario)


def drawn(number: int, first: int) -> list[Scenario]:
    """Return `number` random scenarios, those of the seed `first`."""
    kept: list[Scenario] = []

    @seed(first)
    @settings(
        max_examples=number,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(scenarios())
    def keep(scenario: Scenario) -> None:
        kept.append(scenario)

    keep()
    return kept


def count(number: int, first: int) -> dict[str, list[Scenario]]:
    """Return the scenarios that differ, of `number` random ones, by kind of difference."""
    found: dict[str, list[Scenario]] = defaultdict(list)
    for scenario in drawn(number, first):
        if kind := difference(scenario):
            found[kind].append(scenario)
    return found


def report(number: int, first: int) -> Iterator[str]:
    """Yield a small scenario of each kind of difference in `number` random ones, then the count."""
    found = count(number, first)
    for kind, differing in sorted(found.items(), key=lambda item: -len(item[1])):
        smallest = min(differing, key=lambda scenario: len(scenario.to_toml()))
        yield f"# {len(differing)}: {kind}\n\n{cut_down(smallest, kind).to_toml()}"
    total = sum(map(len, found.values()))
    yield f"# {total:,} of {number:,} scenarios differ ({total / number:.1%}), seed {first}"


if __name__ == "__main__":
    for part in report(*map(int, sys.argv[1:])):
        sys.stdout.write(f"{part}\n")
