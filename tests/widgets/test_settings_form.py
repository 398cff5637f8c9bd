"""The settings form: presets, errors, and a dialect of the user's own, shown by name only."""

from __future__ import annotations

import re

import pytest

from chatlab.dialects import DIALECTS
from chatlab.dialects.base import Dialect
from chatlab.errors import SettingsError
from chatlab.presets import PRESETS
from chatlab.settings import FallbackConfig, ShortPollingConfig, SSEConfig, TransportConfig, WebSocketConfig
from chatlab.widgets.settings_form import SettingsForm


class Own(Dialect):
    name = "own"
    token = "s3cret"


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_a_dialect_is_chosen_by_its_name(name: str) -> None:
    form = SettingsForm(WebSocketConfig(url="ws://h"))
    assert form.config().dialect == "chatlab"
    form.dialect.value = name
    config = form.config()
    assert isinstance(config, TransportConfig)
    assert config.dialect == name


def test_one_of_the_users_own_stays_itself_and_is_no_widgets_state() -> None:
    own = Own()
    config = WebSocketConfig(url="ws://h", dialect=own)
    for given in (config, FallbackConfig(transports=(config,))):
        form = SettingsForm(given)
        assert form.dialect.value == "own"
        assert form.config().dialect is own
        assert "s3cret" not in repr(form.dialect.get_state())
        form.dialect.value = "text"
        form.transport.value = "websocket"
        assert form.config().dialect == "text"


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_fills_in_its_backoff_and_shows_it(name: str) -> None:
    form = SettingsForm(WebSocketConfig(url="ws://h"))
    form.preset.value = name
    config, reconnect = form.config(), PRESETS[name].reconnect
    assert isinstance(config, WebSocketConfig)
    assert config.reconnect.schedule == reconnect.schedule
    assert config.reconnect.max_attempts == reconnect.max_attempts
    assert form.jitter.disabled == form.numbers["base_delay"].disabled == bool(reconnect.schedule)
    if not reconnect.schedule:
        assert (config.reconnect.jitter, form.jitter.value) == (reconnect.jitter, reconnect.jitter)


def test_a_schedules_delays_are_shown_and_custom_gives_the_fields_back() -> None:
    form = SettingsForm(WebSocketConfig(url="ws://h"))
    form.preset.value = "SignalR"
    assert form.note.value == "Waits 0, 2, 10, 30 s. Gives up after the fourth retry."
    form.preset.value = "socket.io"
    assert form.note.value.startswith("Waits 0.5–1.5, 1–3, 2–5, 4–5, 5 s. ")
    form.preset.value = "custom"
    assert (form.note.value, form.jitter.disabled, form.numbers["base_delay"].disabled) == ("", False, False)
    config = form.config()
    assert isinstance(config, TransportConfig)
    assert config.reconnect.schedule == ()


WRONG = {
    "base_delay": -1.0,
    "max_delay": -1.0,
    "backoff_multiplier": 0.5,
    "max_attempts": -2,
    "heartbeat": 0.0,
    "pong": 0.0,
    "idle_timeout": 0.0,
    "timeout": 0.0,
    "interval": 0.0,
    "connect_timeout": 0.0,
    "max_size": 0,
}


def test_errors_name_the_field_by_its_label() -> None:
    form = SettingsForm(WebSocketConfig(url="ws://h"))
    form.transport.value = "fallback"  # which needs all of them
    assert set(WRONG) == set(form.numbers)
    for name, wrong in WRONG.items():
        field = form.numbers[name]
        right, field.value = field.value, wrong
        with pytest.raises(
            SettingsError, match=rf"^{re.escape(field.description)}: give a .*, got {wrong:g}$"
        ):
            form.config()
        field.value = right
    for text, typed in ((form.url, "foo"), (form.room, " "), (form.sender, "n" * 201)):
        before, text.value = text.value, typed
        with pytest.raises(
            SettingsError, match=rf"^{text.description}: give a .*, got '{typed.strip()[:50]}"
        ):
            form.config()
        text.value = before
    form.config()


@pytest.mark.parametrize(
    ("name", "wrong", "complaint"),
    [
        (
            "max_attempts",
            -5,
            "Attempts (-1: ∞): give a whole number of at least 0, or -1 for no limit, got -5",
        ),
        ("base_delay", -0.5, "First delay (s): give a number of at least 0, got -0.5"),
        ("heartbeat", 0.0, "Heartbeat every (s): give a number above 0, got 0"),
    ],
)
def test_an_invalid_number_is_reported_with_the_permitted_ones(
    name: str, wrong: float, complaint: str
) -> None:
    form = SettingsForm(WebSocketConfig(url="ws://h"))
    form.numbers[name].value = wrong
    with pytest.raises(SettingsError, match=f"^{re.escape(complaint)}$"):
        form.config()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", ["websocket", "sse", "long_polling", "short_polling", "fallback"])
@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "ws://",
        "http://h/ x",
        "ws://[::1/ws",
        "http://[::1",
        "http://[v6]/",
        "//",
        "",
        "http://h:99999",
        "nonsense",
    ],
)
def test_an_invalid_url_is_reported_for_every_transport(kind: str, url: str) -> None:
    form = SettingsForm(WebSocketConfig(url="ws://h"))
    form.transport.value, form.url.value = kind, url
    with pytest.raises(SettingsError, match=rf"^URL: give a URL that .*, got '{re.escape(url)}'$"):
        form.config()


@pytest.mark.parametrize("kind", ["websocket", "sse", "fallback"])
@pytest.mark.parametrize("url", ["ws://h:1/ws", "http://h:1", "wss://h", "https://h"])
def test_either_address_of_a_server_will_do(kind: str, url: str) -> None:
    form = SettingsForm(WebSocketConfig(url="ws://h"))
    form.transport.value, form.url.value = kind, url
    form.config()
    form.url.value = "ftp://h"
    with pytest.raises(SettingsError, match="starts with ws://, wss://, http:// or https://"):
        form.config()


def test_a_fallback_that_was_given_stays_as_it_is() -> None:
    sse = SSEConfig(url="https://h/", room="r", sender="ada", min_retry=0.5, connect_timeout=3.0)
    polling = ShortPollingConfig(url="https://other/", room="r", sender="ada", interval=0.4)
    polling = polling.replace(reconnect=sse.reconnect, connect_timeout=3.0)
    given = FallbackConfig(transports=(sse, polling), attempts_per_transport=7, upgrade_after=5.0)
    form = SettingsForm(given)
    assert form.config() == given
    form.numbers["connect_timeout"].value = 4.0
    form.room.value = "attic"
    changed = form.config()
    assert isinstance(changed, FallbackConfig)
    assert [(one.room, one.connect_timeout) for one in changed.transports] == [("attic", 4.0)] * 2
    form.url.value = "ws://elsewhere/ws"
    moved = form.config()
    assert isinstance(moved, FallbackConfig)
    assert [str(one.url) for one in moved.transports] == ["http://elsewhere"] * 2
    form.transport.value = "short_polling"
    assert form.numbers["interval"].value == 0.4
    form.transport.value = "websocket"
    assert isinstance(form.config(), WebSocketConfig)
