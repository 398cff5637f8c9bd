"""Fields for a URL, a token and headers, whose secrets stay out of the page and the saved notebook."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anywidget
import traitlets

from chatlab.errors import SettingsError
from chatlab.live.client.typed_headers import is_token, read_headers
from chatlab.settings import Url, redacted, with_secrets
from chatlab.settings.urls import HIDDEN
from chatlab.widgets import assets
from chatlab.widgets.pacing import Callbacks
from chatlab.widgets.text import encodable

MAX_LENGTH = 8_192
"""Maximum characters of a text that a page may send."""


class HiddenField(anywidget.AnyWidget):
    """A text field with secrets. The text itself stays in Python; only `shown` is synced.

    The page sends typed text as a custom message, which is not part of the synced state: `{type: "text",
    text}` at each change, with `done` when the field loses focus. Only then does Python update `shown` and
    answer `{type: "shown", text}`: the secrets in half a text can't be recognised. A new view sends
    `{type: "ready"}`.
    """

    _esm = assets.module("hidden_field.js")
    _css = assets.stylesheet()

    description = traitlets.Unicode().tag(sync=True)
    shown = traitlets.Unicode().tag(sync=True)
    kind = traitlets.Enum(["url", "token", "headers"], "url").tag(sync=True)
    placeholder = traitlets.Unicode().tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)
    unused = traitlets.Bool(False).tag(sync=True)
    """Whether the text isn't in use yet. Views of anywidget don't follow a change of `_dom_classes`."""

    def __init__(self, description: str, value: str, **traits: Any) -> None:
        self._whole = self._typed = Url(str.__str__(value))
        self._on_change = Callbacks[[]]()
        super().__init__(description=description, shown=self._hide(value), **traits)
        self.on_msg(self._received)

    @property
    def text(self) -> str:
        """The typed text, with the hidden secrets.

        Errors: `SettingsError` if it contains `***` in place of a secret that isn't known.
        """
        return self._restore(self._typed, self._whole)

    @property
    def comparable(self) -> str:
        """The text with its secrets if they are known, otherwise as typed."""
        with suppress(SettingsError):
            return str.__str__(self.text)
        return str.__str__(self._typed)

    @property
    def is_new(self) -> bool:
        """Whether the text was typed without `***`, so it has no earlier secrets."""
        return HIDDEN not in str.__str__(self._typed)

    def on_change(self, callback: Any) -> None:
        """Call `callback` after each change of the text, on the thread that made it."""
        self._on_change.add(callback)

    def _hide(self, text: str) -> str:
        """Return the text with `***` for its secrets."""
        raise NotImplementedError

    def _restore(self, typed: str, whole: str) -> str:
        """Return the typed text with the secrets of `whole` in place of `***`. Errors: `SettingsError`."""
        raise NotImplementedError

    def _set(self, text: str) -> None:
        self._whole = self._typed = Url(str.__str__(text))
        self.shown = self._hide(text)
        self._on_change()

    def _received(self, _widget: object, content: Any, _buffers: object) -> None:
        match content:
            case {"type": "text", "text": str(text)} if len(text) <= MAX_LENGTH and not self.disabled:
                self._typed = Url(str(encodable(text)))
                if content.get("done"):
                    with suppress(SettingsError):  # `text` reports the error when it is read.
                        self._whole = Url(str.__str__(self.text))
                    self.shown = self._hide(self._typed)
                    self.send({"type": "shown", "text": self.shown})
                self._on_change()
            case {"type": "ready"}:  # The page was reloaded, maybe while somebody typed.
                self.shown = self._hide(self._typed)
            case _:
                pass


class UrlField(HiddenField):
    """A field for a URL: user, password, query values and fragment are hidden."""

    def __init__(self, description: str, value: str) -> None:
        super().__init__(description, value)

    @property
    def value(self) -> Url:
        """The URL, with its secrets.

        Errors: `SettingsError` if it contains `***` in place of a secret that belongs to another address.
        """
        return Url(str.__str__(self.text))

    @value.setter
    def value(self, url: str) -> None:
        self._set(url)

    def _hide(self, text: str) -> str:
        return redacted(text)

    def _restore(self, typed: str, whole: str) -> str:
        return with_secrets(typed, whole)


class TokenField(HiddenField):
    """A field for a token, all of which is hidden."""

    def __init__(self, description: str, value: str, **traits: Any) -> None:
        super().__init__(description, value, kind="token", **traits)

    def _hide(self, text: str) -> str:
        return HIDDEN if str.__str__(text) else ""

    def _restore(self, typed: str, whole: str) -> str:
        typed = str.__str__(typed).strip()
        token = str.__str__(whole) if typed == HIDDEN else typed
        if token and (not is_token(token) or HIDDEN in token):
            raise SettingsError(f"{self.description}: type the whole token, without spaces")
        return token


class HeaderField(HiddenField):
    """A field for headers, one `Name: value` a line; the values are hidden."""

    def __init__(self, description: str, value: str, **traits: Any) -> None:
        super().__init__(description, value, kind="headers", **traits)

    @property
    def headers(self) -> dict[str, str]:
        """The headers. Errors: `SettingsError`, without a value, if a line is no header, or is hidden."""
        return self._read(self.text)

    def _read(self, text: str) -> dict[str, str]:
        lines = [line for line in str.__str__(text).splitlines() if line.strip()]
        try:
            return read_headers(lines)
        except SettingsError as error:
            raise SettingsError(f"{self.description}: {error}") from None

    def _hide(self, text: str) -> str:
        names = [line.partition(":") for line in str.__str__(text).splitlines() if line.strip()]
        return "\n".join(f"{name}: {HIDDEN}" if colon else HIDDEN for name, colon, _ in names)

    def _restore(self, typed: str, whole: str) -> str:
        if HIDDEN not in str.__str__(typed):
            return typed
        known = {name.lower(): value for name, value in self._read(whole).items()}
        headers = {
            name: known.get(name.lower(), HIDDEN) if value == HIDDEN else value
            for name, value in self._read(typed).items()
        }
        if missing := [name for name, value in headers.items() if value == HIDDEN]:
            raise SettingsError(f"{self.description}: type the value of {', '.join(missing)}")
        return "\n".join(f"{name}: {value}" for name, value in headers.items())
