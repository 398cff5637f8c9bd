"""What the form shows is what the settings are: presets, and a dialect of the user's own by its name only."""

from __future__ import annotations

import pytest

from chatlab.dialects import DIALECTS
from chatlab.dialects.base import Dialect
from chatlab.presets import PRESETS
from chatlab.settings import FallbackConfig, TransportConfig, WebSocketConfig
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
