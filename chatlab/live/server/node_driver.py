"""The driver of one node's hub: it exchanges news with the other nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from chatlab.hub import HubConfig, Log, LogError, NodeHub, SharedLog
from chatlab.live.loggers import get_logger
from chatlab.live.server.hub_driver import HubDriver, at_once

logger = get_logger(__name__)

INTERVAL = 0.01
"""Seconds between two exchanges with the other nodes."""
RECONNECT_INTERVAL = 0.5
"""Seconds before each attempt to reach a lost log again."""
BURY_INTERVAL = 1.0
"""Seconds between two looks for nodes that have died."""


class NodeDriver(HubDriver):
    """The driver of the hub of one node."""

    hub: NodeHub

    def __init__(
        self,
        config: HubConfig,
        log: SharedLog,
        *,
        clock: Callable[[], float],
        utc: Callable[[], datetime],
        soon: Callable[[Callable[[], object]], object] = at_once,
    ) -> None:
        super().__init__(config, log, epoch=log.epoch, clock=clock, utc=utc, soon=soon)
        self._bury_at = clock()

    def _new_hub(self, config: HubConfig, log: Log, utc: Callable[[], datetime]) -> NodeHub:
        assert isinstance(log, SharedLog)
        return NodeHub(config, log, utc=utc)

    async def exchange(self) -> None:
        """Exchange news with the other nodes, until cancelled."""
        while True:
            try:
                if self.hub.log.lost:
                    await asyncio.sleep(RECONNECT_INTERVAL)
                    await asyncio.to_thread(self.hub.log.reconnect)
                self.turn()
            except Exception:
                logger.exception("the exchange with the other nodes failed, and is tried again")
                await asyncio.sleep(BURY_INTERVAL)
            await asyncio.sleep(INTERVAL)

    def turn(self) -> None:
        """Tell the other nodes this node's news, and pass on theirs."""
        log = self.hub.log
        try:
            if self.clock() >= self._bury_at:
                self._bury_at = self.clock() + BURY_INTERVAL
                log.bury()
            self.tell()
            report = log.report()
        except LogError:  # The log reports it; the next turn tries again.
            return
        self.carry_out(self.hub.hear(report, self._waiting))

    def tell(self) -> None:
        """Tell the other nodes who joins, leaves and types here.

        Errors: `LogError`; then they are told the next time, except who was typing.
        """
        notices, self.hub.notices = self.hub.notices, []
        if not notices:
            return
        try:
            self.hub.log.tell(notices)
        except LogError:
            self.hub.notices = [notice for notice in notices if notice.kind != "typing"]
            raise
