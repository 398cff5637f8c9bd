"""Services that the server needs: each is a queue with one server, shared by all nodes.

    request or message ──▶ need 1 ──▶ need 2 ──▶ served
                             │          │
                             ▼          ▼    the queue is full, or the time-out is over
                          refused    refused

Work that waits, or has begun, goes on if its caller has given up. So callers that come back too early make
more and more work of which nothing comes.

Source: Brooker, "Metastability and Distributed Systems" (2021); Bronson et al., "Metastable Failures in
Distributed Systems" (HotOS 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import ceil, log1p
from typing import NamedTuple

from chatlab.dialects.base import Nack
from chatlab.dialects.chatlab import encode_frame
from chatlab.dialects.serving import RETRY_AFTER
from chatlab.messages import OutgoingMessage
from chatlab.random_streams import RandomStreams
from chatlab.sim.blocking import transport_of
from chatlab.sim.calendar import Calendar
from chatlab.sim.capacity import Need, NeededFor, Queue
from chatlab.transports.backoff import Uniform

PAUSE = float(RETRY_AFTER)
"""Seconds for which a WebSocket's messages are refused after a refused one, so that none overtakes it."""


class NeedQueue(Queue):
    """The queue of one need. Of its `calls`, those `refused` found it full; others `timed_out`."""

    __slots__ = ("_uniform", "calls", "need", "refused", "timed_out")

    def __init__(self, need: Need, uniform: Uniform) -> None:
        super().__init__()
        self.need = need
        self.calls = self.refused = self.timed_out = 0
        self._uniform = uniform

    def enter(self, now: float) -> tuple[float, bool]:
        """Enter the queue; return when the answer comes, and whether it is the service's own."""
        self._release(now)
        self.calls += 1
        need = self.need
        if need.queue is not None and len(self._ends) > need.queue:  # One of them is being served.
            self.refused += 1
            return now, False
        work = 1 / need.rate
        if need.service == "exponential":
            work *= -log1p(-self._uniform())
        done_at = self._append(now, work)
        if need.timeout is not None and done_at > now + need.timeout:
            self.timed_out += 1
            return now + need.timeout, False
        return done_at, True


class _Call(NamedTuple):
    """A caller, the needs that it has yet to wait for, and what it does then. `alive`: it still waits."""

    queues: Iterator[NeedQueue]
    alive: Callable[[], bool]
    go_on: Callable[[], None]
    refuse: Callable[[Need], None]


class Needs:
    """All needs of a server."""

    def __init__(self, needs: Sequence[Need], streams: RandomStreams, calendar: Calendar) -> None:
        self.queues = [NeedQueue(need, streams.uniform(0, f"need-{need.name}")) for need in needs]
        self._calendar = calendar
        self._paused: dict[object, tuple[float, Need]] = {}
        self._by_cause: dict[NeededFor, list[NeedQueue]] = {
            cause: [queue for queue in self.queues if queue.need.per == cause]
            for cause in ("connect", "message")
        }
        self.connects = bool(self._by_cause["connect"])
        self.messages = bool(self._by_cause["message"])

    def figures(self) -> dict[str, int]:
        """Return the metrics: the longest queue, callers that were refused, and those that timed out."""
        return {
            "needs_queue_max": max((queue.longest for queue in self.queues), default=0),
            "needs_refused": sum(queue.refused for queue in self.queues),
            "needs_timed_out": sum(queue.timed_out for queue in self.queues),
        }

    def totals(self) -> dict[str, list[int]]:
        """Return the counts of each need, as `Run.needs` has them; empty without needs."""
        if not self.queues:
            return {}
        return {
            "calls": [queue.calls for queue in self.queues],
            "refused": [queue.refused for queue in self.queues],
            "timed_out": [queue.timed_out for queue in self.queues],
            "queue_max": [queue.longest for queue in self.queues],
        }

    def wait(
        self,
        cause: NeededFor,
        alive: Callable[[], bool],
        go_on: Callable[[], None],
        refuse: Callable[[Need], None],
    ) -> None:
        """Wait for all needs of this cause, one after the other; then `go_on`, or `refuse` at the first that
        fails. Do neither if the caller isn't `alive` then."""
        if self._calendar.now < 0:  # Everybody gets in before the run begins.
            go_on()
        else:
            self._proceed(_Call(iter(self._by_cause[cause]), alive, go_on, refuse))

    def pass_message(
        self,
        connection: object,
        alive: Callable[[], bool],
        go_on: Callable[[], None],
        refuse: Callable[[Need], None],
    ) -> None:
        """Wait as a message of a WebSocket does: once one is refused, so are all for `PAUSE` seconds."""
        now = self._calendar.now
        until, paused_by = self._paused.get(connection, (now, None))

        def pause(need: Need) -> None:
            now = self._calendar.now
            self._paused = {key: pause for key, pause in self._paused.items() if pause[0] > now}
            self._paused[connection] = now + PAUSE, need
            refuse(need)

        if paused_by is not None and now < until:
            refuse(paused_by)
        else:
            self.wait("message", alive, go_on, pause)

    def _proceed(self, call: _Call) -> None:
        queue = next(call.queues, None)
        if queue is None:
            call.go_on()
            return
        answered_at, granted = queue.enter(self._calendar.now)
        answer = call, queue.need, granted
        if answered_at > self._calendar.now:
            self._calendar.call_at(answered_at, self._answer, answer)
        else:
            self._answer(answer)

    def _answer(self, answer: tuple[_Call, Need, bool]) -> None:
        call, need, granted = answer
        if not call.alive():
            return
        if granted:
            self._proceed(call)
        else:
            call.refuse(need)


def refusal_of(need: Need) -> tuple[int, str, float | None]:
    """Return the refusal of a caller: the status, the reason, and the seconds of `Retry-After`."""
    return (
        need.status,
        f"{need.name} is too busy",
        None if need.retry_after is None else ceil(need.retry_after),
    )


def nack(need: Need, message: OutgoingMessage) -> str:
    """Return the frame that refuses a message."""
    status, reason, _ = refusal_of(need)
    return encode_frame(Nack(message.client_id, status, reason))


def cause_of(method: str, path: str) -> NeededFor | None:
    """Return the cause for which a request without an upgrade needs a service; a connection's later polls
    need none."""
    if method == "POST":
        return "message" if path == "/messages" else None
    return "connect" if transport_of(method, path) is not None else None
