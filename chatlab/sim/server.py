"""The simulated server: an accept queue and the members' links around the real `Hub`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from chatlab.hub import Expel, Hub, HubConfig, Keep, Output, Reply
from chatlab.settings import PositiveDuration, Settings, Size
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.network import Link, frame_size

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
"""The date on which every simulated run begins."""


class ServerConfig(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the server can do.

    It accepts `accept_rate` connections a second (None: any number), and lets `backlog` of them wait; one
    more is refused. Without `keep_history` a restart loses all messages. `presence` tells who comes and goes.
    """

    accept_rate: PositiveDuration | None = None
    backlog: Size = 1000
    keep_history: bool = True
    presence: bool = False


class AcceptQueue:
    """A bounded queue, served at a constant rate. `longest` is the most that have ever waited in it."""

    __slots__ = ("_backlog", "_interval", "_waiting", "longest")

    def __init__(self, rate: float | None, backlog: int) -> None:
        self._interval = 0.0 if rate is None else 1 / rate
        self._backlog = backlog
        self._waiting: deque[float] = deque()
        self.longest = 0

    def enter(self, now: float) -> float | None:
        """Take the last place; return when one is served; None: there is no place."""
        if not self._interval:
            return now
        waiting = self._waiting
        while waiting and waiting[0] <= now:
            waiting.popleft()
        if len(waiting) >= self._backlog:
            return None
        served_at = (waiting[-1] if waiting else now) + self._interval
        waiting.append(served_at)
        self.longest = max(self.longest, len(waiting))
        return served_at

    def clear(self) -> None:
        """Send everybody away."""
        self._waiting.clear()


class Server:
    """One server process, which faults can stop and start. It is the `Host` of a `Network`."""

    def __init__(self, environment: LadderEnvironment, config: ServerConfig) -> None:
        self._environment = environment
        self._config = config
        self._links: dict[int, Link] = {}
        self._members = 0
        self._outages = 0
        self._epoch = 0
        self._hub = self._new_hub()
        self.queue = AcceptQueue(config.accept_rate, config.backlog)

    def _new_hub(self) -> Hub:
        self._epoch += 1
        presence = HubConfig().presence_limit if self._config.presence else 0
        return Hub(HubConfig(presence_limit=presence), epoch=f"{self._epoch}", utc=self._utc)

    def _utc(self) -> datetime:
        return BEGINNING + timedelta(seconds=self._environment.now)

    # Coming and going

    def knock(self, link: Link) -> float | None:
        """Give a connection a place in the accept queue; return when it is accepted; None: it is refused."""
        accepted_at = None if self._outages else self.queue.enter(self._environment.now)
        if accepted_at is not None:
            self._members += 1
            link.member = self._members
            self._links[link.member] = link
        return accepted_at

    def upgrade(self, link: Link) -> None:
        """Let an accepted connection in, and bring it up to date."""
        query = link.query
        room, sender = query.get("room", ""), query.get("sender", "")
        refusal = self._hub.refusal(room, sender)
        if refusal is not None:
            del self._links[link.member]
            link.refuse(400, refusal)
            return
        link.accept()
        history = int(query["history"]) if "history" in query else None
        self._carry_out(
            self._hub.join(
                link.member, room, sender, self._environment.now, after=query.get("after"), history=history
            )
        )

    def receive(self, link: Link, frame: str | bytes) -> None:
        """Take a member's frame."""
        self._carry_out(self._hub.receive(link.member, frame, self._environment.now))

    def leave(self, link: Link) -> None:
        """Let a connection go whose other side has gone."""
        del self._links[link.member]
        self._carry_out(self._hub.leave(link.member))

    def _carry_out(self, outputs: Iterable[Output]) -> None:
        links = self._links
        for output in outputs:
            match output:
                case Reply(members, frame):
                    size = frame_size(frame, masked=False)
                    for member in members:
                        if (link := links.get(member)) is not None:
                            link.reply(frame, size)
                case Expel(member, code, reason):
                    links.pop(member).expel(code, reason)
                    self._carry_out(self._hub.leave(member))
                case Keep():
                    pass  # The hub's own log is the history: `stop` empties it where a restart is to lose it.

    # Faults

    def stop(self, code: int | None = None, reason: str = "") -> None:
        """Stop serving until as many calls of `start`; connections end by a close code, or without a word."""
        self._outages += 1
        self.queue.clear()
        links, self._links = self._links, {}
        for link in links.values():
            self._hub.leave(link.member)
            self._dismiss(link, code, reason)
        if not self._config.keep_history:
            self._hub = self._new_hub()

    def start(self) -> None:
        """Serve again."""
        self._outages -= 1

    def drop(self, link: Link, code: int | None = None, reason: str = "") -> None:
        """End one connection, as `stop` does all."""
        if self._links.pop(link.member, None) is not None:
            self._carry_out(self._hub.leave(link.member))
            self._dismiss(link, code, reason)

    def _dismiss(self, link: Link, code: int | None, reason: str) -> None:
        if code is None:
            link.abort()
        else:
            link.expel(code, reason)
