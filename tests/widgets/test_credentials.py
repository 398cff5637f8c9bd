"""A token and headers go to the server that they were typed for, and to no other."""

from __future__ import annotations

import pytest

from chatlab.errors import SettingsError
from chatlab.settings import FallbackConfig, LongPollingConfig, SSEConfig, TransportConfig, WebSocketConfig
from chatlab.widgets.settings_form import SettingsForm
from tests.widgets.comms import View

TOKEN = "s3cret-t0ken"


def headers_of(form: SettingsForm) -> object:
    config = form.config()
    assert isinstance(config, TransportConfig)
    return config.headers()


def fill(field: object, text: str) -> None:
    View(field).say(type="text", text=text, done=True)


def test_what_was_given_in_code_is_shown_hidden_and_sent() -> None:
    given = {"Authorization": f"Bearer {TOKEN}", "X-Key": "s3cret"}
    form = SettingsForm(WebSocketConfig(url="ws://h", headers=given))
    assert (form.credentials.token.shown, form.credentials.headers.shown) == ("***", "X-Key: ***")
    assert headers_of(form) == given
    basic = {"Authorization": "Basic s3cret"}
    form = SettingsForm(WebSocketConfig(url="ws://h", headers=basic))
    assert (form.credentials.token.shown, form.credentials.headers.shown) == ("", "Authorization: ***")
    assert headers_of(form) == basic


def test_typed_ones_are_sent_and_a_removed_one_no_more() -> None:
    form = SettingsForm(WebSocketConfig(url="ws://h"))
    assert headers_of(form) == {}
    fill(form.credentials.token, TOKEN)
    fill(form.credentials.headers, "X-Key: a:b")
    assert headers_of(form) == {"Authorization": f"Bearer {TOKEN}", "X-Key": "a:b"}
    fill(form.credentials.headers, "authorization: Basic x")
    with pytest.raises(SettingsError, match="give Authorization or a token, not both"):
        form.config()
    fill(form.credentials.headers, "")
    fill(form.credentials.token, "")
    assert headers_of(form) == {}


@pytest.mark.parametrize("url", ["ws://elsewhere", "ws://h:81", "wss://h", "nonsense"])
def test_a79_a_token_in_use_is_not_sent_to_another_server(url: str) -> None:
    form = SettingsForm(WebSocketConfig(url="ws://h", headers={"Authorization": f"Bearer {TOKEN}"}))
    form.url.value = "http://h/chat"  # the same server
    assert headers_of(form) == {"Authorization": f"Bearer {TOKEN}"}
    form.url.value = url
    with pytest.raises(SettingsError, match=r"given for another server|URL: give"):
        form.config()
    fill(form.credentials.token, f"{TOKEN}2")
    if url != "nonsense":
        assert headers_of(form) == {"Authorization": f"Bearer {TOKEN}2"}


def test_a_token_typed_before_its_url_goes_to_that_server_and_then_to_no_other() -> None:
    form = SettingsForm(WebSocketConfig(url="ws://h"))
    fill(form.credentials.token, TOKEN)
    form.url.value = "ws://meant"
    assert headers_of(form) == {"Authorization": f"Bearer {TOKEN}"}
    form.used()
    form.url.value = "ws://other"
    with pytest.raises(SettingsError, match=r"^Token: it was given for another server"):
        form.config()


def test_a_function_of_the_users_own_stays_in_use_and_the_fields_say_so() -> None:
    def renewed() -> dict[str, str]:
        return {"Authorization": TOKEN}

    config = WebSocketConfig(url="ws://h", headers=renewed)
    form = SettingsForm(config)
    assert form.credentials.token.disabled
    assert form.credentials.headers.disabled
    assert "your code" in form.credentials.token.placeholder
    assert form.config() == config


def test_a_fallbacks_transports_keep_their_own_headers_until_others_are_typed() -> None:
    one = WebSocketConfig(url="ws://h", headers={"X-Key": "one"})
    two = LongPollingConfig(url="http://h", headers={"X-Key": "two"})
    form = SettingsForm(FallbackConfig(transports=(one, two)))
    config = form.config()
    assert isinstance(config, FallbackConfig)
    assert [each.headers() for each in config.transports] == [{"X-Key": "one"}, {"X-Key": "two"}]
    fill(form.credentials.token, TOKEN)
    config = form.config()
    assert isinstance(config, FallbackConfig)
    assert all(each.headers()["Authorization"] == f"Bearer {TOKEN}" for each in config.transports)


def test_settings_not_in_use_yet_are_named_and_marked() -> None:
    form = SettingsForm(SSEConfig(url="http://h"))
    changes = form.changes
    form.numbers["base_delay"].value = 7.0
    assert changes.note.value == ""  # Nothing is in use.
    form.used()
    form.numbers["base_delay"].value = 8.0
    form.room.value = "other"
    fill(form.credentials.token, TOKEN)
    assert list(changes.names) == ["room", "base_delay", "token"]
    assert changes.note.value == "Not in use yet: Room, First delay, Token. “Connect” applies this."
    assert "chatlab-unused" in form.room._dom_classes
    assert form.credentials.token.unused
    form.room.value = "lobby"
    assert list(changes.names) == ["base_delay", "token"]
    assert "chatlab-unused" not in form.room._dom_classes
    form.preset.value = "SignalR"
    assert "preset" in changes.names
    form.used()
    assert (list(changes.names), changes.note.value) == ([], "")
    fill(form.credentials.token, "***")  # the same token
    assert list(changes.names) == []
    form.transport.value = "long_polling"
    form.numbers["idle_timeout"].value = 9.0  # a field that long polling doesn't have
    assert list(changes.names) == ["transport"]


def test_fields_of_other_transports_are_hidden_and_not_read() -> None:
    form = SettingsForm(SSEConfig(url="http://h"))

    def hidden() -> set[str]:
        return {name for name, field in form.numbers.items() if field.layout.display == "none"}

    assert hidden() == {"heartbeat", "pong", "timeout", "interval"}
    form.numbers["heartbeat"].value = -1.0
    form.config()
    form.transport.value = "websocket"
    assert hidden() == {"idle_timeout", "timeout", "interval"}
    with pytest.raises(SettingsError, match=r"^Heartbeat every"):
        form.config()
    form.transport.value = "fallback"
    assert hidden() == set()
    two = FallbackConfig(transports=(SSEConfig(url="http://h"), LongPollingConfig(url="http://h")))
    form = SettingsForm(two)
    assert hidden() == {"heartbeat", "pong", "interval"}
