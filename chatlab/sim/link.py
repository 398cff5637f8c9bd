"""A WebSocket between one client and the server, over a modelled connection.

    client ── SYN, SYN-ACK ──            2d (4d with TLS): the client may send
           ── upgrade ──────▶            3d: the server accepts it
           ◀────────── 101 ──            4d: the client is connected

Source: RFC 6455 §4 (opening handshake), §5.2 (frame headers), §5.5.3 (pongs).
"""

from __future__ import annotations

from math import inf
from sys import maxsize
from typing import Protocol

from chatlab.settings import HeartbeatConfig
from chatlab.sim.closing import ClosingHost, ClosingLink
from chatlab.sim.connection import Client
from chatlab.sim.duplex import Traffic
from chatlab.sim.environment import LONG_AGO, LadderEnvironment
from chatlab.sim.keepalive import CODE, PAYLOAD, REASON, Keepalive
from chatlab.sim.path import Path
from chatlab.sim.sizes import STOPPING_SIZE, UPGRADE_SIZE, UPGRADED_SIZE, frame_size, query_size
from chatlab.transports.failures import LOST, REFUSED, RESET, UNANSWERED, UNREACHABLE
from chatlab.transports.machine import Failure, Opened, Pinged, Pong, Received, ReceivedBytes

_NO_QUERY: dict[str, str] = {}


class WebSocketHost(ClosingHost, Protocol):
    """The server's end of all links."""

    def upgrade(self, link: Link) -> None:
        """Handle the upgrade request of an accepted connection."""

    def receive(self, link: Link, frame: str | bytes) -> None:
        """Handle a frame."""

    def charge(self, link: Link) -> None:
        """Count a Ping or Pong frame of the client."""

    def drop_unanswered(self, link: Link) -> None:
        """Close a link whose ping wasn't answered."""


class LinkTraffic(Traffic):
    """The traffic of all links to one `host`. With a `heartbeat` that server sends pings on them."""

    __slots__ = ("heartbeat", "host")

    def __init__(
        self,
        environment: LadderEnvironment,
        host: WebSocketHost,
        *,
        tls: bool = False,
        heartbeat: HeartbeatConfig | None = None,
    ) -> None:
        super().__init__(environment, tls=tls)
        self.host = host
        self.heartbeat = heartbeat


class Link(ClosingLink):
    """One WebSocket connection, from its first packet on.

    `query` is that of the upgrade request, and empty once that is accepted. `plain`: a proxy has made its
    upgrade request a plain one, so its answer doesn't end the connection.
    """

    __slots__ = (
        "_accepted",
        "_asked",
        "_established",
        "_frames",
        "_frames_at",
        "_heartbeat",
        "_keepalive",
        "_opened",
        "_upgrade_size",
        "plain",
        "query",
    )
    _host: WebSocketHost

    def __init__(
        self,
        traffic: LinkTraffic,
        path: Path,
        client: Client,
        number: int,
        query: dict[str, str],
        largest: int = maxsize,
        upgrade_size: int = UPGRADE_SIZE,
    ) -> None:
        super().__init__(traffic, traffic.host, path, client, number, largest)
        self._heartbeat = traffic.heartbeat
        self._keepalive: Keepalive | None = None
        self._upgrade_size = upgrade_size
        self._accepted = False
        self._asked = False
        self._opened = False
        self._established = False
        self._frames: list[str | bytes] = []  # Those of the client that arrive last, together.
        self._frames_at = LONG_AGO
        self.plain = False
        self.query = query

    @property
    def up_to_date(self) -> bool:
        """Whether the link is open, and everything that the server has sent on it has arrived."""
        now = self._environment.now
        alive = self.client_open and self._opened and self.server_open
        return alive and self.down.arrives_at <= now < self.down.silent_at

    # The opening handshake

    def _on_refused(self) -> None:
        self._end(REFUSED)

    def _on_established(self) -> None:
        self._established = True
        if self.client_open and not self._down_silent:
            self._traffic.requests += 1
            size = self._upgrade_size + query_size(self.query)
            if self._is_blocked("websocket", size):
                return
            self.plain = self.path.impairment.blocked.get("websocket") == "strip_upgrade"
            self._environment.call_at(self._up(size), self._take_request)

    def _take_request(self) -> None:
        if not self._up_silent:
            self._once_accepted(self._read_request)

    def _read_request(self) -> None:
        if self.server_open:
            self._asked = True
            self._host.upgrade(self)

    def accept(self) -> None:
        """Accept the upgrade request."""
        self._accepted = True
        self.query = _NO_QUERY
        if self._heartbeat is not None:
            self._keepalive = self._make_keepalive(self._heartbeat)
        if not self._reset_arrived:
            self._environment.call_at(self._down(UPGRADED_SIZE), self._open)

    def refuse(self, status: int, reason: str, retry_after: float | None, size: int) -> None:
        """Answer the upgrade request with an HTTP status, in `size` bytes."""
        self.server_open = False
        if self._reset_arrived:
            return
        at = self._down(size)
        self._environment.call_at(at, self._end, Failure("http", status, reason, retry_after))

    def answer(self, status: int, reason: str, retry_after: float | None, size: int) -> None:
        """Answer the request of a `plain` link, in `size` bytes. The client closes the connection."""
        self._asked = False
        if not self._reset_arrived:
            failure = Failure("http", status, reason, retry_after)
            self._environment.call_at(self._down(size), self._take_answer, failure)

    def _take_answer(self, failure: Failure) -> None:
        if self.client_open and not self._down_silent:
            self._environment.call_at(self._up_behind(), self._take_end)
            self._end(failure)

    def _open(self) -> None:
        if self.client_open and not self._down_silent:
            self._opened = True
            self._client.handle(Opened(self.link))

    # Frames of the client

    def send(self, frame: str | bytes) -> None:
        """Send a frame to the server."""
        if self._environment.now >= self._failing_at:
            return
        at = self._up(frame_size(frame, masked=True))
        if (
            self._frames and at == self._frames_at and self._reset_arrives_at == inf
        ):  # They are read together.
            self._frames.append(frame)
            return
        self._frames, self._frames_at = [frame], at
        self._environment.call_at(at, self._take_frames, self._frames)

    def _take_frames(self, frames: list[str | bytes]) -> None:
        if frames is self._frames:
            self._frames = []
        for frame in frames:
            self._take_frame(frame)

    def _take_frame(self, frame: str | bytes) -> None:
        now = self._environment.now
        if self.server_open and now < self.up.silent_at:
            if now >= self._close_arrives_at and not self._reset_arrived:
                self._echo_close()  # It is answered as soon as it is read, and the frame only then.
            self._host.receive(self, frame)

    # Frames of the server

    def reply(self, frame: str | bytes, size: int) -> None:
        """Send a frame of `size` bytes, header included, to the client."""
        now = self._environment.now
        if self._sends_no_news:  # Bytes before the reset are still read.
            return
        if now >= self._close_arrives_at < self.up.silent_at:
            return  # The server has read the client's close frame together with the frame that it answers.
        at = self._down(size)
        if not self.client_open:
            self._environment.call_at(at, self._answer_with_reset)
        elif size > self._largest:
            self._refuse_frame(size, at)
        else:
            self._environment.call_at(at, self._take_reply, frame)

    def _take_reply(self, frame: str | bytes) -> None:
        if self.client_open and self._environment.now < self.down.silent_at:
            link = self.link
            self._client.handle(
                Received(link, frame) if isinstance(frame, str) else ReceivedBytes(link, frame)
            )

    # The client's pings

    def ping(self, number: int) -> None:
        """Send a Ping frame, which the server's WebSocket layer answers by itself (RFC 6455 §5.5.3)."""
        if self._environment.now >= self._failing_at:
            return
        at = self._up(frame_size(str(number), masked=True))
        self._environment.call_at(at, self._take_ping, number)

    def _take_ping(self, number: int) -> None:
        if not self.server_open or self._up_silent or self._reset_arrived:
            return
        if not self.path.impairment.mute:
            at = self._down(frame_size(str(number), masked=False))
            if self.client_open:
                self._environment.call_at(at, self._take_pong, number)
            else:
                self._environment.call_at(at, self._answer_with_reset)
        self._host.charge(self)

    def _take_pong(self, number: int) -> None:
        if self.client_open and not self._down_silent and self._failure is None:
            self._client.handle(Pong(self.link, number))

    # The server's pings

    def _make_keepalive(self, config: HeartbeatConfig) -> Keepalive:
        """Return the server's pings on the link, which opens now."""
        return Keepalive(self._environment, config, self)

    @property
    def mute(self) -> bool:
        """Whether a fault keeps the server from sending and answering pings."""
        return self.path.impairment.mute

    def ping_client(self) -> None:
        """Send a Ping frame of the server."""
        if not self._reset_arrived:
            at = self._down(frame_size(PAYLOAD, masked=False))
            self._environment.call_at(
                at, self._take_server_ping if self.client_open else self._answer_with_reset
            )

    def _take_server_ping(self) -> None:
        if self.client_open and not self._down_silent and self._failure is None:
            at = self._up(frame_size(PAYLOAD, masked=True))
            self._environment.call_at(at, self._take_client_pong)
            self._client.handle(Pinged(self.link))

    def _take_client_pong(self) -> None:
        if self.server_open and not (self._up_silent or self._reset_arrived):
            assert self._keepalive is not None
            self._keepalive.take_pong()
            self._host.charge(self)

    def fail_unanswered(self) -> None:
        """Close the link, as the client hasn't answered a ping: with a close frame, whose answer the server
        doesn't wait for."""
        self._host.drop_unanswered(self)
        self.server_open = False
        self._close_at_server(CODE, REASON)

    # Ends

    def server_close(self, code: int, reason: str) -> None:
        """Close the link at the server with a close frame, or as uvicorn does if it isn't open yet."""
        if not self._accepted:
            if self._asked:
                self.refuse(500, "Internal Server Error", None, STOPPING_SIZE)
            else:
                self.abort()
            return
        super().server_close(code, reason)

    def _on_server_closed(self, reset: bool) -> None:
        self._end(LOST if self._opened else UNANSWERED if self._established else RESET)

    def _on_time_out(self) -> None:
        self._finish(LOST if self._opened else UNANSWERED if self._established else UNREACHABLE)

    def forget(self) -> None:
        super().forget()
        if self._keepalive is not None:
            self._keepalive.stop()
