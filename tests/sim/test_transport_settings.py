from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from chatlab.errors import SettingsError
from chatlab.experiment.scenario import Scenario
from chatlab.messages import ConnectionStatus
from chatlab.settings import (
    AnyConfig,
    FallbackConfig,
    LongPollingConfig,
    OutboxConfig,
    ReconnectConfig,
    ShortPollingConfig,
    SSEConfig,
    WebSocketConfig,
)
from chatlab.sim.faults import ServerDown
from chatlab.sim.transport_settings import (
    AnyTransport,
    FallbackSettings,
    LongPollingSettings,
    OneTransport,
    ShortPollingSettings,
    SSESettings,
    WebSocketSettings,
    settings_of,
)
from chatlab.studies.prediction import predict

PAIRS: list[tuple[Any, Any]] = [
    (WebSocketSettings, WebSocketConfig),
    (SSESettings, SSEConfig),
    (LongPollingSettings, LongPollingConfig),
    (ShortPollingSettings, ShortPollingConfig),
]
HTTP = "http://chat.example"
WS = WebSocketConfig(url="wss://chat.example/ws", room="den", sender="ada", headers={"x-key": "secret"})
CONFIGS: list[AnyConfig] = [
    WS,
    SSEConfig(url=HTTP, room="den", sender="ada", idle_timeout=20.0),
    LongPollingConfig(url=HTTP, room="den", sender="ada", min_gap=0.5),
    ShortPollingConfig(url=HTTP, room="den", sender="ada", interval=1.0),
    FallbackConfig(transports=(WS, SSEConfig(url=HTTP, room="den", sender="ada")), upgrade_after=7.0),
]


@pytest.mark.parametrize(("settings", "config"), PAIRS)
def test_settings_have_the_fields_and_defaults_of_their_config(settings: Any, config: Any) -> None:
    world = {"url", "room", "sender", "headers", "after", "ca_file", "proxy"}
    ours = {field.name: field for field in msgspec.structs.fields(settings)}
    theirs = {field.name: field for field in msgspec.structs.fields(config)}
    assert set(ours) == set(theirs) - world
    made, plain = settings(), config(url="ws://h" if config is WebSocketConfig else HTTP)
    assert all(getattr(made, name) == getattr(plain, name) for name in ours)
    assert type(made.config()) is config


def test_there_are_settings_for_every_transport() -> None:
    assert set(get_args(OneTransport)) == {settings for settings, _ in PAIRS}
    theirs = {field.name for field in msgspec.structs.fields(FallbackConfig)}
    assert {field.name for field in msgspec.structs.fields(FallbackSettings)} == theirs


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_a_config_survives_the_way_into_a_scenario_and_its_file(config: AnyConfig) -> None:
    settings = settings_of(config)
    scenario = Scenario(transport=settings)
    assert Scenario.from_toml(scenario.to_toml()) == scenario
    assert "secret" not in scenario.to_toml()
    assert settings_of(settings.config(room="den", sender="ada")) == settings


def test_a_file_names_kind_and_nested_transports() -> None:
    read = Scenario.from_toml(
        'transport.kind = "fallback"\ntransport.attempts_per_transport = 2\n'
        '[[transport.transports]]\nkind = "sse"\nidle_timeout = 9.0\n'
        '[[transport.transports]]\nkind = "long_polling"\n[transport.transports.reconnect]\njitter = "full"\n'
    )
    assert read.transport == FallbackSettings(
        transports=(
            SSESettings(idle_timeout=9.0),
            LongPollingSettings(reconnect=ReconnectConfig(jitter="full")),
        ),
        attempts_per_transport=2,
    )


BAD = [
    ("[transport]\nkind = 'sse'\ninterval = 3", "transport.interval: there is no such setting"),
    (
        "[transport]\nkind = 'short_polling'\ninterval = 0",
        "transport.interval: give a number above 0.0, got 0",
    ),
    ("[transport]\nkind = 'long_poling'", "(did you mean 'long_polling'?)"),
    ("[transport]\nkind = 'fallback'\ntransports = []", "give one transport or more"),
    ("[[transport.transports]]\nkind = 'sse'", "transport.transports: there is no such setting"),
    (
        "transport.kind = 'fallback'\n[[transport.transports]]\nkind = 'carrier pigeon'",
        "transport.transports[0].kind: choose one of websocket, sse, ",
    ),
    (
        "transport.kind = 'fallback'\n[[transport.transports]]\nkind = 'sse'\nidle_timeout = -1",
        "transport.transports[0].idle_timeout: give a number above 0.0",
    ),
    ("[network]\nbandwidth = 0", "network.bandwidth: give a number above 0.0, got 0"),
    ("[server]\nservice = 'slow'", "server.service: choose one of constant, exponential, got 'slow'"),
    ("[server]\nmax_connections = 0", "server.max_connections: give a whole number of at least 1"),
    ("[[faults]]\nkind = 'bandwidth'\nat = 1\nduration = 1", "faults[0].bandwidth: it's missing"),
    (
        "[[faults]]\nkind = 'http_error'\nat = 1\nduration = 1\nstatus = 200",
        "faults[0].status: give a whole number of at least",
    ),
    (
        "[[faults]]\nkind = 'flapping'\nat = 1\nduration = 9\nperiod = 2\ndown = 3",
        "faults[0].down: give less than the period (2), got 3",
    ),
    (
        "[[faults]]\nkind = 'buffering'\nat = 1\nduration = 9\nsize = 0",
        "faults[0].size: give a whole number of at least 1",
    ),
    ("[[faults]]\nkind = 'idle_timeout'\nat = 1\nduration = 9\ntime_out = 3", "did you mean 'timeout'?"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_bad_file_is_refused_by_field(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Scenario.from_toml(text)
    assert message in str(refused.value)


def test_a_fallback_has_one_dialect() -> None:
    with pytest.raises(SettingsError, match="same dialect"):
        FallbackSettings(transports=(WebSocketSettings(dialect="text"), SSESettings()))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_every_transport_can_be_predicted(config: AnyConfig) -> None:
    sends = [(5.0, "hi"), (12.0, "while it is down")]
    result = predict(config, [ServerDown(at=10.0, duration=10.0)], 100.0, sends=sends)
    spans = [span for span in result.statuses("ada") if span.status is ConnectionStatus.CONNECTED]
    assert spans[0].start < 1
    assert any(span.status is ConnectionStatus.RECONNECTING for span in result.statuses("ada"))
    assert 20 < spans[-1].start < 60
    assert spans[-1].end == 100.0
    assert (result.metrics["acked"], result.metrics["lost"], result.metrics["pending"]) == (2, 0, 0)


def test_an_outbox_of_a_fallback_is_that_of_its_first() -> None:
    first: AnyTransport = ShortPollingSettings(outbox=OutboxConfig(max_size=3))
    assert FallbackSettings(transports=(first, SSESettings())).config().outbox.max_size == 3  # type: ignore[arg-type]
