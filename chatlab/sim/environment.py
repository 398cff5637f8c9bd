"""A SimPy environment for hundreds of thousands of people.

SimPy keeps pending entries in one heap; each operation costs more as it grows. `LadderEnvironment`
keeps them in buckets of equal width in time (a calendar, or ladder, queue):

- An entry goes unsorted to the end of its bucket. A small heap orders the *numbers* of the occupied buckets.
- One bucket at a time is the current one: sorted as a whole, and consumed from its end (`_ready`).
- An entry for the current bucket, or before it, goes to a heap of its own (`_overflow`). The next entry is
  the lesser of the two ends.

An entry costs O(1) as long as buckets have a few hundred each. The width is tuned to that: if the last
buckets were too full or too empty, or the overflow exceeds its limit, a new width is computed from the
density of the next entries, and all entries are moved. At least one insertion must come before each move of
an entry, so this is O(1) an entry, too. With few entries, or all at one time, the queue is in effect a plain
heap: O(log n).

Order is exactly SimPy's: time, priority, insertion. Bucket numbers never decrease with time, as multiplying
by a constant and truncating both keep order, rounding included; so no bucket holds anything earlier than the
one before it. Inside a bucket entries compare as tuples, whose second item is priority and insertion in one.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush, nsmallest
from itertools import chain
from math import inf
from sys import float_info
from typing import Any, TypeAlias, TypeVar, overload

from simpy.core import EmptySchedule, Environment, SimTime, StopSimulation
from simpy.events import NORMAL, URGENT, Event, EventPriority

T = TypeVar("T")
# (time, priority and insertion, callback, its argument), or (time, priority and insertion, None, event).
Entry: TypeAlias = tuple[SimTime, int, Callable[..., object] | None, Any]

_WANTED = 256  # entries in a bucket: sorting them is cheap, and so is a heap of as many late ones
_FEWEST, _MOST = 16, 1024  # mean entries in a bucket that are still good enough
_SAMPLE = 64  # buckets that the mean is taken over
_HEAD = 4096  # next entries from which the density is computed
_OVERFLOW = 1024  # entries in the overflow above which the current bucket counts as too wide
_PRIORITY = 1 << 52  # more insertions than a run can make
_NOTHING = object()  # the argument of a callback that takes none

LONG_AGO = -inf
"""A time before all others. It is one shared object; each `-inf` would make another."""


class LadderEnvironment(Environment):
    """A `simpy.Environment` on a self-tuning bucket queue, which also runs bare callables.

    All that runs in SimPy's environment runs here in the same order. Calls can't be cancelled: the callback
    must recognise a stale call. `bucket_width` (seconds) is a first guess, and seldom worth giving.
    """

    __slots__ = ("_now",)

    def __init__(self, initial_time: SimTime = 0, *, bucket_width: float = inf) -> None:
        if not bucket_width > 0:
            raise ValueError(f"bucket_width must be positive, not {bucket_width}")
        super().__init__(initial_time)
        del self._queue  # Reading SimPy's private heap fails, instead of finding it empty.
        for name in ("process", "timeout", "event", "all_of", "any_of"):
            setattr(self, name, getattr(self, name))  # SimPy binds these early too, but not for a subclass
        self._next_insertion = self._eid.__next__
        self._rate = 1 / bucket_width  # buckets a second; 0: all in one
        self._buckets: dict[float, list[Entry]] = {}
        self._numbers: list[float] = []  # heap of the keys of _buckets
        self._current = -inf  # number of the bucket in _ready
        # run() refers to these two, so they are only changed in place.
        self._ready: list[Entry] = []  # descending
        self._overflow: list[Entry] = []  # heap
        self._buckets_sampled = self._entries_sampled = 0
        self._insertions_before_retuning = 0

    @property
    def pending(self) -> int:
        """Number of scheduled entries, stale ones included. Computed in O(buckets)."""
        return len(self._ready) + len(self._overflow) + sum(map(len, self._buckets.values()))

    @overload
    def call_at(self, time: SimTime, callback: Callable[[], object], /) -> None: ...
    @overload
    def call_at(self, time: SimTime, callback: Callable[[T], object], argument: T, /) -> None: ...
    def call_at(self, time: SimTime, callback: Callable[..., object], argument: object = _NOTHING, /) -> None:
        """Call `callback()`, or `callback(argument)`, at the absolute `time`; `inf`: never.

        Among entries for the same time it has the place of a `Timeout` made now.
        Errors: ValueError when the time has passed or is NaN.
        """
        if time < self._now:
            raise ValueError(f"cannot call at {time}, it is {self._now} already")
        try:
            number: float = int(time * self._rate)
        except (OverflowError, ValueError):
            if time == inf:
                return
            number = _extreme_number(time)
        if number > self._current:
            bucket = self._buckets.get(number)
            if bucket is None:
                self._buckets[number] = [(time, self._next_insertion(), callback, argument)]
                heappush(self._numbers, number)
            else:
                bucket.append((time, self._next_insertion(), callback, argument))
        else:
            order = self._next_insertion()
            heappush(self._overflow, (time, order, callback, argument))
            if len(self._overflow) > _OVERFLOW and order >= self._insertions_before_retuning:
                self._retune()

    @overload
    def call_later(self, delay: SimTime, callback: Callable[[], object], /) -> None: ...
    @overload
    def call_later(self, delay: SimTime, callback: Callable[[T], object], argument: T, /) -> None: ...
    def call_later(
        self, delay: SimTime, callback: Callable[..., object], argument: object = _NOTHING, /
    ) -> None:
        """Call `callback()`, or `callback(argument)`, after `delay` seconds; as `call_at`."""
        self.call_at(self._now + delay, callback, argument)

    def clear(self) -> None:
        """Remove all scheduled entries."""
        for entries in (self._ready, self._overflow, self._numbers):
            entries.clear()
        self._buckets.clear()

    def schedule(self, event: Event, priority: EventPriority = NORMAL, delay: SimTime = 0) -> None:
        """Schedule an event, as SimPy does. Errors: ValueError when the time is NaN."""
        time = self._now + delay
        order = self._next_insertion()
        if priority != NORMAL:
            order += (priority - NORMAL) * _PRIORITY
        try:
            number: float = int(time * self._rate)
        except (OverflowError, ValueError):
            number = _extreme_number(time)
        if number > self._current:
            bucket = self._buckets.get(number)
            if bucket is None:
                self._buckets[number] = [(time, order, None, event)]
                heappush(self._numbers, number)
            else:
                bucket.append((time, order, None, event))
        else:
            heappush(self._overflow, (time, order, None, event))
            if len(self._overflow) > _OVERFLOW:
                self._retune()

    def peek(self) -> SimTime:
        """Return the time of the next entry; `inf`: there is none."""
        ready, overflow = self._ready, self._overflow
        if not ready and not overflow and not self._advance():
            return inf
        if not overflow:
            return ready[-1][0]
        return min(ready[-1], overflow[0])[0] if ready else overflow[0][0]

    def step(self) -> None:
        """Process the next entry. Errors: EmptySchedule when there is none."""
        ready, overflow = self._ready, self._overflow
        if not ready and not overflow and not self._advance():
            raise EmptySchedule
        if overflow and (not ready or overflow[0] < ready[-1]):
            self._now, _, callback, argument = heappop(overflow)
        else:
            self._now, _, callback, argument = ready.pop()
        if callback is None:
            self._process_event(argument)
        elif argument is _NOTHING:
            callback()
        else:
            callback(argument)

    def run(self, until: SimTime | Event | None = None) -> Any:
        """Run until nothing is pending, or until a time, or until an event is processed; return its value.

        A `step` that was overridden or replaced (pacing, tracing) is used, at SimPy's speed.
        Errors: ValueError when the time has passed; RuntimeError when nothing is left to trigger the event.
        """
        if getattr(self.step, "__func__", None) is not LadderEnvironment.step:
            return super().run(until)
        if isinstance(until, Event):
            if until.callbacks is None:
                return until.value
            until.callbacks.append(StopSimulation.callback)
        elif until is not None:
            until = self._stop_at(until if isinstance(until, int) else float(until))

        ready, overflow = self._ready, self._overflow
        take, process_event, nothing = ready.pop, self._process_event, _NOTHING
        try:
            while ready or overflow or self._advance():
                if overflow and (not ready or overflow[0] < ready[-1]):
                    self._now, _, callback, argument = heappop(overflow)
                else:
                    self._now, _, callback, argument = take()
                if callback is None:
                    process_event(argument)
                elif argument is nothing:
                    callback()
                else:
                    callback(argument)
        except StopSimulation as stop:
            return stop.args[0]
        except EmptySchedule:  # from a callback that stepped too far; ends SimPy's run as well
            pass
        if until is not None:
            assert not until.triggered
            raise RuntimeError(f'No scheduled events left but "until" event was not triggered: {until}')
        return None

    def _stop_at(self, time: SimTime) -> Event:
        """Return an event that stops the run before anything else at `time`."""
        if time <= self._now:
            raise ValueError(f"until ({time}) must be greater than the current simulation time")
        stop = Event(self)
        stop._ok = True
        stop._value = None
        stop.callbacks.append(StopSimulation.callback)
        self.schedule(stop, URGENT, time - self._now)
        return stop

    def _process_event(self, event: Event) -> None:
        """Run an event's callbacks, and raise its exception if no callback has defused it."""
        callbacks = event.callbacks
        event.callbacks = None  # type: ignore[assignment]  # SimPy's mark of a processed event
        try:
            for callback in callbacks:
                callback(event)
        except StopSimulation:
            # The remaining callbacks come first in the next run.
            event.callbacks = callbacks[callbacks.index(callback) + 1 :]
            self.schedule(event, EventPriority(-1))
            raise
        if not event._ok and not hasattr(event, "_defused"):
            failure = event._value
            raise type(failure)(*failure.args) from failure

    # -- the queue

    def _advance(self) -> bool:
        """Make the next bucket the current one; False: there is none. The current one must be empty."""
        if not self._numbers:
            return False
        if self._buckets_sampled == _SAMPLE:
            if not _FEWEST <= self._entries_sampled / _SAMPLE <= _MOST:
                self._retune()
            self._buckets_sampled = self._entries_sampled = 0
        self._current = heappop(self._numbers)
        self._ready.extend(self._buckets.pop(self._current))
        self._ready.sort(reverse=True)
        self._buckets_sampled += 1
        self._entries_sampled += len(self._ready)
        return True

    def _retune(self) -> bool:
        """Choose a new bucket width and move all entries, unless it is too early or has no benefit."""
        insertions = self._next_insertion()  # Gaps don't change the order.
        if insertions < self._insertions_before_retuning:
            return False
        entries = [*self._ready, *self._overflow, *chain.from_iterable(self._buckets.values())]
        self._insertions_before_retuning = insertions + len(entries)
        rate = self._best_rate(entries)
        if rate / 2 <= self._rate <= rate * 2:
            return False
        self._rate = rate
        buckets: dict[float, list[Entry]] = {}
        for entry in entries:
            try:
                number: float = int(entry[0] * rate)
            except (OverflowError, ValueError):
                number = _extreme_number(entry[0])
            buckets.setdefault(number, []).append(entry)
        self._buckets = buckets
        self._numbers = list(buckets)
        heapify(self._numbers)
        self._current = -inf
        self._ready.clear()
        self._overflow.clear()
        return True

    def _best_rate(self, entries: list[Entry]) -> float:
        """Return the number of buckets a second at which each has `_WANTED` of the next entries."""
        # No width separates entries that are due now; their successors will be as dense as the waiting ones.
        # Far time-outs say nothing about the density: if there are few entries, only the earlier half counts.
        waiting = [entry[0] for entry in entries if self._now < entry[0] <= float_info.max]
        head = nsmallest(min(_HEAD, len(waiting) // 2), waiting)
        span = head[-1] - head[0] if head else 0
        if not span > 0:
            return self._rate
        return len(head) / len(waiting) * len(entries) / _WANTED / span


# The time is read several times an entry: SimPy's property costs a call, the slot itself doesn't.
LadderEnvironment.now = vars(LadderEnvironment)["_now"]  # type: ignore[method-assign]


def _extreme_number(time: SimTime) -> float:
    """Return the bucket number of a time whose product with the rate isn't finite."""
    if time != time:
        raise ValueError("NaN is not a time")
    return inf if time > 0 else -inf
