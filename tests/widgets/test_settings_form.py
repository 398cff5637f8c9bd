"""The form keeps a dialect of the user's own, and shows its name only (issue 8)."""

from __future__ import annotations

import pytest

from chatlab.dialects import DIALECTS
from chatlab.dialects.base import Dialect
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
