"""The asyncio driver: carries out a machine's effects on real connections, and feeds it the events.

Events may come from any thread: the machine is fed under a lock, so that a message is accepted at once and in
order. The effects are carried out in the same order on the driver's own loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from math import inf
from threading import Lock, get_ident
from typing import Any, assert_never, final

from msgspec import Struct

from chatlab.live.client.deadline_timer import DeadlineTimer
from chatlab.live.client.dialect_mistakes import mistake
from chatlab.live.client.links import Connection, Link
from chatlab.live.foreign import report
from chatlab.live.loggers import get_logger
from chatlab.live.subscribers import running_loop
from chatlab.messages import ChatMessage, ConnectionStatus, DeliveryState, StatusChange
from chatlab.trace import Step
from chatlab.transports.machine import (
    Close,
    Closed,
    Connect,
    Deliver,
    Disconnect,
    Effect,
    Event,
    Failure,
    Fetch,
    Notify,
    OpenWebSocket,
    Ping,
    Reader,
    Refuse,
    Send,
    SendBytes,
    Settle,
    Submit,
    Tick,
    Unencodable,
)

logger = get_logger()


@final
class Moved(Struct, frozen=True):
    """A change of the cursor, reported ahead of the deliveries that caused it.

    `before` is the cursor before them. If it is `exact`, the id of each delivered message is a cursor too.
    """

    before: str | None
    exact: bool


@final
class Raised(Struct, frozen=True, eq=False):
    """An exception that the dialect raised for a call of the application, to be raised there."""

    error: BaseException


class LiveDriver:
    """Driver of one machine on one asyncio loop.

    `open_link` and `fetch` make the links that the machine asks for. `listen` gets the effects for the
    application, on the loop. `record` gets every step, in order, on any thread. Links read slowly at
    `pressure` 1, and not at all at 2. `fires_at` is as for `DeadlineTimer`.

    A dialect that raises ends the transport in `error`, since the state of its machine can no longer be
    trusted.
    """

    def __init__(
        self,
        machine: Reader,
        loop: asyncio.AbstractEventLoop,
        *,
        open_link: Callable[[LiveDriver, OpenWebSocket], Connection] | None = None,
        fetch: Callable[[LiveDriver, Fetch], Link] | None = None,
        listen: Callable[[Deliver | Notify | Settle | Moved], None],
        record: Callable[[Step], None] | None = None,
        pressure: Callable[[], int] = int,
        person: str = "",
        fires_at: Callable[[float], float] | None = None,
    ) -> None:
        self.machine = machine
        self.loop = loop
        self._open_link = open_link
        self._fetch = fetch
        self._listen = listen
        self.pressure = pressure
        self._record = record
        self._person = person
        self._thread: int | None = None
        self._lock = Lock()
        self._effects: deque[Effect | Moved] = deque()
        self._deadline = inf
        self._woken = False
        self._carrying_out = False
        self._links: dict[int, Link] = {}
        self._connections: dict[int, Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer = DeadlineTimer(loop, fires_at)
        self._clock = self._timer.clock

    def now(self) -> float:
        """Return seconds on the driver's clock, suspensions included: steps and `retry_at` use it."""
        return self._clock.now()

    def feed(self, *events: Event, not_before: float = -inf) -> Sequence[Effect | Raised]:
        """Feed events to the machine, from any thread; return their effects in one list, which are then
        carried out.

        Several events must be of one link, such as the frames of one read. Once the machine closes that
        link, the remaining ones are dropped. The events' time is at least `not_before`, since a clock may
        round down. If the dialect raises at a `Connect`, or for the message of a `Submit`, the last effect
        is `Raised`; other exceptions are logged.
        """
        here = get_ident() == self._thread or self._is_here()
        machine, record = self.machine, self._record
        effects: list[Effect | Raised] = []
        raised: BaseException | None = None
        with self._lock:
            if self._deadline == inf:
                self._clock.skip()
            now = self._clock.now()
            if now < not_before:
                now = not_before
            for event in events:
                before = machine.cursor.last_id
                try:
                    caused = machine.handle(event, now)
                except BaseException as error:
                    caused, to_caller = self._end_in_error(error, event, now)
                    raised = raised or to_caller
                if machine.cursor.last_id != before:
                    self._effects.append(Moved(before, _is_exact(caused, machine.cursor.last_id)))
                self._effects.extend(caused)
                effects += caused
                if record is not None:
                    self._note(record, Step(now, self._person, event, tuple(caused)))
                if len(events) > 1 and _closes(caused, event):
                    break
            self._deadline = machine.deadline
            wake = not here and not self._woken
            if wake:
                self._woken = True
        if here:
            self._carry_out()
        elif wake:
            self.loop.call_soon_threadsafe(self._wake)
        if raised is not None:
            effects.append(Raised(raised))
        return effects

    def _is_here(self) -> bool:
        """Whether the caller is in the loop's thread. Asyncio is asked only once, since that costs a system
        call."""
        if self._thread is None and running_loop() is self.loop:
            self._thread = get_ident()
        return self._thread == get_ident()

    def _note(self, record: Callable[[Step], None], step: Step) -> None:
        try:
            record(step)
        except BaseException as error:
            report("a recorder of steps", error, self.loop)

    def _end_in_error(
        self, error: BaseException, event: Event, now: float
    ) -> tuple[list[Effect], BaseException | None]:
        """End the machine of a dialect that raised: return the effects left to carry out, and the caller's
        exception.

        A message is not accepted if the dialect raises for it at once; if it raises later, the message fails.
        """
        before: list[Effect] = []
        calls = type(event) is Connect
        if isinstance(error, Unencodable):
            before += error.effects
            client_id, error = error.client_id, error.__cause__ or error
            if type(event) is Submit and event.message.client_id == client_id:
                calls = True
            else:
                before.append(Settle(client_id, DeliveryState.FAILED, mistake(error)))
        if not calls:
            report(f"the dialect of {self._person or 'a transport'}", error, self.loop)
        effects: Sequence[Effect]
        try:
            effects = self.machine.handle(Disconnect(drain=False), now)
        except BaseException:
            effects = [Close(link, 1006) for link in self._links]
        effects = [effect for effect in effects if type(effect) is not Notify]
        change = StatusChange(ConnectionStatus.ERROR, mistake(error))
        return [*before, *effects, Notify(change)], error if calls else None

    def rewind(self, messages: Sequence[ChatMessage], cursor: str | None) -> None:
        """Move the cursor back to `cursor`, so that the next connection brings these messages again."""
        with self._lock:
            self.machine.cursor.rewind(cursor, messages)

    def _wake(self) -> None:
        with self._lock:
            self._woken = False
        self._carry_out()

    def _carry_out(self) -> None:
        if self._carrying_out:  # The application's callback has fed another event: its effects are queued.
            return
        self._carrying_out = True
        effects, listen = self._effects, self._listen
        try:
            while effects:
                effect = effects.popleft()
                if (
                    type(effect) is Settle
                    or type(effect) is Deliver
                    or type(effect) is Notify
                    or type(effect) is Moved
                ):
                    listen(effect)
                else:
                    self._perform(effect)
        finally:
            self._carrying_out = False
        if self._deadline < self._timer.armed_at:
            self._timer.arm(self._deadline, self._fire)

    def _perform(self, effect: OpenWebSocket | Fetch | Send | SendBytes | Ping | Close | Refuse) -> None:
        if type(effect) is Send or type(effect) is SendBytes:
            if (connection := self._connections.get(effect.link)) is not None:
                connection.send(effect.data)
        elif type(effect) is OpenWebSocket:
            assert self._open_link is not None
            connection = self._connections[effect.link] = self._open_link(self, effect)
            self._start(effect.link, connection)
        elif type(effect) is Fetch:
            assert self._fetch is not None
            self._start(effect.link, self._fetch(self, effect))
        elif type(effect) is Ping:
            if (connection := self._connections.get(effect.link)) is not None:
                connection.ping(effect.id)
        elif type(effect) is Close:
            self._connections.pop(effect.link, None)
            if (link := self._links.pop(effect.link, None)) is not None:
                link.close(effect.code, effect.reason)
        elif type(effect) is Refuse:
            pass  # `feed` has returned it to the caller that submitted the message.
        else:
            assert_never(effect)

    def _start(self, number: int, link: Link) -> None:
        self._links[number] = link
        self.spawn(self._run(number, link))

    async def _run(self, number: int, link: Link) -> None:
        try:
            await link.run()
        except Exception as error:
            self._report(number, error)
            raise
        except (SystemExit, KeyboardInterrupt) as error:
            self._report(number, error)
            report(f"a link of {self._person or 'a transport'}", error, self.loop)
        finally:
            self._links.pop(number, None)
            self._connections.pop(number, None)

    def _report(self, number: int, error: BaseException) -> None:
        self.feed(Closed(number, Failure("protocol", reason=f"a link raised {type(error).__name__}")))

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine that belongs to a link, and keep a reference until it is done."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a link of %s failed unexpectedly", self._person or "a transport", exc_info=error)

    def hold_off(self) -> None:
        """Delay all deadlines for a while, since other code has cancelled a task.

        `asyncio.run` does so when it ends, and work that began now would stay unfinished on a closed loop.
        """
        self._timer.hold_off(self._deadline, self._fire)

    def _fire(self, armed_at: float, woke: bool) -> None:
        if self._deadline <= armed_at or woke:
            # A loop may fire a timer early by its clock's resolution.
            self.feed(Tick(woke), not_before=armed_at)
        else:
            self._timer.arm(self._deadline, self._fire)

    async def closed(self) -> None:
        """Wait until all present links have ended; then cancel the timer if there is no deadline."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))
        if self._deadline == inf:
            self._timer.disarm()


def _is_exact(effects: Sequence[Effect], cursor: str | None) -> bool:
    """Whether the cursor is the last delivered message's id, so that the id of each message is a cursor
    too."""
    for effect in reversed(effects):
        if type(effect) is Deliver and effect.event.message is not None:
            return effect.event.message.id == cursor
    return False


def _closes(effects: Sequence[Effect], event: Event) -> bool:
    """Whether the effects close the link of the event."""
    link: int | None = getattr(event, "link", None)
    return any(type(effect) is Close and effect.link == link for effect in effects)
