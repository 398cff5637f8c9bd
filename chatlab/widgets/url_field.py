"""A field for a URL that keeps the URL's secrets out of the page and the saved notebook."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anywidget
import traitlets

from chatlab.errors import SettingsError
from chatlab.settings import Url, redacted, with_secrets
from chatlab.widgets import assets
from chatlab.widgets.text import encodable

MAX_LENGTH = 8_192
"""Maximum characters of a URL that a page may send."""


class UrlField(anywidget.AnyWidget):
    """A text field for a URL. `value` is the URL itself and stays in Python; only `shown` is synced.

    The page sends typed text as a custom message, which is not part of the synced state: `{type: "text",
    text}` at each change, with `done` when the field loses focus. Only then does Python update `shown` and
    answer `{type: "shown", text}`: the secrets in half a URL can't be recognised. A new view sends
    `{type: "ready"}`.
    """

    _esm = assets.module("url_field.js")
    _css = assets.stylesheet()

    description = traitlets.Unicode().tag(sync=True)
    shown = traitlets.Unicode().tag(sync=True)

    def __init__(self, description: str, value: str) -> None:
        self._whole = self._typed = Url(str.__str__(value))
        super().__init__(description=description, shown=redacted(value))
        self.on_msg(self._received)

    @property
    def value(self) -> Url:
        """The URL, with its secrets.

        Errors: `SettingsError` if it contains `***` in place of a secret that belongs to another address.
        """
        return with_secrets(self._typed, self._whole)

    @value.setter
    def value(self, url: str) -> None:
        self._whole = self._typed = Url(str.__str__(url))
        self.shown = redacted(url)

    def _received(self, _widget: object, content: Any, _buffers: object) -> None:
        match content:
            case {"type": "text", "text": str(text)} if len(text) <= MAX_LENGTH:
                self._typed = Url(str(encodable(text)))
                if content.get("done"):
                    self.shown = str(self._typed)
                    with suppress(SettingsError):  # `value` reports the error when it is read.
                        self._whole = self.value
                    self.send({"type": "shown", "text": self.shown})
            case {"type": "ready"}:  # The page was reloaded, maybe while somebody typed.
                self.shown = str(self._typed)
            case _:
                pass
