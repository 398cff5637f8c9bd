from __future__ import annotations

from typing import Any

import pytest

from chatlab.errors import SettingsError
from chatlab.experiment.cells import cells_of, with_settings
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.sweep import sweep
from chatlab.presets import PRESETS, preset
from chatlab.settings import HeartbeatConfig, ReconnectConfig
from chatlab.sim.transport_settings import (
    FallbackSettings,
    LongPollingSettings,
    ShortPollingSettings,
    SSESettings,
    TransportSettings,
    WebSocketSettings,
)

KINDS: dict[str, type[TransportSettings]] = {
    "websocket": WebSocketSettings,
    "sse": SSESettings,
    "long_polling": LongPollingSettings,
    "short_polling": ShortPollingSettings,
}


def read(text: str) -> Any:
    scenario = Scenario.from_toml(text)
    assert Scenario.from_toml(scenario.to_toml()) == scenario
    return scenario.transport


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_a_transport_its_settings(name: str, kind: str) -> None:
    system, usual = preset(name), KINDS[kind]()
    transport = read(f'transport = {{ kind = "{kind}", preset = "{name.upper()}" }}')
    assert transport.reconnect == system.reconnect
    assert transport.connect_timeout == (system.connect_timeout or usual.connect_timeout)
    if isinstance(transport, WebSocketSettings):
        assert transport.heartbeat == (system.heartbeat or HeartbeatConfig())
    changed = ("reconnect", "connect_timeout", "heartbeat")
    assert (
        transport.replace(**{field: getattr(usual, field) for field in changed if hasattr(usual, field)})
        == usual
    )


def test_fields_beside_the_preset_replace_its_own() -> None:
    transport = read(
        '[transport]\npreset = "Phoenix"\nconnect_timeout = 3.0\nhistory = 7\n'
        "[transport.reconnect]\nmax_delay = 9.0\n[transport.heartbeat]\ninterval = 4.0"
    )
    assert transport.reconnect == preset("Phoenix").reconnect.replace(max_delay=9.0)
    assert transport.heartbeat == HeartbeatConfig(interval=4.0, timeout=30.0)
    assert (transport.connect_timeout, transport.history) == (3.0, 7)


def test_presets_of_inner_transports() -> None:
    transport = read(
        '[transport]\nkind = "fallback"\nattempts_per_transport = 2\n'
        'transports = [{ kind = "websocket", preset = "Ably" }, { kind = "sse" }]'
    )
    assert transport == FallbackSettings(
        attempts_per_transport=2,
        transports=(
            WebSocketSettings(reconnect=preset("Ably").reconnect, heartbeat=HeartbeatConfig(mode="server")),
            SSESettings(),
        ),
    )


def test_a_fallbacks_preset_is_that_of_each_inner_transport() -> None:
    transport = read('transport = { kind = "fallback", preset = "Matrix" }')
    assert [type(inner) for inner in transport.transports] == list(KINDS.values())
    assert {inner.connect_timeout for inner in transport.transports} == {15.0}
    assert {inner.reconnect for inner in transport.transports} == {preset("Matrix").reconnect}
    transport = read(
        '[transport]\nkind = "fallback"\npreset = "Matrix"\ntransports = ['
        '{ kind = "sse", connect_timeout = 2.0 }, { kind = "short_polling", preset = "Ably" }]'
    )
    sse, polling = transport.transports
    assert (sse.connect_timeout, sse.reconnect) == (2.0, preset("Matrix").reconnect)
    assert polling.reconnect == preset("Ably").reconnect


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('transport = { preset = "soket.io" }', r"^transport\.preset: "),
        ('transport = { kind = "fallback", preset = "soket.io" }', r"^transport\.preset: "),
        (
            '[transport]\nkind = "fallback"\ntransports = [{ kind = "sse" }, '
            '{ kind = "sse", preset = "soket.io" }]',
            r"^transport\.transports\[1\]\.preset: ",
        ),
    ],
)
def test_an_unknown_preset_lists_the_names_and_a_near_one(text: str, where: str) -> None:
    with pytest.raises(SettingsError, match=where) as caught:
        Scenario.from_toml(text)
    assert str(caught.value).endswith(
        f"there is no preset 'soket.io' (did you mean 'socket.io'?); choose one of {', '.join(PRESETS)}"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("transport = { preset = 3 }", r"^transport\.preset: there is no preset 3; choose"),
        ('transport = { kind = ["sse"], preset = "Ably" }', r"^transport\.kind: choose one of websocket"),
        ('transport = { preset = ["Ably"] }', r"^transport\.preset: there is no preset \['Ably'\]"),
        (
            f'transport = {{ preset = "{"x" * 10_000}" }}',
            r"^transport\.preset: there is no preset 'x{30,300}…",
        ),
        (
            'transport = { kind = "seed_sse", preset = "Ably" }',
            r"^transport\.preset: there is no such setting",
        ),
        ('transport = { kind = "nope", preset = "Ably" }', r"^transport\.kind: choose one of websocket"),
        (
            'transport = { kind = "fallback", preset = "Ably", transports = 3 }',
            r"^transport\.transports: give a list",
        ),
        (
            'transport = { kind = "fallback", preset = "Ably", transports = [3] }',
            r"^transport\.transports\[0\]: give a table",
        ),
        ('transport = { preset = "Ably", reconnect = 3 }', r"^transport\.reconnect: give a table"),
        ('network = { preset = "Ably" }', r"^network\.preset: there is no such setting"),
    ],
)
def test_presets_in_wrong_places(text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        Scenario.from_toml(text)


OWN = Scenario(
    transport=WebSocketSettings(
        history=3, reconnect=ReconnectConfig(max_delay=7.0), heartbeat=HeartbeatConfig(interval=1.0)
    )
)


def test_a_sweep_over_presets_names_them() -> None:
    cells = cells_of(OWN, {"transport.preset": ["ably", "Full Jitter"]}, None)
    assert [cell.labels for cell in cells] == [("Ably",), ("full jitter",)]
    beats = [HeartbeatConfig(mode="server"), HeartbeatConfig()]
    expected = [preset(name).reconnect for name in ("Ably", "full jitter")]
    for cell, reconnect, beat in zip(cells, expected, beats, strict=True):
        assert cell.scenario.transport == WebSocketSettings(history=3, reconnect=reconnect, heartbeat=beat)


@pytest.mark.parametrize("order", [1, -1])
def test_other_settings_come_after_the_preset(order: int) -> None:
    over: dict[str, Any] = {"transport.preset": ["Phoenix"], "transport.reconnect.max_delay": [1.0, 2.0]}
    cells = cells_of(OWN, dict(list(over.items())[::order]), None)
    phoenix = preset("Phoenix")
    assert [cell.scenario.transport for cell in cells] == [
        WebSocketSettings(
            history=3,
            reconnect=phoenix.reconnect.replace(max_delay=delay),
            heartbeat=HeartbeatConfig(timeout=30.0),
        )
        for delay in (1.0, 2.0)
    ]
    texts = ["transport.preset=Phoenix", "transport.reconnect.max_delay=2"][::order]
    assert with_settings(OWN, texts) == cells[1].scenario


def test_a_sweep_over_all_presets_of_a_fallback() -> None:
    fallback = FallbackSettings(transports=(SSESettings(connect_timeout=1.0), WebSocketSettings(history=2)))
    cells = cells_of(OWN.replace(transport=fallback), {"transport.preset": PRESETS}, None)
    assert [cell.labels for cell in cells] == [(name,) for name in PRESETS]
    for cell, system in zip(cells, PRESETS.values(), strict=True):
        assert isinstance(cell.scenario.transport, FallbackSettings)
        sse, websocket = cell.scenario.transport.transports
        assert sse == SSESettings(reconnect=system.reconnect, connect_timeout=system.connect_timeout or 10.0)
        assert isinstance(websocket, WebSocketSettings)
        assert (websocket.history, websocket.heartbeat) == (2, system.heartbeat or HeartbeatConfig())
    one = cells_of(OWN.replace(transport=fallback), {"transport.transports[0].preset": ["Ably"]}, None)
    assert one[0].scenario.transport == FallbackSettings(
        transports=(SSESettings(reconnect=preset("Ably").reconnect), WebSocketSettings(history=2))
    )
    default = cells_of(Scenario(transport=FallbackSettings()), {"transport.preset": ["Ably"]}, None)
    assert default[0].scenario == Scenario.from_toml('transport = { kind = "fallback", preset = "Ably" }')


def test_a_sweep_names_an_unknown_preset_before_any_run() -> None:
    with pytest.raises(SettingsError, match=r"^transport\.preset: .*'Ablyy'.*did you mean 'Ably'"):
        cells_of(OWN, {"transport.preset": ["Ably", "Ablyy"]}, None)
    with pytest.raises(SettingsError, match=r"^people\.preset: there is no such setting"):
        cells_of(OWN, {"people.preset": ["Ably"]}, None)


def test_a_table_has_a_row_for_each_preset() -> None:
    table = sweep(OWN.replace(duration=1.0), {"transport.preset": ["Ably", "socket.io"]}, progress=False)
    assert list(table["transport.preset"]) == ["Ably", "socket.io"]
    assert table["error"].isna().all()
