"""The hub's driver: carries out the hub's outputs on real connections and a real history."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import count
from typing import NamedTuple, Protocol

from chatlab.hub import Behind, Expel, Hub, HubConfig, Log, LogError, MemoryLog, News, Output, Reply
from chatlab.hub.requests import UNREADABLE, Join

MAX_BATCH = 256 * 1024
"""Characters or bytes of frames written as one batch; a slow reader's backlog is checked only once for each
batch."""
TOO_SLOW = "you read too slowly; come back after the last message you have"


class Peer(Protocol):
    """The server's end of one member's connection. Its methods neither block nor raise."""

    def write(self, *frames: str | bytes) -> bool:
        """Send frames, if still open; return False if too many bytes wait for this reader."""

    def begin_replay(self) -> None:
        """Begin a replay: any number of bytes may wait for the reader."""

    def end_replay(self) -> None:
        """End the replay: in addition to its bytes, at most `max_backlog` may wait."""

    def when_read(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` in a later iteration of the loop, once most of the written bytes have been read."""

    def close(self, code: int, reason: str) -> None:
        """Send a close frame at once, and drop the connection if it isn't answered soon."""


class _Batch(NamedTuple):
    """Frames for the same members."""

    members: Sequence[int]
    frames: list[str | bytes]


def at_once(work: Callable[[], object]) -> None:
    """Call `work` now."""
    work()


class HubDriver:
    """A hub with its peers and its log: the given one, or one in memory with this `epoch`.

    `clock` returns the seconds of any steady clock. `soon` schedules a call for the loop's next iteration.
    Until then, frames for a room's members are collected, and then written to each as one batch. A client
    that posts gets its answer after them.
    """

    def __init__(
        self,
        config: HubConfig,
        log: Log | None,
        *,
        epoch: str,
        clock: Callable[[], float],
        utc: Callable[[], datetime],
        soon: Callable[[Callable[[], object]], object] = at_once,
    ) -> None:
        self.clock = clock
        self._soon = soon
        self._batches: list[_Batch] = []
        self._batch_space = 0
        self._numbers = count(1)
        self._peers: dict[int, Peer] = {}
        self._rooms: dict[int, str] = {}
        self._waiting: dict[str, dict[int, Callable[[], None]]] = {}
        self.hub = self._new_hub(config, MemoryLog(epoch, config) if log is None else log, utc)

    def _new_hub(self, config: HubConfig, log: Log, utc: Callable[[], datetime]) -> Hub:
        return Hub(config, log, utc=utc)

    @property
    def people(self) -> int:
        """Number of members."""
        return len(self._peers)

    @property
    def rooms(self) -> int:
        """Number of rooms with members."""
        return len(set(self._rooms.values()))

    def join(self, peer: Peer, join: Join, *, address: str | None = None) -> int:
        """Add a connection to a room, begin its replay, and return its member's number.

        It is closed at once if the history can't be read. Its frames count for its `address`.
        """
        member = next(self._numbers)
        self._peers[member] = peer
        self._rooms[member] = join.room
        with self._readable(member):
            self._perform(
                self.hub.join(
                    member, join.room, join.sender, after=join.after, history=join.history, address=address
                )
            )
        self._end_replay(member)
        return member

    def _go_on(self, member: int) -> None:
        peer = self._peers.get(member)
        if peer:
            peer.begin_replay()
            with self._readable(member):
                self._perform(self.hub.go_on(member))
            self._end_replay(member)

    def _end_replay(self, member: int) -> None:
        self._flush()
        peer = self._peers.get(member)
        if peer:
            peer.end_replay()

    @contextmanager
    def _readable(self, member: int) -> Iterator[None]:
        """Close a member's connection if the history can't be read."""
        try:
            yield
        except LogError:
            self._perform((Expel(member, 1011, UNREADABLE),))

    def receive(self, member: int, frame: str | bytes) -> None:
        """Process a member's frame. Frames of an expelled member are ignored."""
        if member in self._peers:
            self._perform(self.hub.receive(member, frame, self.clock()))

    def charge(self, member: int, count: int) -> bool:
        """Count what a member has sent in addition to its frames; return whether it is still a member."""
        self._perform(self.hub.charge(member, count, self.clock()))
        return member in self._peers

    def leave(self, member: int) -> None:
        """Remove a member, if it is still there."""
        if self._forget(member) is not None:
            self._perform(self.hub.leave(member))

    def carry_out(self, outputs: Iterable[Output]) -> None:
        """Carry out the hub's outputs for a client that isn't a member, before that client is answered."""
        self._perform(outputs)
        self._flush()

    @contextmanager
    def waiting(self, room: str, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` once, as soon as a room may have new messages."""
        number = next(self._numbers)
        self._waiting.setdefault(room, {})[number] = wake
        try:
            yield
        finally:
            waiting = self._waiting.get(room, {})
            waiting.pop(number, None)
            if not waiting:
                self._waiting.pop(room, None)

    def _wake(self, room: str) -> None:
        for wake in self._waiting.pop(room, {}).values():
            wake()

    def _forget(self, member: int) -> Peer | None:
        self._rooms.pop(member, None)
        return self._peers.pop(member, None)

    def _perform(self, outputs: Iterable[Output]) -> None:
        """Carry out outputs of the hub."""
        pending = deque(outputs)
        while pending:
            match pending.popleft():
                case News(room):
                    self._wake(room)
                case Reply(members, frame):
                    self._reply(members, frame)
                case Behind(member):
                    self._flush()
                    peer = self._peers.get(member)
                    if peer:
                        peer.when_read(partial(self._go_on, member))
                case Expel(member, code, reason):
                    self._flush()
                    peer = self._forget(member)
                    if peer:
                        peer.close(code, reason)
                        pending.extend(self.hub.leave(member))

    def _reply(self, members: Sequence[int], frame: str | bytes) -> None:
        """Write a frame after all earlier ones, at the latest in the loop's next iteration."""
        self._batch_space -= len(frame)
        if self._batches and self._batch_space >= 0 and self._batches[-1].members == members:
            self._batches[-1].frames.append(frame)
            return
        self._batches.append(_Batch(members, [frame]))
        self._batch_space = MAX_BATCH - len(frame)
        if len(self._batches) == 1:
            self._soon(self._flush)

    def _flush(self) -> None:
        batches, self._batches = self._batches, []
        for members, frames in batches:
            for member in members:
                peer = self._peers.get(member)
                if peer and not peer.write(*frames):
                    self._perform((Expel(member, 1013, TOO_SLOW),))
