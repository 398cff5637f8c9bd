"""The real stacks on virtual time, with which the model agrees byte for byte."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time

import pytest
from httpcore._async import http11

from chatlab.errors import SettingsError
from chatlab.experiment.compare import compare
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.experiment.worlds.wire_world import WireLines, talk_on_wire
from chatlab.live.client.kinds import make_config, make_transport
from chatlab.messages import OutgoingMessage
from chatlab.settings import ReconnectConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import (
    AnyFault,
    ConnectionReset,
    HalfOpen,
    HighLatency,
    HttpError,
    IdleTimeout,
    NoPong,
    Partition,
    ServerDown,
    ServerRestart,
    SlowServer,
)
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
from tests.http_clients import http_client
from tests.sizes import rows

TRANSPORTS: dict[str, AnyTransport] = {
    "websocket": WebSocketSettings(),
    "sse": SSESettings(),
    "long_polling": LongPollingSettings(),
    "short_polling": ShortPollingSettings(),
    "fallback": FallbackSettings(),
}
BYTES = ("bytes_up", "bytes_down")


def assert_same(model: Run, wire: Run) -> None:
    """Steps as `compare` has it, and every metric: counts exactly, and times to a microsecond.

    Who sends something at the very instant at which his connection ends may have been too late: bytes of
    nobody's message, which the model counts.
    """
    comparison = compare(model, wire)
    assert comparison, str(comparison)
    assert comparison.apart < 1e-6
    assert len(model.trace) == len(wire.trace)
    assert wire.metrics.keys() == model.metrics.keys()
    for name, value in model.metrics.items():
        tolerance = 0.01 * (value or 0) if name in BYTES else 1e-6
        assert wire.metrics[name] == (value and pytest.approx(value, rel=0, abs=tolerance)), name
    assert wire.series == model.series


def both(scenario: Scenario) -> tuple[Run, Run]:
    return run(scenario), run(scenario, "wire")


# The model and the wire, with three people

TROUBLES: dict[str, tuple[NetworkConfig, ServerConfig, tuple[AnyFault, ...]]] = {
    "nothing": (NetworkConfig(latency=0.05), ServerConfig(presence=True), ()),
    "luck": (NetworkConfig(latency=LogNormal(median=0.05, p99=0.3), jitter=0.01), ServerConfig(), ()),
    "TLS": (NetworkConfig(tls=True), ServerConfig(), (ServerDown(at=10.0, duration=5.0),)),
    "a thin line": (NetworkConfig(bandwidth=3000.0), ServerConfig(), ()),
    "a busy server": (
        NetworkConfig(),
        ServerConfig(accept_rate=2.0, backlog=2, service_time=0.03, service="exponential"),
        (ServerDown(at=10.0, duration=5.0),),
    ),
    "a restart that forgets": (
        NetworkConfig(), ServerConfig(keep_history=False), (ServerRestart(at=10.0, duration=3.0),),
    ),
    "one front end less": (
        NetworkConfig(), ServerConfig(), (ServerRestart(at=10.0, duration=5.0, people=("person-2",)),),
    ),
    "resets, also while it opens": (
        NetworkConfig(latency=0.05), ServerConfig(),
        (ConnectionReset(at=0.03), ConnectionReset(at=1.3), ConnectionReset(at=20.0)),
    ),
    "half-open": (NetworkConfig(), ServerConfig(), (HalfOpen(at=10.0, duration=5.0),)),
    "a partition": (NetworkConfig(), ServerConfig(), (Partition(at=10.0, duration=20.0, share=0.5),)),
    "late and later": (
        NetworkConfig(), ServerConfig(), (HighLatency(at=10.0, duration=20.0, latency=0.5, jitter=0.2),),
    ),
    "an impatient proxy": (
        NetworkConfig(), ServerConfig(), (IdleTimeout(at=5.0, duration=40.0, timeout=2.5),),
    ),
    "errors from the start": (
        NetworkConfig(), ServerConfig(), (HttpError(at=0.0, duration=8.0, retry_after=2.5),),
    ),
    "a mute server": (NetworkConfig(), ServerConfig(), (NoPong(at=5.0, duration=50.0),)),
    "a slow server": (
        NetworkConfig(), ServerConfig(), (SlowServer(at=10.0, duration=20.0, service_time=0.2),),
    ),
}  # fmt: skip


@pytest.mark.sampled(2)
@pytest.mark.slow
@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("transport", rows(TRANSPORTS, "websocket"))
def test_the_model_does_what_the_real_stacks_do(transport: str, trouble: str) -> None:
    network, server, faults = TROUBLES[trouble]
    assert_same(
        *both(
            Scenario(
                name=f"{transport}, {trouble}",
                duration=60.0,
                seed=3,
                people=PeopleConfig(count=3, send_rate=0.2),
                transport=TRANSPORTS[transport],
                network=network,
                server=server,
                faults=faults,
            )
        )
    )


@pytest.mark.parametrize("server", [ServerConfig(presence=True), ServerConfig(max_connections=1)])
def test_people_who_come_at_one_instant_come_in_the_same_order(server: ServerConfig) -> None:
    """People of the script come in their order too, though the model knows the others' actions beforehand."""
    script = (
        ScriptEntry(at=1.0, person="ann", text="hi"),
        ScriptEntry(at=1.5, person="bob", action="disconnect"),
    )
    scenario = Scenario(
        duration=5.0,
        people=PeopleConfig(count=4, script=script),
        transport=WebSocketSettings(reconnect=ReconnectConfig(jitter="none")),
        server=server,
    )
    assert_same(*both(scenario))


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("transport", [WebSocketSettings(), ShortPollingSettings()])
def test_a_server_has_a_connection_that_is_given_up_until_the_syn_ack_is_answered(
    transport: AnyTransport, tls: bool
) -> None:
    """Bob's request comes when ada, who has given up at once, still counts."""
    script = (
        ScriptEntry(at=0.0, person="bob", action="connect"),
        ScriptEntry(at=0.01 + 0.08 * tls, person="ada", action="connect"),
        ScriptEntry(at=0.03 + 0.08 * tls, person="ada", action="disconnect"),
    )
    model, wire = both(
        Scenario(
            duration=5.0,
            people=PeopleConfig(count=2, script=script),
            transport=transport,
            network=NetworkConfig(tls=tls),
            server=ServerConfig(max_connections=1),
        )
    )
    assert_same(model, wire)
    assert any("503" in str(step.event) for step in model.steps("bob"))


# What a message costs


@pytest.mark.slow
@pytest.mark.parametrize("rate", rows([0.1, 1.0, 10.0], 1.0))
@pytest.mark.parametrize("transport", [kind for kind in TRANSPORTS if kind != "fallback"])
def test_the_models_bytes_are_those_on_the_wire(transport: str, rate: float) -> None:
    """Within 2 %, as issue 5 has it; in fact they are the same to the last byte."""
    scenario = Scenario(
        duration=60.0 / rate if rate < 10 else 20.0,
        people=PeopleConfig(count=2, send_rate=rate / 2),
        transport=TRANSPORTS[transport],
    )
    model, wire = both(scenario)
    assert wire.metrics["delivered"]
    for name in BYTES:
        assert model.metrics[name] == wire.metrics[name]


@pytest.mark.parametrize(("bandwidth", "sample"), [(300.0, 2), (None, 0)])
def test_protocols_cost_their_bytes_and_take_their_time(bandwidth: float | None, sample: int) -> None:
    """Silent clients, whose steps aren't recorded, are counted in another way."""
    inner = (WebSocketSettings(protocols=("chat.v1", "chat.v2")), WebSocketSettings(protocols=("a",)))
    for transport in (inner[0], FallbackSettings(transports=inner)):
        scenario = Scenario(
            duration=5.0,
            people=PeopleConfig(count=2),
            transport=transport,
            network=NetworkConfig(bandwidth=bandwidth),
        )
        model, wire = run(scenario, sample=sample), run(scenario, "wire")
        assert compare(model, wire)
        assert model.metrics["bytes_up"] == wire.metrics["bytes_up"]


# Time


def test_an_hour_of_heartbeats_is_to_the_beat() -> None:
    quiet = Scenario(duration=3600.0, network=NetworkConfig(latency=0.05))
    wire = run(quiet, "wire")
    pongs = [step.at for step in wire.trace if '"pong"' in str(step.event)]
    assert pongs == pytest.approx([30.0 * beat + 4 * 0.05 + 2 * 0.05 for beat in range(1, 120)])


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_proxy_answers_as_a_server_with_too_many_connections(transport: str) -> None:
    def answers(server: ServerConfig) -> set[str]:
        """Return the answers to the second and third person, who come while the first one waits or is in."""
        people = PeopleConfig(
            count=3,
            script=tuple(
                ScriptEntry(at=at, person=name, action="connect")
                for at, name in ((0.0, "ada"), (0.11, "bob"), (0.23, "cleo"))
            ),
        )
        result = run(
            Scenario(duration=1.0, people=people, server=server, transport=TRANSPORTS[transport]), "wire"
        )
        steps = [step for name in ("bob", "cleo") for step in result.steps(name)]
        events = [re.sub(r"link=\d+", "", str(step.event)) for step in steps]
        return {event for event in events if "503" in event}

    overflowing = answers(ServerConfig(accept_rate=0.5, backlog=1, overflow="503"))
    assert len(overflowing) == 1
    assert overflowing == answers(ServerConfig(max_connections=1))


def test_a_half_open_connection_is_found_forty_seconds_on() -> None:
    wire = run(
        Scenario(duration=100.0, network=NetworkConfig(latency=0.05), faults=(HalfOpen(at=31.0),)), "wire"
    )
    [lost] = [span.end for span in wire.statuses("person-1") if span.status == "connected"][:1]
    assert lost == pytest.approx(60.2 + 10.0)


# The world


@pytest.mark.slow
def test_a_run_is_the_same_each_time() -> None:
    scenario = Scenario(
        duration=40.0,
        people=PeopleConfig(count=3, send_rate=0.5),
        transport=SSESettings(),
        network=NetworkConfig(latency=LogNormal(median=0.04, p99=0.2)),
        faults=(ServerDown(at=10.0, duration=5.0),),
    )
    assert run(scenario, "wire").to_json_lines() == run(scenario, "wire").to_json_lines()


async def test_it_runs_inside_a_running_loop() -> None:
    scenario = Scenario(duration=5.0, people=PeopleConfig(count=2, send_rate=1.0))
    inside = run(scenario, "wire")
    outside = await asyncio.to_thread(run, scenario, "wire")
    assert inside.to_json_lines() == outside.to_json_lines()


def test_no_thread_is_started_and_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    before = set(threading.enumerate())
    with caplog.at_level(logging.WARNING):
        run(
            Scenario(
                duration=60.0, transport=LongPollingSettings(), faults=(ServerDown(at=5.0, duration=9.0),)
            ),
            "wire",
        )
    assert set(threading.enumerate()) == before
    assert not caplog.records


def test_httpcore_has_the_loops_time_only_meanwhile() -> None:
    """It would keep an idle connection by the wall clock: here it must be gone after four virtual seconds."""
    assert vars(http11)["time"] is time
    script = tuple(ScriptEntry(at=at, person="ada", text="hi") for at in (1.5, 3.5, 8.5))
    scenario = Scenario(
        duration=20.0, people=PeopleConfig(script=script), transport=ShortPollingSettings(interval=100.0)
    )
    model, wire = both(scenario)
    assert vars(http11)["time"] is time
    assert_same(model, wire)


def test_only_the_steps_of_a_sample_are_recorded() -> None:
    wire = run(Scenario(duration=5.0, people=PeopleConfig(count=3)), "wire", sample=1)
    assert wire.people == ["person-1"]
    assert {step.person for step in wire.trace} == {"person-1"}
    assert wire.world == "wire"


@pytest.mark.slow
def test_many_people_have_addresses_of_their_own() -> None:
    scenario = Scenario(duration=3.0, people=PeopleConfig(count=300, rooms=100, send_rate=0.1))
    model, wire = both(scenario)
    assert compare(model, wire)


def test_another_dialect_is_refused() -> None:
    with pytest.raises(SettingsError, match="dialect"):
        run(Scenario(transport=WebSocketSettings(dialect="text")), "wire")


# Other clients


async def _fetch(url: str, lines: WireLines) -> tuple[float, int, int]:
    async with http_client(timeout=None) as client:
        answer = await client.get(f"{url}/healthz")
    return asyncio.get_running_loop().time(), answer.status_code, lines.bytes_up


def test_any_client_can_talk_to_the_server_in_virtual_time() -> None:
    seconds, status, sent = talk_on_wire(_fetch, NetworkConfig(latency=1.0))
    assert seconds == 4.0
    assert status == 200
    assert sent > len("GET /healthz HTTP/1.1")


async def test_a_client_can_talk_from_within_a_running_loop() -> None:
    seconds, *_ = talk_on_wire(_fetch)
    assert seconds == pytest.approx(4 * 0.04)


@pytest.mark.parametrize(("kind", "each"), [("websocket", 1.0), ("sse", 4 / 3)])
def test_the_overhead_of_a_byte_on_the_wire(kind: str, each: float) -> None:
    async def cost(url: str, lines: WireLines) -> list[int]:
        sizes = []
        async with make_transport(make_config(kind, url), loop="current") as chat:
            for size in (300, 300, 3300):
                before = lines.bytes_up
                receipt = await chat.send(OutgoingMessage(data=bytes(size)))
                await receipt.settled()
                sizes.append(lines.bytes_up - before)
        return sizes

    _, small, large = talk_on_wire(cost)
    assert (large - small) / 3000 == pytest.approx(each, abs=0.01)
