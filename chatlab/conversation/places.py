"""The place that a message is written for: a server, a room there, and the sender's name."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct

from chatlab.live.client.kinds import http_url
from chatlab.settings import AnyConfig, FallbackConfig, Url, shown_url

_PORTS = {"http": 80, "https": 443}


class Place(Struct, frozen=True):
    """A server, by a root URL common to all transports, with a room, a name, and the server's dialect."""

    server: Url
    room: str
    name: str
    dialect: str

    @property
    def log(self) -> tuple[str, str, str]:
        """The key of the room's log, the same for every name."""
        return self.server, self.room, self.dialect

    def describe(self, here: Place | None) -> str:
        """Describe the place: its room, and the server, name and dialect if they differ from `here`."""
        words = f"room {self.room}"
        if here is None or here.server != self.server:
            words += f" at {shown_url(self.server)}"
        if here is None or here.name != self.name:
            words += f", as {self.name}"
        if here is None or here.dialect != self.dialect:
            words += f", in the {self.dialect} dialect"
        return words


def place_of(config: AnyConfig) -> Place:
    """Return the place that settings lead to."""
    first = config.first if isinstance(config, FallbackConfig) else config
    return Place(server_of(first.url), first.room, first.sender, first.dialect_name)


def server_of(url: str) -> Url:
    """Return the root URL of a server, the same for the URLs of all its transports.

    It contains user and query, which may select another server, but not the password.
    """
    parts = urlsplit(http_url(url))
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    user = f"{parts.username}@" if parts.username else ""
    port = parts.port or _PORTS[parts.scheme]
    root = parts._replace(netloc=f"{user}{host}:{port}", path=parts.path.rstrip("/"), fragment="")
    return Url(urlunsplit(root))
