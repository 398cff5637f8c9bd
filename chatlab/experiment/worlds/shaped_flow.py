"""The bytes of one direction of a connection, delayed and limited as the person's `Path` says.

They take as long as in the model: delays come from the same random streams.
"""

from __future__ import annotations

import asyncio
from math import inf

from chatlab.live.proxied_connection import READ_SIZE
from chatlab.sim.latency import Delay
from chatlab.sim.path import Direction, Path

PIECE = 0.002
"""Maximum seconds that bytes sent together take on a line of low bandwidth, unless they are a single byte."""


async def sleep_until(time: float) -> None:
    """Wait until the loop's clock is at `time`; inf: for ever. Don't yield if the time has passed."""
    loop = asyncio.get_running_loop()
    if time == inf:
        await loop.create_future()
    if (left := time - loop.time()) > 0:  # Bytes that arrive at one instant arrive together.
        await asyncio.sleep(left)


class ShapedFlow:
    """One direction of a connection.

    `pieces` has the data in flight: the arrival time, and bytes, b"" for FIN or None for RST. Packets that
    arrive at `silent_at` or later are lost. `arrives_at` is the arrival time of the latest packet.
    """

    def __init__(self, direction: Direction, path: Path, silent_at: float) -> None:
        self.pieces: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue()
        self.silent_at = silent_at
        self.arrives_at = -inf
        self._direction = direction
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._drawn_at = -inf
        self._delay = 0.0

    @property
    def silent(self) -> bool:
        """Whether a packet that arrives now is lost."""
        return self._loop.time() >= self.silent_at

    def send(self, data: bytes | None) -> float:
        """Send bytes, b"" for FIN or None for RST; return the arrival time of the last piece."""
        size = max(1, int(min(READ_SIZE, self._path.impairment.bandwidth * PIECE)))
        for piece in [data[start : start + size] for start in range(0, len(data), size)] if data else [data]:
            self.pieces.put_nowait((self._arrival(len(piece or b"")), piece))
        return self.arrives_at

    def send_now(self, data: bytes | None) -> None:
        """Send without a delay."""
        self.pieces.put_nowait((self._loop.time(), data))

    async def packet(self, delay: Delay) -> None:
        """Send a packet without data, and wait until it arrives; for ever if it is lost."""
        at = self._arrival(delay=delay)
        await sleep_until(at)
        if at >= self.silent_at:
            await sleep_until(inf)

    def _arrival(self, size: int = 0, delay: Delay | None = None) -> float:
        """Return the arrival time of `size` bytes that are sent now, behind all earlier ones.

        Packets of one instant have the same delay. A FIN or RST has the delay of the last bytes.
        """
        path, now = self._path, self._loop.time()
        if now != self._drawn_at and (size or delay or self._drawn_at == -inf):
            self._drawn_at = now
            self._delay = path.delay(delay or (path.up if self._direction == "up" else path.down))
        self.arrives_at = path.impaired_arrival(self._direction, now, self._delay, size, self.arrives_at)
        return self.arrives_at
