"""A WebSocket machine with fast paths for large simulations.

`skip_heartbeats` has the result of answered heartbeats. The `restore` methods put a machine into the state
that its events would have led to, for a silent client that is promoted to a full one.
"""

from __future__ import annotations

from math import inf

from chatlab.messages import ConnectionStatus
from chatlab.settings import Verdict, WebSocketConfig
from chatlab.transports.backoff import Backoff
from chatlab.transports.heartbeat import Heartbeat
from chatlab.transports.machine import Failure
from chatlab.transports.websocket import Connecting, Online, Waiting, WebSocketMachine


class CrowdWebSocketMachine(WebSocketMachine):
    """A `WebSocketMachine` with fast paths."""

    __slots__ = ()

    @property
    def link(self) -> int:
        """The number of the link; 0: there is none."""
        return self._state.link

    @property
    def idle_heartbeat(self) -> Heartbeat | None:
        """The heartbeat of an open link, if no ping is unanswered and it is the only timer; else None."""
        state = self._state
        if not isinstance(state, Online) or state.drain_until < inf or self._ledger.deadline < inf:
            return None
        return None if state.heartbeat is None or state.heartbeat.open else state.heartbeat

    def skip_heartbeats(self, beats: int) -> None:
        """Advance the `idle_heartbeat` by `beats` beats, each answered before the next one.

        Only `rtt` differs from the result of `handle`: it stays that of the last heartbeat not skipped.
        """
        heartbeat = self.idle_heartbeat
        assert heartbeat is not None
        heartbeat.skip(beats)
        self.deadline = heartbeat.deadline

    # Promoting a silent client

    @property
    def config(self) -> WebSocketConfig:
        """The settings."""
        return self._config

    def judge(self, failure: Failure) -> Verdict:
        """Return the verdict of the failure tables."""
        return self._retry_state.judge(failure)

    @property
    def beats(self) -> bool:
        """Whether open links have heartbeats."""
        return self._config.heartbeat.enabled and self._heartbeat_mode != "none"

    def query(self, cursor: str | None) -> dict[str, str]:
        """Return the query parameters of an attempt that resumes after `cursor`."""
        return self._dialect.opening(self._config, cursor).query

    def restore(self, status: ConnectionStatus, backoff: Backoff | None, cursor: str | None) -> None:
        """Set the status, the count of attempts (None: there was no failure) and the cursor."""
        self._retry_state.status = status
        if backoff is not None:
            self._retry_state.backoff = backoff
        self._ledger.cursor.move(cursor)

    def restore_waiting(self, at: float) -> None:
        """Set the state to waiting for an attempt at `at`."""
        self._enter(Waiting(at))

    def restore_connecting(self, at: float) -> tuple[int, dict[str, str]]:
        """Set the state to connecting since `at`; return the link's number and the query parameters."""
        opening = self._dialect.opening(self._config, self._ledger.cursor.last_id)
        link = self._links.next()
        self._enter(Connecting(link, at + self._config.connect_timeout, opening))
        return link, opening.query

    def restore_open(self, at: float, heartbeat: Heartbeat | None) -> int:
        """Set the state to online since `at`; return the link's number."""
        link = self._links.next()
        self._enter(Online(link, at, heartbeat))
        return link

    def _enter(self, state: Connecting | Online | Waiting) -> None:
        self._state = state
        self.deadline = state.deadline
