from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.errors import SettingsError
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.toml import from_plain, read_toml, to_whole, write_toml
from chatlab.settings import (
    JITTERS,
    HeartbeatConfig,
    Name,
    OutboxConfig,
    ReconnectConfig,
    Settings,
    WebSocketConfig,
)
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import ConnectionReset, HalfOpen, Partition, ServerDown, ServerRestart
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import SSESettings, WebSocketSettings

DEPLOY = """
name = "deploy"
duration = 120.0                 # seconds
seed = 7

[people]
count = 1000
rooms = 50
send_rate = 0.02                 # messages a second a person, Poisson; or [[people.script]] entries
arrive_over = 5.0                # seconds over which first connections are spread; 0: all at once

[transport]
kind = "websocket"
[transport.reconnect]
jitter = "full"

[network]
latency = { median = 0.04, p99 = 0.2 }   # one way, log-normal; or a number

[server]
accept_rate = 500.0              # connections a second
backlog = 1000

[[faults]]
kind = "server_down"
at = 30.0
duration = 20.0
"""

EXPECTED = Scenario(
    name="deploy",
    duration=120.0,
    seed=7,
    people=PeopleConfig(count=1000, rooms=50, send_rate=0.02, arrive_over=5.0),
    transport=WebSocketSettings(reconnect=ReconnectConfig(jitter="full")),
    network=NetworkConfig(latency=LogNormal(median=0.04, p99=0.2)),
    server=ServerConfig(accept_rate=500.0, backlog=1000),
    faults=(ServerDown(at=30.0, duration=20.0),),
)


def test_a_scenario_file_reads_as_its_python() -> None:
    assert Scenario.from_toml(DEPLOY) == EXPECTED


def test_files_come_back_equal(tmp_path: Path) -> None:
    EXPECTED.save(tmp_path / "deploy.toml")
    assert Scenario.load(tmp_path / "deploy.toml") == EXPECTED
    assert Scenario.load(str(tmp_path / "deploy.toml")) == EXPECTED


def test_defaults_are_not_written() -> None:
    assert Scenario.from_toml(Scenario().to_toml()) == Scenario()
    assert Scenario().to_toml() == ""
    assert "heartbeat" not in EXPECTED.to_toml()


DIRECTIONS = st.sampled_from(["up", "down", "both"])
times = st.floats(0, 1e6)
faults = st.one_of(
    st.builds(ServerDown, at=times, duration=st.floats(0.001, 1e6)),
    st.builds(ServerRestart, at=times),
    st.builds(ConnectionReset, at=times, people=st.sampled_from([(), ("ada",), ("ada", "person-2")])),
    st.builds(HalfOpen, at=times, duration=times, share=st.floats(0, 1), direction=DIRECTIONS),
    st.builds(Partition, at=times, duration=st.floats(0.001, 1e6)),
)
scenarios = st.builds(
    Scenario,
    name=st.text(max_size=20),
    seed=st.integers(0, 2**63 - 1),
    duration=st.floats(0.001, 1e6),
    people=st.builds(
        PeopleConfig,
        count=st.integers(2, 9),
        script=st.just(
            (
                ScriptEntry(at=1.0, person="ada", text='"\\\n\t é 🎈'),
                ScriptEntry(at=2, person="ada", action="connect"),
            )
        ),
    ),
    transport=st.builds(
        WebSocketSettings,
        history=st.none() | st.integers(0, 9),
        protocols=st.sampled_from([(), ("a", "b")]),
        failures=st.sampled_from([{}, {"close 4429": "retry", "tls": "stop"}]),
        reconnect=st.builds(
            ReconnectConfig,
            jitter=st.sampled_from(JITTERS),
            max_attempts=st.none() | st.integers(0, 9),
            schedule=st.sampled_from([(), ((0.0, 1.0), (2.0, 3.5))]),
        ),
        heartbeat=st.builds(HeartbeatConfig, mode=st.sampled_from([None, "json", "ping", "none"])),
        outbox=st.builds(OutboxConfig, max_age=st.none() | st.floats(0.001, 10)),
    ),
    network=st.builds(NetworkConfig, latency=st.just(LogNormal(median=0.1, p99=0.3)) | st.floats(0, 10)),
    server=st.builds(ServerConfig, accept_rate=st.none() | st.floats(0.001, 100)),
    faults=st.lists(faults, max_size=4).map(tuple),
)


@pytest.mark.slow
@given(scenarios)
def test_every_scenario_survives_toml(scenario: Scenario) -> None:
    assert Scenario.from_toml(scenario.to_toml()) == scenario


def test_a_transport_has_the_configs_own_settings_and_defaults() -> None:
    """The fields of the config, with its types and defaults, except those that the world sets."""

    def fields(kind: type[msgspec.Struct]) -> dict[str, tuple[object, object]]:
        return {
            field.name: (
                field.type,
                field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory(),
            )
            for field in msgspec.structs.fields(kind)
        }

    config, settings = fields(WebSocketConfig), fields(WebSocketSettings)
    # A file can only name a dialect, a config may have one of the user's own.
    assert settings.pop("dialect") == (Name, config.pop("dialect")[1])
    given_by_the_world = {"url", "room", "sender", "headers", "after", "ca_file", "proxy"}
    assert settings == {name: of for name, of in config.items() if name not in given_by_the_world}


def test_a_transport_becomes_a_config_and_comes_back() -> None:
    settings = WebSocketSettings(history=None, reconnect=ReconnectConfig(jitter="full"), protocols=("a",))
    config = settings.config(url="ws://host/chat", room="r", sender="ada")
    assert (config.url, config.room, config.sender, config.history) == ("ws://host/chat", "r", "ada", None)
    assert WebSocketSettings.of(config) == settings


BAD_TOML = [
    ('duration = "long"', "duration: give a number, got 'long'"),
    ("duration = 0", "duration: give a number above 0.0, got 0"),
    ("seed = -1", "seed: give a whole number of at least 0, got -1"),
    ("people = 3", "people: give a table, got 3"),
    ("latency = 1", "latency: there is no such setting; choose from name, duration, seed, people,"),
    ("[people]\ncuont = 3", "people.cuont: there is no such setting; did you mean 'count'?"),
    ("[people]\ncount = 1.5", "people.count: give a whole number, got 1.5"),
    ("[people]\ncount = 0", "people.count: give a whole number of at least 1, got 0"),
    (
        "[[people.script]]\nat = 1\nperson = 'a'",
        "people.script[0]: give either a text to send, or",
    ),
    ("[transport]\ndialect = 'irc'", "there is no 'irc'; choose one of chatlab, "),
    (
        "[transport]\nkind = 'websockt'",
        "transport.kind: choose one of websocket, sse, ",
    ),
    ("[transport]\nhistory = 'all'", "transport.history: give a whole number or \"none\", got 'all'"),
    (
        "[transport.reconnect]\njitter = 'ful'",
        "transport.reconnect.jitter: choose one of capped-10%, decorrelated, equal, full,",
    ),
    (
        "[transport.reconnect]\njiter = 'full'",
        "transport.reconnect.jiter: there is no such setting; did you mean 'jitter'?",
    ),
    (
        "[transport.reconnect]\nschedule = [[1, 2], [3]]",
        "transport.reconnect.schedule[1]: give a list of length 2, got [3]",
    ),
    (
        "[transport.heartbeat]\nmode = 'xml'",
        "transport.heartbeat.mode: choose one of both, json, none, ping, server, got 'xml'",
    ),
    ("[transport.failures]\nfoo = 'retry'", "transport.failures: give a text matching regex"),
    (
        "[network]\nlatency = { median = 0.2, p9 = 1 }",
        "network.latency.p9: there is no such setting; did you mean 'p99'?",
    ),
    ("[network]\nlatency = { median = 0.2 }", "network.latency.p99: it's missing"),
    (
        "[network]\nlatency = { median = 2, p99 = 1 }",
        "network.latency.p99: give at least the median (2), got 1",
    ),
    ("[network]\nloss = 1", "network.loss: give a number below 1.0, got 1"),
    ("[server]\nbacklog = -1", "server.backlog: give a whole number of at least 1, got -1"),
    (
        "[[faults]]\nat = 1",
        "faults[0].kind: it's missing; choose one of server_down, server_restart, connection_reset,",
    ),
    ("[[faults]]\nkind = 'sever_down'\nat = 1", "got 'sever_down' (did you mean 'server_down'?)"),
    ("[[faults]]\nkind = 7\nat = 1", "faults[0].kind: choose one of server_down,"),
    ("[[faults]]\nkind = 'server_down'\nduration = 1", "faults[0].at: it's missing"),
    ("[[faults]]\nkind = 'half_open'\nat = -1", "faults[0].at: give a number of at least 0.0, got -1"),
    (
        "[[faults]]\nkind = 'half_open'\nat = 1\nshare = 2",
        "faults[0].share: give a number of at most 1.0",
    ),
    (
        "[[faults]]\nkind = 'half_open'\nat = 1\npeople = ['bob']",
        "faults[0].people: choose from person-1, got 'bob'",
    ),
    ("duration = ", "not valid TOML:"),
    ("duration = 2020-01-01", "duration: give a number, got datetime.date(2020, 1, 1)"),
    ("duration = nan", "duration: give a number above 0.0, got nan"),
    ("faults = {}", "faults: give a list, got {}"),
    ("faults = [{kind = []}]", "faults[0].kind: choose one of server_down,"),
    ("transport.kind = {}", "transport.kind: choose one of websocket,"),
    ("transport = 'pigeon'", "transport: choose one of websocket,"),
    ("transport = 7", "transport: give a table, got 7"),
    ("a = " + "[" * 100_000, "not valid TOML: its lists or tables are nested too deeply"),
    ("a = " + "{a = " * 1000, "not valid TOML: its lists or tables are nested too deeply"),
    ("[" + "a." * 100_000 + "a]", "not valid TOML: a key has more than 50 parts"),
    ("people . " * 100_000 + "count = 1", "not valid TOML: a key has more than 50 parts"),
    ("seed = " + "9" * 5000, "not valid TOML: a number has too many digits"),
    ('"a\\n\\u001b[2J" = 1', "a\u21b5\u27e8ESC\u27e9[2J: there is no such setting"),
]

LARGE = [
    ("people.count = 1000000000", "people.count: give a whole number of at most 1000000, got 1000000000"),
    ("people.rooms = 1000000000000", "people.rooms: give a whole number of at most 1000000, got"),
    ("duration = 1e9", "duration: give a number of at most 10000000.0, got 1000000000.0"),
    (
        "duration = 1e6\npeople = { count = 1000, send_rate = 1.0 }",
        "people.send_rate: 1,000 people would send 1e+09 messages in 1e+06 s, and a run holds at most 10,000",
    ),
    (
        "[[faults]]\nkind = 'flapping'\nat = 1\nduration = 9\nperiod = 1e-9\ndown = 1e-10",
        "faults[0].period: give a number of at least 0.001",
    ),
    ("name = '" + "x" * 1_000_000 + "'", "name: give a text of at most 200 characters, got 'xxx"),
    ("x" * 1_000_000 + " = 1", "xxx"),
]
"""Scenarios beyond the memory and time of any machine, and long texts."""


@pytest.mark.parametrize(("text", "message"), BAD_TOML + LARGE, ids=lambda text: text[:40])
def test_a_bad_file_is_refused_by_field(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Scenario.from_toml(text)
    told = str(refused.value)
    assert message in told
    assert len(told) < 500
    assert "\n" not in told


def test_another_name_of_a_jitter_is_read() -> None:
    read = Scenario.from_toml("[transport.reconnect]\njitter = 'capped-10%'")
    assert read == Scenario()


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "bom.toml"
    path.write_text("duration = 2.0", encoding="utf-8-sig")
    assert Scenario.load(path).duration == Scenario.from_toml("\ufeffduration = 2.0").duration == 2.0


BAD_PYTHON: list[tuple[Callable[[], object], str]] = [
    (lambda: Scenario(duration="long"), "Scenario.duration: give a number, got 'long'"),  # type: ignore[arg-type]
    (lambda: Scenario(seed=1.5), "Scenario.seed: give a whole number, got 1.5"),  # type: ignore[arg-type]
    (lambda: Scenario(faults=(3,)), "Scenario.faults: "),  # type: ignore[arg-type]
    (lambda: ServerDown(at=1.0, duration=0.0), "ServerDown.duration: give a number above 0.0"),
    (lambda: HalfOpen(at=1.0, share=2.0), "HalfOpen.share: give a number of at most 1.0"),
    (lambda: WebSocketSettings(dialect="irc"), "choose one of chatlab, "),
    (lambda: NetworkConfig(latency=-1.0), "NetworkConfig.latency: "),
]


@pytest.mark.parametrize(("make", "message"), BAD_PYTHON)
def test_bad_python_is_refused_by_field(make: Callable[[], object], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        make()
    assert message in str(refused.value)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("seed = -1")
    with pytest.raises(SettingsError, match=r"^bad\.toml: seed: give a whole number"):
        Scenario.load(path)
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(SettingsError, match=r"^bad\.toml: not UTF-8 text"):
        Scenario.load(path)
    with pytest.raises(FileNotFoundError):
        Scenario.load(tmp_path / "none.toml")


def test_none_stands_for_null_only_if_null_is_allowed() -> None:
    read = Scenario.from_toml(
        '[transport]\nhistory = "none"\n'
        '[transport.heartbeat]\nmode = "none"\n[transport.reconnect]\njitter = "none"'
    )
    assert isinstance(read.transport, WebSocketSettings)
    assert read.transport.history is None
    assert read.transport.heartbeat.mode == "none"
    assert read.transport.reconnect.jitter == "none"


def test_a_table_changes_what_its_field_is_by_default() -> None:
    """SSE's first delay is 3 s unless it is said otherwise."""
    read = Scenario.from_toml('[transport]\nkind = "sse"\n[transport.reconnect]\njitter = "full"')
    assert isinstance(read.transport, SSESettings)
    assert read.transport.reconnect == ReconnectConfig(jitter="full", base_delay=3.0)
    assert read.transport.config().reconnect.base_delay == 3.0
    assert "base_delay" not in read.to_toml()


@pytest.mark.parametrize("kind", [SSESettings, WebSocketSettings])
@pytest.mark.parametrize("base", [1.0, 3.0, 2.0])
@pytest.mark.parametrize("attempts", [None, 10, 4])
def test_settings_of_a_table_survive_whatever_its_field_is_by_default(
    kind: Any, base: float, attempts: int | None
) -> None:
    reconnect = ReconnectConfig(base_delay=base, max_attempts=attempts)
    scenario = Scenario(transport=kind(reconnect=reconnect))
    assert Scenario.from_toml(scenario.to_toml()) == scenario


class Inner(Settings, frozen=True, kw_only=True):
    a: int = 1
    b: int = 1


class Outer(Settings, frozen=True, kw_only=True):
    inner: Inner = Inner(a=2)
    c: int = 1


class Outermost(Settings, frozen=True, kw_only=True):
    outer: Outer = Outer(inner=Inner(b=3), c=4)


@given(a=st.integers(0, 4), b=st.integers(0, 4), c=st.integers(0, 4))
def test_defaults_of_defaults_are_kept(a: int, b: int, c: int) -> None:
    settings = Outermost(outer=Outer(inner=Inner(a=a, b=b), c=c))
    assert read_toml(write_toml(settings), Outermost) == settings
    assert from_plain(to_whole(settings), Outermost) == settings
    assert from_plain(to_whole(settings.outer), Outer) == settings.outer


def test_a_missing_mode_is_not_the_mode_none() -> None:
    heartbeat = HeartbeatConfig(interval=5.0)
    assert from_plain(to_whole(heartbeat), HeartbeatConfig) == heartbeat
    assert heartbeat.mode is None


def test_a_table_in_a_default_in_a_default() -> None:
    changed = Outermost(outer=Outer(inner=Inner(b=9), c=4))
    assert read_toml("[outer.inner]\nb = 9", Outermost) == changed
    assert read_toml(write_toml(changed), Outermost) == changed
    assert write_toml(changed) == "[outer.inner]\nb = 9\n"


def test_a_number_stands_for_the_text_of_a_choice() -> None:
    assert Scenario.from_toml("[server]\noverflow = 503").server.overflow == "503"
    with pytest.raises(SettingsError, match=r"server\.overflow: choose one of .*, got 404"):
        Scenario.from_toml("[server]\noverflow = 404")
