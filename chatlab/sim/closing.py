"""The closing handshake of a WebSocket, from either end, and links that fail.

    client ── close ─────────▶ server   it answers as soon as it reads the frame, then drops the link
    client ◀───────── close ── server   the client answers; the server drops the link then, or after a while

A frame that is too large for the client fails the link: it sends a close frame, and reads nothing further.

Source: RFC 6455 §7.1.5 (1006), §7.1.7 (failing a connection), §5.5.1 (close frames).
"""

from __future__ import annotations

from math import inf
from typing import Protocol

from chatlab.sim.connection import Client, Connection, Host
from chatlab.sim.duplex import Traffic
from chatlab.sim.environment import LONG_AGO
from chatlab.sim.path import Path
from chatlab.sim.sizes import frame_size, payload_size
from chatlab.transports.machine import Closed, Failure

CLOSE_TIMEOUT = 0.5
"""Seconds that a client waits for the answer to its close frame, as in `chatlab.live`."""


class ClosingHost(Host, Protocol):
    """The server's end of links that close."""

    def await_close(self, link: ClosingLink) -> None:
        """Note that a close frame was sent on a link."""


class ClosingLink(Connection):
    """The closing handshake and the failures of a WebSocket link; `link` is the client's number for it.

    A frame with more bytes than `largest` fails the link: the client then neither reads nor sends.
    """

    __slots__ = (
        "_client",
        "_close_arrives_at",
        "_closed_at",
        "_echo_at",
        "_echo_size",
        "_failing_at",
        "_failure",
        "_largest",
        "closes_at",
        "link",
    )
    _host: ClosingHost

    def __init__(
        self, traffic: Traffic, host: ClosingHost, path: Path, client: Client, number: int, largest: int
    ) -> None:
        super().__init__(traffic, host, path)
        self._client = client
        self.link = number
        self._largest = largest
        self._closed_at = LONG_AGO
        self._close_arrives_at = inf  # When the client's close frame arrives.
        self._echo_size = 0  # Of the answer to it, until that is sent.
        self._echo_at = inf
        self._failing_at = inf
        self._failure: Failure | None = None
        self.closes_at = LONG_AGO
        """Time at which the server drops the link after its close frame: at the answer, or the time-out."""

    # The client closes it

    def close(self, code: int, reason: str) -> None:
        """Close the link at the client, which gets no further event; `code` 1006: without a close frame."""
        self.client_open = False
        if code == 1006:
            self.client_close()
            return
        self._closed_at = self._environment.now + CLOSE_TIMEOUT
        if self._failure is None:
            self._send_close(reason)

    @property
    def closing(self) -> bool:
        """Whether the client has sent a close frame, and waits for the answer."""
        return self._environment.now < self._closed_at

    def _send_close(self, reason: str) -> None:
        self._close_arrives_at = self._up(frame_size("xx" + reason, masked=True))
        self._echo_size = frame_size("xx" + reason, masked=False)
        self._environment.call_at(self._close_arrives_at, self._take_close)

    def _echo_close(self) -> float:
        """Answer the client's close frame; return when the client learns of it."""
        if self._echo_size:
            self._echo_at, self._echo_size = self._down(self._echo_size), 0
        return self._echo_at

    def _take_close(self) -> None:
        if self._up_silent or self._reset_arrived:
            return
        if self.server_open:
            at = self._echo_close()
            self._closed_at = min(self._closed_at, at)
            self._take_end()
        elif self._environment.now < self.closes_at:  # The server has sent a close frame, too.
            self.closes_at = self._environment.now
            at = self._down_behind()
        else:
            return
        if self._failure is not None:
            self._environment.call_at(at, self._end, self._failure)

    def _answer_with_reset(self) -> None:
        """Answer bytes that arrive at a closed socket with an RST."""
        if self._reset_arrives_at == inf and not (self.closing or self._down_silent):
            self._reset_arrives_at = self._up_behind()
            self._environment.call_at(self._reset_arrives_at, self._take_reset)

    # The client fails it

    def _refuse_frame(self, size: int, at: float) -> None:
        """Fail the link when a frame that is too large for the client arrives; drop all later ones."""
        if self._failing_at == inf:
            self._failing_at = at
            size, limit = payload_size(size), payload_size(self._largest)
            reason = f"frame with {size} bytes exceeds limit of {limit} bytes"
            self._environment.call_at(at, self._fail, Failure("close", 1009, reason))
            self._largest = 0

    def _fail(self, failure: Failure) -> None:
        """Send a close frame because a frame was too large. Source: RFC 6455 §7.1.7; websockets."""
        if self.client_open and not self._down_silent:
            self._failure = failure
            self._send_close(failure.reason)
            self._environment.call_at(self._environment.now + CLOSE_TIMEOUT, self._give_up)
        else:
            self._failing_at = inf

    def _give_up(self) -> None:
        """Stop waiting for the server's close frame on a failed link."""
        if self.client_open:
            assert self._failure is not None
            self.client_close()
            self._client.lose(Closed(self.link, self._failure))

    # The server closes it

    def server_close(self, code: int, reason: str) -> None:
        """Close the link at the server with a close frame."""
        self.server_open = False
        self.closes_at = self._environment.now + CLOSE_TIMEOUT
        self._host.await_close(self)
        self._close_at_server(code, reason)

    def _close_at_server(self, code: int, reason: str) -> None:
        at = self._down(frame_size("xx" + reason, masked=False))
        self._environment.call_at(at, self._take_server_close, Failure("close", code, reason))

    def _take_server_close(self, failure: Failure) -> None:
        if self._failure is None:
            self._end(failure)

    def _end(self, failure: Failure) -> None:
        if not self._down_silent:
            self._finish(failure)

    def _finish(self, failure: Failure) -> None:
        self._closed_at = LONG_AGO
        if self.client_open:
            self.client_open = False
            if self._failure is not None:
                failure = self._failure
            elif failure.kind == "close" and failure.code != 1006:  # A close frame is echoed.
                at = self._up(frame_size("xx" + failure.reason, masked=True))
                if at < self.up.silent_at:
                    self.closes_at = min(self.closes_at, at)
            self._client.lose(Closed(self.link, failure))
