"""The long-polling machine: a request that the server holds until there is something to say.

As long as it isn't sure of the connection it asks not to be held, so as to know soon.

Source: seed ("Long Polling"). Departs: the seed has no cursor, and loses what is posted between two polls;
and it takes every timeout for an idle end: here only one in a row, as the server should have answered before.
"""

from __future__ import annotations

from chatlab.dialects.base import HttpDialect
from chatlab.messages import ConnectionStatus
from chatlab.settings import LongPollingConfig
from chatlab.transports.backoff import Uniform
from chatlab.transports.http import HttpMachine, Receiver
from chatlab.transports.ledger import Ledger
from chatlab.transports.machine import Answered, Closed, Effect, Links, Opened, ReceivedBytes
from chatlab.transports.polling import PollReceiver
from chatlab.transports.retry_state import RetryState

UNPLACED_GAP = 1.0
"""Seconds between two polls that can't say which message was the last."""


class LongPollReceiver(PollReceiver):
    """Asks again as soon as it is answered, but not within `min_gap` of asking before."""

    __slots__ = ("_late",)
    _config: LongPollingConfig

    def __init__(
        self,
        config: LongPollingConfig,
        http: HttpDialect,
        retry_state: RetryState,
        ledger: Ledger,
        links: Links,
    ) -> None:
        self._late = False
        super().__init__(config, http, retry_state, ledger, links)

    @property
    def _sure(self) -> bool:
        """Whether the server has answered the last request."""
        return self._retry_state.status is ConnectionStatus.CONNECTED and not self._late

    @property
    def hold(self) -> float:
        """Seconds that the server may hold the next poll."""
        return self._config.hold if self._sure else 0.0

    @property
    def patience(self) -> float:
        """Seconds within which an answer must come."""
        return self._config.timeout

    def next_at(self, asked_at: float, now: float) -> float:
        """When to ask again. A poll that can't say where it stands is answered at once, and with much."""
        gap = self._config.min_gap
        return max(now, asked_at + (gap if self._ledger.resumable else max(gap, UNPLACED_GAP)))

    def take(self, event: Opened | ReceivedBytes | Answered | Closed, now: float, out: list[Effect]) -> None:
        """Take news of the request under way."""
        self._late = False
        super().take(event, now, out)

    def tolerates_silence(self) -> bool:
        """The first late answer is an idle end, after which it asks again at once."""
        self._late = self._sure
        return self._late


class LongPollingMachine(HttpMachine):
    """One person's chat by long polling, without sockets or clock."""

    __slots__ = ()
    transport = "long_polling"
    _config: LongPollingConfig

    def _make_receiver(self, http: HttpDialect, uniform: Uniform, links: Links) -> Receiver:
        return LongPollReceiver(self._config, http, self._retry_state, self._ledger, links)
