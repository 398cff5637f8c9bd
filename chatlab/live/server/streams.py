"""Event streams: a room's frames as server-sent events.

Source: WHATWG HTML §9.2.5 (the format) and §9.2.7 (comments against proxies that time out).
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from chatlab.dialects.serving import KEEP_ALIVE, STREAM_TYPE, encode_event, encode_retry
from chatlab.hub.requests import Join
from chatlab.live.server.http_connection import HttpConnection
from chatlab.live.server.hub_driver import HubDriver

HEADERS = [
    (b"content-type", STREAM_TYPE.encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]
"""Headers of a stream's answer; the third asks nginx and similar proxies to forward data at once."""


class EventStream:
    """An answer that is a member of a room for as long as its client reads. The hub's `Peer`."""

    def __init__(self, driver: HubDriver, join: Join) -> None:
        self._driver = driver
        self._join = join
        self._connection: HttpConnection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._connection = connection = scope["state"]["connection"]
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        connection.begin_stream()
        limits = connection.server_state.limits
        if limits.reconnection_time is not None:
            connection.write(encode_retry(limits.reconnection_time))
        member = self._driver.join(self, self._join)
        try:
            while await connection.wait(receive, limits.keep_alive) and not connection.ending:
                if connection.stalled():
                    connection.close(1013, "")
                elif not connection.mute():
                    connection.write(KEEP_ALIVE)
        finally:
            self._driver.leave(member)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def write(self, *frames: str | bytes) -> bool:
        """Send each frame as an event, if the stream is open; return False if too many bytes wait for this
        reader. Each event is a chunk of its own, as in the simulator."""
        return all(self._connection.write(encode_event(frame)) for frame in frames)

    def begin_replay(self) -> None:
        """Begin a replay: any number of bytes may wait for the reader."""
        self._connection.begin_replay()

    def end_replay(self) -> None:
        """End the replay: in addition to its bytes, at most `max_backlog` may wait."""
        self._connection.end_replay()

    def when_read(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` in a later iteration of the loop, once most of the written bytes have been read."""
        self._connection.when_read(go_on)

    def close(self, code: int, reason: str) -> None:
        """End the stream, and drop the connection if its end isn't read soon. A stream has no place for
        `code`."""
        self._connection.close(code, reason)
