"""The short-polling machine: a request every `interval`.

Source: seed ("Short Polling"). Departs from the seed, whose `setInterval` overlaps slow answers, so messages
are duplicated and reordered. A slow answer delays the next request here.
"""

from __future__ import annotations

from chatlab.settings import ShortPollingConfig
from chatlab.transports.backoff import Uniform
from chatlab.transports.http import HttpMachine, Receiver
from chatlab.transports.ledger import Ledger
from chatlab.transports.machine import Links
from chatlab.transports.polling import PollReceiver
from chatlab.transports.retry_state import RetryState
from chatlab.transports.session import Session


class ShortPollReceiver(PollReceiver):
    """Receiver that polls every `interval` seconds, plus U(0, `spread`)."""

    __slots__ = ("_uniform",)
    _config: ShortPollingConfig

    def __init__(
        self,
        config: ShortPollingConfig,
        session: Session,
        retry_state: RetryState,
        ledger: Ledger,
        links: Links,
        uniform: Uniform,
    ) -> None:
        self._uniform = uniform
        super().__init__(config, session, retry_state, ledger, links)

    @property
    def response_timeout(self) -> float:
        """Seconds until a poll without an answer times out."""
        return self._config.request_timeout

    def next_at(self, asked_at: float, now: float) -> float:
        """Return the time of the next poll: an interval after the last one, or now if that is over."""
        spread = self._config.spread
        return max(now, asked_at + self._config.interval + (spread * self._uniform() if spread else 0.0))


class ShortPollingMachine(HttpMachine):
    """One person's chat by short polling, without sockets or clock."""

    __slots__ = ()
    transport = "short_polling"
    _config: ShortPollingConfig

    def _make_receiver(self, uniform: Uniform, links: Links) -> Receiver:
        return ShortPollReceiver(self._config, self._session, self._retry_state, self._ledger, links, uniform)
