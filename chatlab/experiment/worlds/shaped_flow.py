"""The bytes of one direction of a connection, delayed and limited as the person's `Path` says.

They take as long as in the model: delays come from the same random streams. What a partition loses is sent
again at the times of `chatlab.sim.tcp_segments`, computed when it is first sent. Slow start is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from math import inf

from chatlab.live.proxied_connection import READ_SIZE
from chatlab.sim.latency import Delay
from chatlab.sim.path import Direction, Path
from chatlab.sim.retransmission import SYN_TIMES
from chatlab.sim.round_trips import RTO_MAX, RoundTrips
from chatlab.sim.tcp_segments import RETRIES
from chatlab.sim.tcp_sender import WireLine

MOST_IN_FLIGHT = 1 << 20
"""Maximum bytes in flight in one direction; beyond that the sender must wait, as with a full TCP window."""
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

    `pieces` holds the arrival time and the data of each piece: bytes, b"" for FIN, None for RST. Packets that
    arrive at `silent_at` or later are lost. `arrives_at` is the arrival time of the latest packet. `line` is
    that of all the person's connections. Acks come back over `opposite`.
    """

    opposite: ShapedFlow

    def __init__(self, direction: Direction, path: Path, line: WireLine) -> None:
        self.pieces: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue()
        self.silent_at = inf
        self.arrives_at = -inf
        self.delay = 0.0
        self._in_flight = 0
        self._has_room = asyncio.Event()
        self.round_trips = RoundTrips()
        self._draw = path.up if direction == "up" else path.down
        self._path = path
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._drawn_at = -inf
        self._noted_at = -inf
        self._recovery = (inf, -inf)  # From the first retransmission until its ack comes back.

    @property
    def silent(self) -> bool:
        """Whether a packet that arrives now is lost."""
        return self._loop.time() >= self.silent_at

    def send(self, data: bytes | None) -> float:
        """Send bytes, b"" for FIN or None for RST; return the arrival time of the last piece."""
        size = max(1, int(min(READ_SIZE, self._path.impairment.bandwidth * PIECE)))
        for piece in [data[start : start + size] for start in range(0, len(data), size)] if data else [data]:
            self.pieces.put_nowait((self._arrival(len(piece or b"")), piece))
        self._in_flight += len(data or b"")
        return self.arrives_at

    async def next_piece(self) -> tuple[float, bytes | None]:
        """Return the next piece and its arrival time."""
        due, data = await self.pieces.get()
        self._in_flight -= len(data or b"")
        self._has_room.set()
        return due, data

    async def room(self) -> None:
        """Wait until more bytes may be sent."""
        while self._in_flight > MOST_IN_FLIGHT:
            self._has_room.clear()
            await self._has_room.wait()

    def send_now(self, data: bytes | None) -> None:
        """Send without a delay."""
        self.pieces.put_nowait((self._loop.time(), data))

    async def packet(self, delay: Delay) -> None:
        """Send a packet without data, and wait until it arrives; for ever if it is lost."""
        await self._arrive(self._arrival(delay=delay))

    async def handshake_packet(
        self, wanted: Callable[[], bool] = lambda: True, *, is_syn: bool = False
    ) -> AsyncIterator[float]:
        """Send a SYN or its answer, again and again while it is `wanted`; whenever one arrives, yield when it
        left."""
        first_at = self.draw_delay(self._path.connect)
        delay = self.delay
        for wait in SYN_TIMES:
            left_at = first_at + wait
            if wait:
                await sleep_until(left_at)
            if not wanted():
                return
            if not (self._loses(left_at) or (is_syn and left_at < self._path.unreachable_until)):
                self.arrives_at = max(self.arrives_at, left_at + delay)
                await self._arrive(self.arrives_at)
                yield left_at
        await sleep_until(inf)

    async def tries(self, delay: float) -> AsyncIterator[None]:
        """Send the first packet, again and again; yield whenever it arrives."""
        first_at = left_at = self._loop.time()
        self.round_trips.take_samples(first_at)
        probe, timeout = self.round_trips.probe, self.round_trips.timeout
        for number in range(RETRIES + 1):
            if number == 1:
                left_at = first_at + probe
            elif number:
                left_at += min(timeout * 2 ** (number - 2), RTO_MAX)
            if number:
                await sleep_until(left_at)
            if not self._loses(left_at):
                await self._arrive(left_at + delay)
                yield
        await sleep_until(inf)

    async def extra_packet(self) -> None:
        """Send a packet that isn't sent again, and wait until it arrives; for ever if it is lost."""
        now = self._loop.time()
        await self._arrive(inf if self._loses(now) else now + self.delay)

    def _loses(self, time: float) -> bool:
        """Return whether a partition loses a packet that is sent at `time`."""
        return self._path.loss_at(time) == 1

    async def _arrive(self, time: float) -> None:
        await sleep_until(time)
        if time >= self.silent_at:
            await sleep_until(inf)

    def draw_delay(self, draw: Delay) -> float:
        """Draw the delay of a packet that is sent now; return when it leaves."""
        self._drawn_at = now = self._loop.time()
        self.delay = self._path.delay(draw)
        return self._line.leave(now, 0, self._path.impairment.bandwidth)

    def _arrival(self, size: int = 0, delay: Delay | None = None) -> float:
        """Return the arrival time of `size` bytes that are sent now, behind all earlier ones.

        Packets of one instant have the same delay. A FIN or RST has the delay of the last bytes.
        """
        now = self._loop.time()
        if now != self._drawn_at and (size or delay or self._drawn_at == -inf):
            self.draw_delay(delay or self._draw)
        left_at = self._line.leave(now, size, self._path.impairment.bandwidth)
        if self._path.lossy:
            left_at = self._get_through(left_at)
        self.arrives_at = max(self.arrives_at, left_at + self.delay)
        return self.arrives_at

    def _get_through(self, first_at: float) -> float:
        """Return when a packet leaves that a partition doesn't lose; inf: never. The first leaves at
        `first_at`."""
        now, round_trip = self._loop.time(), self.delay + self.opposite.delay
        self.round_trips.take_samples(now)
        probe, timeout = self.round_trips.probe, self.round_trips.timeout
        left_at = first_at
        begins_at, ends_at = self._recovery
        for number in range(RETRIES + 1):
            if number == 1:
                left_at = ends_at if begins_at <= now < ends_at else first_at + probe
                again_at = left_at
            elif number:
                left_at += min(timeout * 2 ** (number - 2), RTO_MAX)
            if not self._loses(left_at):
                break
        else:
            left_at = inf
        if number and not begins_at <= now < ends_at:
            self._recovery = again_at, left_at + round_trip
        if now != self._noted_at:
            self._noted_at = now
            self._loop.call_at(left_at + self.delay, self._acknowledge, left_at, round_trip, probe)
        return left_at

    def _acknowledge(self, left_at: float, round_trip: float, probe: float) -> None:
        """Note the sample of a packet that has arrived. An ack lost in a partition comes with the probe."""
        lost = self._loses(self._loop.time())
        sample = round_trip + probe if lost else round_trip
        self.round_trips.note(left_at + sample, sample)
