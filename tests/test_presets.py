from __future__ import annotations

from math import inf

import pytest

from chatlab.errors import SettingsError
from chatlab.presets import PRESETS, preset
from chatlab.settings import HeartbeatConfig, ReconnectConfig
from chatlab.transports.backoff import Backoff


def delays(name: str, u: float, count: int) -> list[float]:
    """Return the preset's delays in seconds if every uniform draw is `u`."""
    backoff = Backoff(PRESETS[name].reconnect, lambda: u)
    found: list[float] = []
    while len(found) < count and not backoff.exhausted:
        found.append(backoff.next())
    return found


# The bounds of the first retries, by hand from the formulas.
BOUNDS: dict[str, tuple[list[float], list[float]]] = {
    "seed": ([1, 2, 4, 8, 16, 30, 30], [1.1, 2.2, 4.4, 8.8, 17.6, 30, 30]),
    "full jitter": ([0] * 7, [1, 2, 4, 8, 16, 30, 30]),
    "socket.io": ([0.5, 1, 2, 4, 5, 5, 5], [1.5, 3, 5, 5, 5, 5, 5]),
    "python-socketio": ([0.5, 1.5, 3.5, 4.5, 4.5], [1.5, 2.5, 4.5, 5.5, 5.5]),
    "SignalR": ([0, 2, 10, 30], [0, 2, 10, 30]),
    "Phoenix": (
        [0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1, 2, 5, 5],
        [0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1, 2, 5, 5],
    ),
    "Centrifugo": ([0.5] * 8, [1, 1.5, 2.5, 4.5, 8.5, 16.5, 20.5, 20.5]),
    "Ably": ([12, 16, 20, 24, 24], [15, 20, 25, 30, 30]),
    "ActionCable": ([6, 6.9, 7.935], [12, 7.935, 9.12525]),
    "partysocket": ([3, 3.9, 5.07, 6.591, 8.5683, 10, 10], [3, 3.9, 5.07, 6.591, 8.5683, 10, 10]),
    "websockets": ([0, 3.1, 5.0158, 8.1155644], [5, 3.1, 5.0158, 8.1155644]),
    "Matrix": ([2, 5, 5], [7, 10, 10]),
}


def test_every_preset_is_checked() -> None:
    assert BOUNDS.keys() == PRESETS.keys()
    assert all(name == system.name for name, system in PRESETS.items())


@pytest.mark.parametrize("name", BOUNDS)
def test_delays_lie_between_the_bounds_of_the_formula(name: str) -> None:
    low, high = BOUNDS[name]
    assert delays(name, 0.0, len(low)) == pytest.approx(low)
    assert delays(name, 1.0, len(high)) == pytest.approx(high)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("ActionCable", 6 * 1.15**10, 6 * 1.15**11),
        ("websockets", 90, 90),
        ("Centrifugo", 0.5, 20.5),
        ("python-socketio", 4.5, 5.5),
    ],
)
def test_delays_settle(name: str, low: float, high: float) -> None:
    assert delays(name, 0.0, 40)[10:] == pytest.approx([low] * 30)
    assert delays(name, 1.0, 40)[10:] == pytest.approx([high] * 30)


def test_only_signalr_and_the_seed_give_up() -> None:
    limits = {name: system.reconnect.max_attempts for name, system in PRESETS.items()}
    assert {name: limit for name, limit in limits.items() if limit is not None} == {"seed": 10, "SignalR": 4}


def test_the_seed_is_the_default() -> None:
    seed = preset("seed")
    assert seed.reconnect == ReconnectConfig()
    assert (seed.heartbeat_interval, seed.heartbeat_timeout) == (
        HeartbeatConfig().interval,
        HeartbeatConfig().timeout,
    )


def test_figures_of_presets_are_positive_and_sourced() -> None:
    for system in PRESETS.values():
        figures = (system.connect_timeout, system.heartbeat_interval, system.heartbeat_timeout)
        assert all(0 < figure < inf for figure in figures if figure is not None)
        assert system.heartbeat_by or figures[1:] == (None, None)
        assert system.source


def test_a_preset_is_found_in_any_case() -> None:
    assert preset("PHOENIX") is PRESETS["Phoenix"]
    assert preset("Full Jitter") is PRESETS["full jitter"]


def test_an_unknown_preset_lists_the_names() -> None:
    with pytest.raises(SettingsError, match=r"'phönix'.*seed, full jitter, socket\.io.*Matrix$"):
        preset("phönix")
    with pytest.raises(SettingsError, match=r"no preset 7; choose one of seed, "):
        preset(7)


def test_presets_are_read_only() -> None:
    with pytest.raises(TypeError):
        PRESETS["mine"] = PRESETS["seed"]  # type: ignore[index]


def test_heartbeats_of_presets() -> None:
    """SignalR's 30 s and ActionCable's 6 s are the longest silence, which includes the interval."""
    found = {
        name: (system.heartbeat.interval, system.heartbeat.timeout)
        for name, system in PRESETS.items()
        if system.heartbeat is not None
    }
    usual = HeartbeatConfig()
    assert found == {
        "seed": (30, 10),
        "socket.io": (25, 20),
        "python-socketio": (25, 20),
        "SignalR": (15, 15),
        "Phoenix": (30, 30),
        "Centrifugo": (usual.interval, usual.timeout),
        "Ably": (usual.interval, usual.timeout),
        "ActionCable": (3, 3),
        "websockets": (20, 20),
    }
