"""Secrets stay in Python: the page sends typed text, and sees only a redacted URL, token or header."""

from __future__ import annotations

import json

import ipywidgets
import pytest

from chatlab.errors import SettingsError
from chatlab.widgets.hidden_field import MAX_LENGTH, HeaderField, TokenField, UrlField
from tests.widgets.comms import View

URL = "ws://ada:s3cret@h:1/ws?token=s3cret&room=s3cret"
SHOWN = "ws://***@h:1/ws?token=***&room=***"


def state() -> str:
    return json.dumps(ipywidgets.Widget.get_manager_state(drop_defaults=False), default=str)


def test_a79_neither_state_nor_repr_has_a_secret() -> None:
    field = UrlField("URL", URL)
    assert str.__str__(field.value) == URL
    field.value = URL.replace("ada", "bob")
    View(field).say(type="text", text=URL.replace("ada", "eve"), done=True)
    assert str.__str__(field.value) == URL.replace("ada", "eve")
    assert field.shown == SHOWN
    assert "s3cret" not in state() + repr(field) + str(field)


def test_what_is_typed_comes_back_hidden_once_the_field_is_left() -> None:
    page = View(UrlField("URL", "ws://h"))
    page.say(type="text", text=URL[:12])
    page.say(type="text", text=URL, done=True)
    assert page.next("shown") == {"type": "shown", "text": SHOWN}


@pytest.mark.parametrize("url", ["ws://ada:98765@h:1/", "ws://98765@h/", "ws://h/?98765=98765#98765"])
def test_a79_no_state_holds_a_secret_while_it_is_typed(url: str) -> None:
    field = UrlField("URL", "ws://h")
    page, before = View(field), state()
    for end in range(1, len(url)):
        page.say(type="text", text=url[:end])
    assert state() == before, "which a page may save at any time"
    page.say(type="text", text=url, done=True)
    assert field.shown == str(field.value) != url


def test_a_page_that_is_loaded_again_shows_what_was_typed() -> None:
    field = UrlField("URL", "ws://h")
    page = View(field)
    page.say(type="text", text="ws://ada:s3cret@elsewhere")
    assert field.shown == "ws://h"
    page.say(type="ready")
    assert field.shown == str(field.value) == "ws://***@elsewhere"


def test_a_hidden_secret_stays_while_the_rest_is_edited() -> None:
    field = UrlField("URL", URL)
    page = View(field)
    typed = SHOWN.replace("/ws", "/chat")
    for end in range(len("ws://***@h:1/"), len(typed) + 1):
        page.say(type="text", text=typed[:end])
    page.say(type="text", text=typed, done=True)
    page.say(type="text", text=typed + "&more=1", done=True)
    assert str.__str__(field.value) == URL.replace("/ws", "/chat") + "&more=1"


def test_a79_a_hidden_secret_is_not_sent_to_another_address() -> None:
    field = UrlField("URL", URL)
    page = View(field)
    page.say(type="text", text=SHOWN.replace("h:1", "elsewhere"))
    with pytest.raises(SettingsError, match="another address"):
        _ = field.value
    page.say(type="text", text=SHOWN)
    assert str.__str__(field.value) == URL


@pytest.mark.parametrize("text", [5, None, ["ws://h"], "x" * (MAX_LENGTH + 1)])
def test_what_no_page_sends_changes_nothing(text: object) -> None:
    field = UrlField("URL", URL)
    View(field).say(type="text", text=text)
    View(field).say(type="else", text="ws://h")
    field._handle_custom_msg("text", [])
    assert str.__str__(field.value) == URL


def test_halves_of_a_surrogate_pair_can_be_shown() -> None:
    field = UrlField("URL", URL)
    View(field).say(type="text", text="ws://h/\ud800", done=True)
    field.shown.encode()


TOKEN = "s3cret-t0ken"


def test_a_token_never_is_state_and_stays_while_its_field_is_left_alone() -> None:
    field = TokenField("Token", TOKEN)
    page = View(field)
    assert (field.shown, field.text) == ("***", TOKEN)
    page.say(type="text", text="other-s3cret", done=False)
    assert "s3cret" not in state() + repr(field)
    page.say(type="text", text="other-s3cret", done=True)
    assert page.next("shown") == {"type": "shown", "text": "***"}
    assert field.text == "other-s3cret"
    page.say(type="text", text="***", done=True)
    assert field.text == "other-s3cret"
    page.say(type="text", text="", done=True)
    assert (field.shown, field.text) == ("", "")
    assert "s3cret" not in state()


@pytest.mark.parametrize("typed", ["two words", "***more", "ä"])
def test_half_a_token_is_refused(typed: str) -> None:
    field = TokenField("Token", TOKEN)
    View(field).say(type="text", text=typed, done=True)
    with pytest.raises(SettingsError, match=r"^Token: type the whole token, without spaces$"):
        _ = field.text


def test_headers_show_their_names_and_keep_their_values() -> None:
    field = HeaderField("Headers", f"X-Key: {TOKEN}\nX-Other: b")
    page = View(field)
    assert field.shown == "X-Key: ***\nX-Other: ***"
    page.say(type="text", text="X-Key: ***\n\nX-New: s3cret: 2", done=True)
    assert field.headers == {"X-Key": TOKEN, "X-New": "s3cret: 2"}
    assert field.shown == "X-Key: ***\nX-New: ***"
    page.say(type="text", text="x-key: ***", done=True)
    assert field.headers == {"x-key": TOKEN}
    assert "s3cret" not in state() + repr(field)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("X-Unknown: ***", "type the value of X-Unknown"),
        ("***", "give a name and a value with a colon between"),
        (TOKEN, "give a name and a value with a colon between"),
        ("a b: s3cret", "invalid name"),
        ("Host: s3cret", "the header Host is set by the transport"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused_without_their_values(typed: str, told: str) -> None:
    field = HeaderField("Headers", f"X-Key: {TOKEN}")
    View(field).say(type="text", text=typed, done=True)
    with pytest.raises(SettingsError, match=f"^Headers: .*{told}") as found:
        _ = field.headers
    assert "s3cret" not in f"{found.value}{field.shown}{state()}"


def test_a_disabled_field_takes_nothing() -> None:
    field = TokenField("Token", "", disabled=True)
    View(field).say(type="text", text="typed", done=True)
    assert field.text == ""
