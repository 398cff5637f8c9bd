"""A model of TCP and WebSocket between people and one server: opening, order, and every way to end.

What it keeps of the real thing (d is one-way latency, drawn anew for every packet):

    client ── SYN ──────────▶ server    d: a place in the accept queue, or refused: the client knows after 2d
           ◀────── SYN-ACK ──
           ── upgrade ──────▶           3d: the server lets it in
           ◀────────── 101 ──           4d: the client is connected

In each direction bytes arrive in order: a slow packet holds up what follows (head-of-line blocking).
Congestion, bandwidth and TLS are not modelled. Bytes are those above TCP, and counted when they are sent.

Source: RFC 6455 §4 (opening handshake), §5.2 (frame headers), §7.1.5 (1006).
"""

from __future__ import annotations

from math import inf
from typing import Protocol
from urllib.parse import urlencode

from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.latency import Path
from chatlab.transports.machine import Closed, Event, Failure, Opened, Pong, Received, ReceivedBytes

GIVE_UP = 924.6
"""Seconds until a server's TCP gives up a silent link. Source: Linux, `tcp_retries2`."""

REQUEST_SIZE = len(
    "GET /ws? HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: 24 characters of base64.\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
RESPONSE_SIZE = len(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: 28 characters of base64.....\r\n\r\n"
)

REFUSED = Failure("refused", reason="nobody accepts connections there")
RESET = Failure("reset", reason="the connection was reset")
LOST = Failure("close", 1006, "the connection was lost")


def frame_size(content: str | bytes, *, masked: bool) -> int:
    """Return the bytes of a WebSocket frame with its header; a client's are masked. Source: RFC 6455 §5.2."""
    size = len(content) if isinstance(content, bytes) or content.isascii() else len(content.encode())
    return size + (2 if size < 126 else 4 if size < 65536 else 10) + 4 * masked


class Client(Protocol):
    """The person's end of a link."""

    def handle(self, event: Event) -> None:
        """Take what has come in."""

    def lose(self, event: Closed) -> None:
        """Take the news that a link has ended, or has never come to be."""


class Host(Protocol):
    """The server's end of all links."""

    def knock(self, link: Link) -> float | None:
        """Give a connection a place in the accept queue; return when it is accepted; None: it is refused."""

    def upgrade(self, link: Link) -> None:
        """Take the upgrade request of an accepted connection."""

    def receive(self, link: Link, frame: str | bytes) -> None:
        """Take a frame."""

    def leave(self, link: Link) -> None:
        """The person's side has gone."""


class Network:
    """All links to one server, and how many bytes and requests they carried."""

    __slots__ = ("bytes_down", "bytes_up", "environment", "host", "requests")

    def __init__(self, environment: LadderEnvironment, host: Host) -> None:
        self.environment = environment
        self.host = host
        self.bytes_up = self.bytes_down = self.requests = 0

    def open(self, path: Path, client: Client, number: int, query: dict[str, str]) -> Link:
        """Begin to open a WebSocket, which is the client's link of that number."""
        link = Link(self, path, client, number, query)
        link.knock()
        return link


class Link:
    """One WebSocket connection, from its first packet on.

    `served` is True from when the server has taken it in until it lets go. From `silent_at` on everything
    vanishes, and neither side is told. `member` is the server's number for it.
    """

    __slots__ = (
        "_accepted",
        "_client",
        "_down_at",
        "_environment",
        "_network",
        "_number",
        "_opened",
        "_path",
        "_up_at",
        "member",
        "query",
        "served",
        "silent_at",
    )

    def __init__(
        self, network: Network, path: Path, client: Client, number: int, query: dict[str, str]
    ) -> None:
        self._network = network
        self._environment = network.environment
        self._path = path
        self._client: Client | None = client
        self._number = number
        self._accepted = False
        self._opened = False
        self._up_at = self._down_at = -inf
        self.query = query
        self.member = 0
        self.served = False
        self.silent_at = -inf if path.swallowing else inf

    @property
    def quiet(self) -> bool:
        """Whether the link works, and all that the server has sent on it has arrived."""
        now = self._environment.now
        alive = self._client is not None and self._opened and self.served
        return alive and self._down_at <= now < self.silent_at

    # Packets. Whoever takes one checks for himself whether he is still there.

    def _up(self, delay: float) -> float:
        """Send a packet to the server; return when it arrives."""
        self._up_at = at = self._path.arrival(self._environment.now, delay, self._up_at)
        return at

    def _down(self, delay: float) -> float:
        """Send a packet to the person; return when it arrives."""
        self._down_at = at = self._path.arrival(self._environment.now, delay, self._down_at)
        return at

    @property
    def _silent(self) -> bool:
        return self._environment.now >= self.silent_at

    # The opening handshake

    def knock(self) -> None:
        """Send the SYN."""
        self._environment.call_at(self._up(self._path.connect()), self._take_syn)

    def _take_syn(self) -> None:
        if self._silent:
            return
        accepted_at = None if self._path.refusing else self._network.host.knock(self)
        if accepted_at is None:
            self._environment.call_at(self._down(self._path.connect()), self._end, REFUSED)
        else:
            self.served = True
            self._environment.call_at(self._down(self._path.connect()), self._request, accepted_at)

    def _request(self, accepted_at: float) -> None:
        if self._client is not None and not self._silent:
            network = self._network
            network.requests += 1
            network.bytes_up += REQUEST_SIZE + len(urlencode(self.query))
            self._environment.call_at(self._up(self._path.connect()), self._take_request, accepted_at)

    def _take_request(self, accepted_at: float) -> None:
        if self._silent:
            return
        if accepted_at > self._environment.now:
            self._environment.call_at(accepted_at, self._take_request, accepted_at)
        elif self.served:
            self._network.host.upgrade(self)

    # The person's end

    def send(self, frame: str | bytes) -> None:
        """Send a frame to the server."""
        self._network.bytes_up += frame_size(frame, masked=True)
        self._environment.call_at(self._up(self._path.up()), self._take_frame, frame)

    def _take_frame(self, frame: str | bytes) -> None:
        if self.served and not self._silent:
            self._network.host.receive(self, frame)

    def ping(self, number: int) -> None:
        """Send a Ping frame, which the server's WebSocket layer answers by itself (RFC 6455 §5.5.3)."""
        self._network.bytes_up += frame_size(str(number), masked=True)
        self._environment.call_at(self._up(self._path.up()), self._take_ping, number)

    def _take_ping(self, number: int) -> None:
        if self.served and not self._silent:
            self._network.bytes_down += frame_size(str(number), masked=False)
            self._environment.call_at(self._down(self._path.down()), self._take_pong, number)

    def close(self, code: int, reason: str) -> None:
        """End the link from the person's side, who hears no more of it; 1006: without a close frame."""
        self._client = None
        if code != 1006:
            self._network.bytes_up += frame_size("xx" + reason, masked=True)
        self._environment.call_at(self._up(self._path.up()), self._take_end, code)

    def _take_end(self, code: int) -> None:
        if self.served and not self._silent:
            self.served = False
            if code != 1006:
                self._network.bytes_down += frame_size("xx", masked=False)
            self._network.host.leave(self)

    # The server's end

    def accept(self) -> None:
        """Answer the upgrade request: the person is let in."""
        self._accepted = True
        self._network.bytes_down += RESPONSE_SIZE
        self._environment.call_at(self._down(self._path.connect()), self._open)

    def refuse(self, status: int, reason: str) -> None:
        """Answer the upgrade request with an HTTP status."""
        self.served = False
        self._network.bytes_down += RESPONSE_SIZE + len(reason.encode())
        self._environment.call_at(
            self._down(self._path.connect()), self._end, Failure("http", status, reason)
        )

    def reply(self, frame: str | bytes, size: int) -> None:
        """Send a frame of so many bytes, header included, to the person."""
        network = self._network
        now = self._environment.now
        if now > self.silent_at + GIVE_UP:
            self.served = False
            network.host.leave(self)
            return
        network.bytes_down += size
        self._down_at = at = self._path.arrival(now, self._path.down(), self._down_at)
        self._environment.call_at(at, self._take_reply, frame)

    def _take_reply(self, frame: str | bytes) -> None:
        if self._client is not None and not self._silent:
            event = (
                Received(self._number, frame)
                if isinstance(frame, str)
                else ReceivedBytes(self._number, frame)
            )
            self._client.handle(event)

    def expel(self, code: int, reason: str) -> None:
        """End the link from the server's side with a close frame, if it is open already."""
        if not self._accepted:
            self.abort()
            return
        self.served = False
        self._network.bytes_down += frame_size("xx" + reason, masked=False)
        self._environment.call_at(self._down(self._path.down()), self._end, Failure("close", code, reason))

    def abort(self) -> None:
        """End the link from the server's side without a word, as a process that dies does."""
        self.served = False
        self._environment.call_at(self._down(self._path.down()), self._lose)

    # What becomes of it at the person's end

    def reset(self) -> None:
        """End the link from the middle: both sides are told that the other has gone."""
        self._environment.call_at(self._down(self._path.down()), self._lose)
        self._environment.call_at(self._up(self._path.up()), self._take_end, 1006)

    def _open(self) -> None:
        if self._client is not None and not self._silent:
            self._opened = True
            self._client.handle(Opened(self._number))

    def _take_pong(self, number: int) -> None:
        if self._client is not None and not self._silent:
            self._client.handle(Pong(self._number, number))

    def _lose(self) -> None:
        self._end(LOST if self._opened else RESET)

    def _end(self, failure: Failure) -> None:
        client = self._client
        if client is not None and not self._silent:
            self._client = None
            if failure.kind == "close" and failure.code != 1006:  # A close frame is answered by one.
                self._network.bytes_up += frame_size("xx", masked=True)
            client.lose(Closed(self._number, failure))
