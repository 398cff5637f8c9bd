"""The WebSocket machine of somebody in a crowd, with short cuts for what happens to a crowd most of the time.

A simulation may take them in place of `handle`, where they come to the same: being refused again, a message
of somebody else's, and heartbeats that are answered. Who was an extra so far (`chatlab.sim.extras`) gets a
machine that stands where its events would have brought it.
"""

from __future__ import annotations

from math import inf

from chatlab.messages import ChatMessage, ConnectionStatus
from chatlab.settings import Verdict, WebSocketConfig
from chatlab.transports.backoff import Backoff
from chatlab.transports.failures import REFUSED
from chatlab.transports.heartbeat import Heartbeat
from chatlab.transports.machine import Failure
from chatlab.transports.websocket import Connecting, Online, Waiting, WebSocketMachine


class CrowdWebSocketMachine(WebSocketMachine):
    """A `WebSocketMachine` that needs fewer words."""

    __slots__ = ()

    @property
    def link(self) -> int:
        """The number of the link; 0: there is none."""
        return self._state.link

    def retry_refused(self, now: float, until: float) -> float | None:
        """Be as after the link was refused now, and if the next attempt begins before `until`, as after that.

        Return when it begins; None: nothing was done, as there is more to tell than that it's tried again.
        """
        state = self._state
        if not isinstance(state, Connecting) or self._ledger.ages:
            return None
        at = self._retry_state.retry_quietly(REFUSED, now)
        if at is None:
            return None
        if at < until:
            self._state = Connecting(self._links.next(), at + self._config.connect_timeout, state.opening)
        else:
            self._state = Waiting(at)
        self.deadline = self._state.deadline
        return at

    def fast_deliver(self, link: int, frame: str | bytes) -> ChatMessage | None:
        """Take in a frame that is but a new message of somebody else's, and return that message.

        So `handle` need only be told of a frame where this returns None and has done nothing.
        """
        state = self._state
        if not isinstance(state, Online) or link != state.link:
            return None
        items = self._dialect.decode(frame)
        message = self._ledger.fast_deliver(items[0]) if len(items) == 1 else None
        if message is not None and state.heartbeat is not None:
            state.heartbeat.activity()
            self.deadline = min(state.deadline, self._ledger.deadline)
        return message

    @property
    def idle_heartbeat(self) -> Heartbeat | None:
        """The heartbeat of an open link, if all pings are answered, and the next is all that is to come."""
        state = self._state
        if not isinstance(state, Online) or state.drain_until < inf or self._ledger.deadline < inf:
            return None
        return None if state.heartbeat is None or state.heartbeat.open else state.heartbeat

    def skip_heartbeats(self, beats: int) -> None:
        """Be as after so many heartbeats of a `resting` machine, each answered before the next one.

        All of it is the same but for the last round trip, which stays that of the last that wasn't skipped.
        """
        heartbeat = self.idle_heartbeat
        assert heartbeat is not None
        heartbeat.skip(beats)
        self.deadline = heartbeat.deadline

    # Who was an extra

    @property
    def config(self) -> WebSocketConfig:
        """The settings."""
        return self._config

    def judge(self, failure: Failure) -> Verdict:
        """Return what the machine's tables say to a failure."""
        return self._retry_state.judge(failure)

    @property
    def beats(self) -> bool:
        """Whether open links have heartbeats."""
        return self._config.heartbeat.enabled and self._heartbeat_mode != "none"

    def query(self, cursor: str | None) -> dict[str, str]:
        """Return what an attempt asks for, by the cursor."""
        return self._dialect.opening(self._config, cursor).query

    def restore(self, status: ConnectionStatus, backoff: Backoff | None, cursor: str | None) -> None:
        """Have this status, count of attempts (None: there was no failure) and place in the room."""
        self._retry_state.status = status
        if backoff is not None:
            self._retry_state.backoff = backoff
        self._ledger.cursor.move(cursor)

    def restore_waiting(self, at: float) -> None:
        """Be one whose next attempt begins at that time."""
        self._be(Waiting(at))

    def restore_connecting(self, at: float) -> tuple[int, dict[str, str]]:
        """Be one whose attempt began at that time; return the link's number, and what was asked for."""
        opening = self._dialect.opening(self._config, self._ledger.cursor.last_id)
        link = self._links.next()
        self._be(Connecting(link, at + self._config.connect_timeout, opening))
        return link, opening.query

    def restore_open(self, at: float, heartbeat: Heartbeat | None) -> int:
        """Be one whose link opened at that time; return the link's number."""
        link = self._links.next()
        self._be(Online(link, at, heartbeat))
        return link

    def _be(self, state: Connecting | Online | Waiting) -> None:
        self._state = state
        self.deadline = state.deadline
