"""The long-polling machine: a request that the server holds until there is a new message.

While not connected, or after a time-out, it asks for an answer at once (`hold` 0), to learn soon whether the
server answers.

Source: seed ("Long Polling"). Departs from the seed, which has no cursor, so it loses messages posted between
two polls, and which counts every time-out as idle. The first time-out counts as idle here; a second in a row
counts as a failure, as the server should have answered before.
"""

from __future__ import annotations

from chatlab.messages import ConnectionStatus
from chatlab.settings import LongPollingConfig
from chatlab.transports.backoff import Uniform
from chatlab.transports.http import HttpMachine, Receiver
from chatlab.transports.ledger import Ledger
from chatlab.transports.machine import Answered, Closed, Effect, Links, Opened, ReceivedBytes
from chatlab.transports.polling import PollReceiver
from chatlab.transports.retry_state import RetryState
from chatlab.transports.session import Session

NO_CURSOR_GAP = 1.0
"""Minimum seconds between two polls if the last message's id is too long to resume from."""


class LongPollReceiver(PollReceiver):
    """Receiver that polls again as soon as it is answered, at most once per `min_gap`."""

    __slots__ = ("_late",)
    _config: LongPollingConfig

    def __init__(
        self,
        config: LongPollingConfig,
        session: Session,
        retry_state: RetryState,
        ledger: Ledger,
        links: Links,
    ) -> None:
        self._late = False
        super().__init__(config, session, retry_state, ledger, links)

    @property
    def _responsive(self) -> bool:
        """Whether the server answered the last poll in time."""
        return self._retry_state.status is ConnectionStatus.CONNECTED and not self._late

    @property
    def hold(self) -> float:
        """Seconds that the server may hold the next poll."""
        return self._config.hold if self._responsive else 0.0

    @property
    def response_timeout(self) -> float:
        """Seconds until a poll without an answer times out."""
        return self._config.timeout

    def next_at(self, asked_at: float, now: float) -> float:
        """Return the time of the next poll. It is later without a usable cursor, as the server then answers
        at once, and with up to `CATCH_UP` messages."""
        gap = self._config.min_gap
        return max(now, asked_at + (gap if self._ledger.resumable else max(gap, NO_CURSOR_GAP)))

    def take(self, event: Opened | ReceivedBytes | Answered | Closed, now: float, out: list[Effect]) -> None:
        """Handle an event of the request in flight."""
        self._late = False
        super().take(event, now, out)

    def tolerates_silence(self) -> bool:
        """Return whether the time-out is the first in a row, which counts as idle."""
        self._late = self._responsive
        return self._late


class LongPollingMachine(HttpMachine):
    """One person's chat by long polling, without sockets or clock."""

    __slots__ = ()
    transport = "long_polling"
    _config: LongPollingConfig

    def _make_receiver(self, uniform: Uniform, links: Links) -> Receiver:
        return LongPollReceiver(self._config, self._session, self._retry_state, self._ledger, links)
