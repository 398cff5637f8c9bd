"""The ladder environment does what SimPy's does, in the same order, however its queue is tuned."""

import functools
import re
from collections.abc import Callable, Generator
from math import inf, nan
from random import Random
from typing import Any

import pytest
import simpy
from simpy.core import EmptySchedule, SimTime
from simpy.events import EventPriority, ProcessGenerator

from chatlab.sim import environment as ladder
from chatlab.sim.environment import LadderEnvironment
from tests.sizes import FULL, rows

Later = Callable[[float, Callable[[Any], object], Any], object]

WIDTHS = [inf, 10.0, 1e-3, 1e-9, 5e-324]


class Watched(LadderEnvironment):
    """Counts how often the queue was rebuilt, and the entries moved."""

    moves = moved = 0

    def _retune(self) -> bool:
        moved = super()._retune()
        self.moves += moved
        self.moved += moved * self.pending
        return moved


def make_restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the queue limits that even small models exceed all the time."""
    for name, value in {"WANTED": 4, "FEWEST": 3, "MOST": 8, "SAMPLE": 3, "HEAD": 8, "OVERFLOW": 6}.items():
        monkeypatch.setattr(ladder, f"_{name}", value)


@pytest.fixture(params=["as it is", "restless"])
def tuning(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "restless":
        make_restless(monkeypatch)
    return str(request.param)


def later_in(env: simpy.Environment) -> Later:
    """`call_later`, or what it stands for in stock SimPy."""
    if isinstance(env, LadderEnvironment):
        return env.call_later

    def later(delay: float, callback: Callable[[Any], object], argument: Any) -> None:
        def run_it(_: simpy.Event) -> None:
            callback(argument)

        env.timeout(delay).callbacks.append(run_it)

    return later


def without_addresses(error: BaseException) -> str:
    return re.sub("0x[0-9a-f]+", "0x", repr(error))


# -- whole models, against SimPy


class Model:
    """A random model that meets most of SimPy; its trace depends on the order of all that happens in it."""

    def __init__(self, env: simpy.Environment, seed: int) -> None:
        self.env = env
        self.random = Random(seed)
        self.trace: list[object] = []
        self.scale = self.random.choice([1e-6, 0.01, 1, 1000.0])
        self.resource = simpy.PreemptiveResource(env, self.random.randint(1, 3))
        self.store = simpy.Store(env, capacity=3)
        self.tank = simpy.Container(env, capacity=5, init=2)
        self.later = later_in(env)
        self.processes = [env.process(self.live(i)) for i in range(self.random.randint(2, 30))]
        for i in range(self.random.randint(0, 40)):
            self.later(self.delay(), self.call, i)

    def delay(self) -> float:
        kind = self.random.random()
        if kind < 0.2:
            return 0
        if kind < 0.5:
            return self.random.randint(0, 5) * self.scale
        if kind < 0.52:
            return self.random.choice([1e6, 1e12]) * self.scale
        return self.random.expovariate(1) * self.scale

    def call(self, i: int) -> None:
        self.trace.append((self.env.now, "call", i))
        chance = self.random.random()
        if chance < 0.5:
            self.later(self.delay(), self.call, i + 1000)
        elif chance < 0.6:
            event = self.env.event()
            event._ok = True
            event._value = i
            event.callbacks.append(lambda event: self.trace.append((self.env.now, "priority", event.value)))
            self.env.schedule(event, EventPriority(self.random.randint(-2, 3)), self.delay())
        elif chance < 0.62:
            event = self.env.event()
            event.fail(KeyError(i))

    def live(self, i: int) -> ProcessGenerator:
        for step in range(self.random.randint(1, 8)):
            try:
                got = yield from self.act(i)
            except simpy.Interrupt as interrupt:
                cause = interrupt.cause
                got = cause if isinstance(cause, int) else "preempted"
            except KeyError as error:
                got = repr(error)
            self.trace.append((self.env.now, "process", i, step, got))
        return i

    def act(self, i: int) -> Generator[simpy.Event, Any, object]:
        env, delay = self.env, self.delay
        match self.random.choice("ttaosSTijpf"):
            case "t":
                return (yield env.timeout(delay(), i))
            case "a":
                return len((yield env.timeout(delay()) & env.timeout(delay())).events)
            case "o":
                return len((yield env.timeout(delay()) | env.timeout(delay()) | env.timeout(delay())).events)
            case "s":
                with self.resource.request(priority=self.random.randint(0, 2)) as request:
                    got = yield request | env.timeout(delay())
                    if request in got:
                        yield env.timeout(delay())
                    return request in got
            case "S":
                return len((yield self.store.put(i) | env.timeout(delay())).events)
            case "T":
                return len((yield self.store.get() | self.tank.get(1) | env.timeout(delay())).events)
            case "p":
                return len((yield self.tank.put(1) | env.timeout(delay())).events)
            case "i":
                target = self.random.choice(self.processes)
                if target.is_alive and target is not env.active_process:
                    target.interrupt(i)
                return (yield env.timeout(delay()))
            case "j":
                other = self.random.choice(self.processes)
                if other is not env.active_process:
                    return len((yield other | env.timeout(delay())).events)
            case _:
                if self.random.random() < 0.3:
                    yield env.event().fail(KeyError(i))
        return None


def live_through(env: simpy.Environment, seed: int) -> list[object]:
    model = Model(env, seed)
    trace = model.trace
    for _ in range(20):  # a failed event stops the run; what is left must be intact
        try:
            match model.random.choice(["time", "process", "steps", "all"]):
                case "time":
                    trace.append(env.run(until=env.now + model.random.random() * 10 * model.scale + 1e-9))
                    trace.append((env.now, env.peek()))
                case "process":
                    trace.append(env.run(until=model.random.choice(model.processes)))
                case "steps":
                    for _ in range(model.random.randint(1, 60)):
                        env.step()
                        trace.append((env.now, env.peek()))
                case _:
                    env.run()
        except Exception as error:
            trace.append((env.now, without_addresses(error)))
    trace.append((env.now, env.peek()))
    return trace


@pytest.mark.slow
@pytest.mark.sized
@pytest.mark.usefixtures("tuning")
def test_random_models_run_as_in_simpy() -> None:
    errors, seeds = 0, 150 if FULL else 45
    for seed in range(seeds):
        expected = live_through(simpy.Environment(), seed)
        errors += "KeyError" in repr(expected)
        for width in WIDTHS:
            got = live_through(LadderEnvironment(bucket_width=width), seed)
            assert got == expected, f"seed {seed}, bucket_width {width}"
    assert errors > seeds / 3


# -- loads that the queue must tune itself to

DELAYS: dict[str, Callable[[Random], float]] = {
    "dense": lambda random: random.random() * 1e-6,
    "sparse": lambda random: random.random() * 1e6,
    "one time": lambda random: 5.0,
    "a few times": lambda random: random.randint(0, 3),
    "now": lambda random: 0,
    "every scale": lambda random: 10 ** random.uniform(-9, 9),
    "two scales": lambda random: random.choice([1e-6, 3600.0]) * random.random(),
    "time-outs": lambda random: random.choice([0.05 * random.random(), 1e9]),
    "whole numbers": lambda random: random.randint(0, 10_000),
    "beyond floats": lambda random: random.choice([1, 10**18 + random.randint(0, 99), 10**400]),
    "far beyond floats": lambda random: 10**400 + random.randint(0, 999),
    "subnormal": lambda random: 5e-324 * random.randint(0, 9),
}


def rearm(
    env: simpy.Environment, delay: Callable[[Random], float], count: int, start: float = 0
) -> list[tuple[SimTime, int]]:
    """Return what fired when, in order, of `count` timers that fire four times each."""
    random = Random(1)
    later = later_in(env)
    fired: list[tuple[SimTime, int]] = []
    armed = 0

    def arm() -> None:
        nonlocal armed
        later(delay(random), fire, armed)
        armed += 1

    def fire(number: int) -> None:
        fired.append((env.now, number))
        if armed < 4 * count:
            arm()
        if isinstance(env, LadderEnvironment) and number % 97 == 0:
            assert env.pending == armed - len(fired)

    for _ in range(count):
        arm()
    env.run()
    assert len(fired) == armed
    return fired


@pytest.mark.sampled(2)
@pytest.mark.slow
@pytest.mark.parametrize("delay", DELAYS.values(), ids=DELAYS)
@pytest.mark.parametrize("initial_time", rows([0, -1000.5, 1.7e9], 1.7e9))
def test_every_load_keeps_the_order(
    delay: Callable[[Random], float], initial_time: float, tuning: str
) -> None:
    count = 200 if tuning == "restless" else 1200

    def exact(random: Random) -> float:
        drawn = delay(random)
        return drawn if initial_time == 0 or drawn < 1e300 else 1e300  # 10**400 and a float have no sum

    expected = rearm(simpy.Environment(initial_time), exact, count)
    for width in (inf, 1e-3, 5e-324):
        assert rearm(LadderEnvironment(initial_time, bucket_width=width), exact, count) == expected


@pytest.mark.parametrize(
    ("load", "width"),
    [
        ("dense", inf),
        ("dense", 10.0),
        ("sparse", 1.0),
        ("sparse", 1e-9),
        ("every scale", 1e-9),
        ("two scales", 1e9),
    ],
)
def test_a_bad_bucket_width_is_retuned(load: str, width: float) -> None:
    env = Watched(bucket_width=width)
    rearm(env, DELAYS[load], 3000)
    assert 1 <= env.moves <= 20


@pytest.mark.parametrize(("load", "count"), [("one time", 3000), ("now", 3000), ("dense", 200)])
def test_no_entry_is_moved_without_need(load: str, count: int) -> None:
    env = Watched()
    rearm(env, DELAYS[load], count)
    assert env.moves == 0


def test_a_few_far_time_outs_do_not_widen_the_buckets() -> None:
    env = Watched(bucket_width=1e-9)
    for _ in range(10):
        env.call_later(1e9, int)
    random = Random(1)

    def fire() -> None:
        env.call_later(random.random(), fire)

    for _ in range(2000):
        fire()
    env.run(until=2.0)
    assert env.moves == 1
    assert 0.01 < 1 / env._rate < 0.5


def test_a_simultaneous_start_is_enough_to_tune_the_width() -> None:
    def live(env: simpy.Environment, random: Random) -> ProcessGenerator:
        while True:
            yield env.timeout(30 * random.random())

    env = Watched()
    random = Random(1)
    for _ in range(3000):
        env.process(live(env, random))
    while env.peek() == 0:
        env.step()
    assert env.moves == 1
    env.run(until=60)
    assert env.moves == 1


def test_moving_is_earned_by_insertions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load whose pace changes for ever, beside many time-outs that would have to move each time."""
    make_restless(monkeypatch)
    env = Watched()
    random = Random(3)
    for _ in range(2000):
        env.call_later(1e9, int)
    for pace in [1e-6, 1.0] * 50:
        for _ in range(100):
            env.call_later(random.random() * pace, int)
        env.run(until=env.now + pace)
    assert env.moves >= 3
    assert env.moved <= 2000 + 100 * 100 + env.pending


# -- bare callables


def test_calls_are_ordered_by_time_then_insertion() -> None:
    env = LadderEnvironment(10.0)
    log: list[object] = []
    env.call_at(12.0, log.append, "c")
    env.timeout(2.0).callbacks.append(lambda _: log.append("d"))
    env.call_later(2.0, log.append, "e")
    env.call_at(11.0, lambda: log.append(env.now))
    env.call_later(0, log.append, None)
    env.run()
    assert log == [None, 11.0, "c", "d", "e"]
    assert env.now == 12.0


def test_an_argument_of_none_is_passed_on() -> None:
    env = LadderEnvironment()
    got: list[object] = []
    env.call_later(1.0, got.append, None)
    env.step()
    assert got == [None]


def test_a_call_at_the_current_time_runs_at_once_behind_waiting_entries() -> None:
    env = LadderEnvironment()
    log: list[object] = []

    def first() -> None:
        log.append("first")
        env.call_at(env.now, log.append, "from first")

    env.call_at(1.0, first)
    env.call_at(1.0, log.append, "second")
    env.call_at(1.0 + 2**-40, log.append, "a little later")
    env.run(until=2.0)
    assert log == ["first", "second", "from first", "a little later"]


def test_a_call_before_a_bucket_that_peek_has_opened() -> None:
    env = LadderEnvironment(bucket_width=1.0)
    log: list[object] = []
    env.call_at(1000.5, log.append, "far")
    assert env.peek() == 1000.5
    env.call_at(1000.2, log.append, "near in its bucket")
    env.call_at(3.0, log.append, "long before")
    assert env.peek() == 3.0
    assert env.pending == 3
    env.run()
    assert log == ["long before", "near in its bucket", "far"]


def test_until_comes_before_calls_at_the_same_time() -> None:
    env = LadderEnvironment()
    log: list[object] = []
    env.call_at(5.0, log.append, "at 5")
    assert env.run(until=5) is None
    assert (env.now, log) == (5, [])
    env.run(until=6)
    assert log == ["at 5"]


@pytest.mark.parametrize("width", WIDTHS)
def test_invalid_times_are_refused(width: float) -> None:
    env = LadderEnvironment(3.0, bucket_width=width)
    with pytest.raises(ValueError, match=r"cannot call at 2\.5, it is 3\.0 already"):
        env.call_at(2.5, print)
    with pytest.raises(ValueError, match="already"):
        env.call_later(-0.5, print)
    with pytest.raises(ValueError, match="already"):
        env.call_at(-inf, print)
    for refused in (env.call_at, env.call_later):
        with pytest.raises(ValueError, match="NaN is not a time"):
            refused(nan, print)
    with pytest.raises(ValueError, match="NaN is not a time"):
        env.timeout(nan)
    with pytest.raises(ValueError, match="NaN is not a time"):
        env.run(until=nan)
    assert env.pending == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_a_call_at_infinity_never_comes_but_a_timeout_does_as_in_simpy(width: float) -> None:
    env = LadderEnvironment(bucket_width=width)
    log: list[object] = []
    env.call_at(inf, log.append, "never")
    env.call_later(inf, log.append, "never")
    assert (env.pending, env.peek()) == (0, inf)
    env.timeout(inf).callbacks.append(lambda _: log.append("at the end of time"))
    env.call_at(1e308, log.append, "late")
    env.run()
    assert log == ["late", "at the end of time"]
    assert env.now == inf


@pytest.mark.parametrize("width", WIDTHS)
def test_the_ends_of_the_floats(width: float) -> None:
    env = LadderEnvironment(-1e308, bucket_width=width)
    log: list[object] = []
    for time in (1e308, 0.0, -1e308, 5.0, -5.0):
        env.call_at(time, log.append, time)
    env.run()
    assert log == [-1e308, -5.0, 0.0, 5.0, 1e308]


@pytest.mark.parametrize("width", [0.0, -1.0, nan])
def test_bucket_width_must_be_positive(width: float) -> None:
    with pytest.raises(ValueError, match="bucket_width must be positive"):
        LadderEnvironment(bucket_width=width)


def test_a_raising_call_leaves_the_rest_intact() -> None:
    env = LadderEnvironment()
    log: list[object] = []

    def fail() -> None:
        raise OSError("down")

    env.call_later(1.0, fail)
    env.call_later(1.0, log.append, "next")
    with pytest.raises(OSError, match="down"):
        env.run()
    assert (env.now, env.pending) == (1.0, 1)
    env.run()
    assert log == ["next"]


# -- SimPy's finer points


def note(env: simpy.Environment, log: list[object], name: object) -> Callable[[simpy.Event], None]:
    """A callback that logs a name and the time."""
    return lambda _: log.append((name, env.now))


def past(env: simpy.Environment) -> object:
    return env.run(until=-1)


def present(env: simpy.Environment) -> object:
    return env.run(until=0)


def present_as_float(env: simpy.Environment) -> object:
    return env.run(until=0.0)


def not_a_time(env: simpy.Environment) -> object:
    return env.run(until="soon")  # type: ignore[arg-type]


def never_triggered(env: simpy.Environment) -> object:
    env.timeout(1)
    return env.run(until=env.event())


def already_processed(env: simpy.Environment) -> object:
    event = env.timeout(1, "value")
    env.run()
    return env.run(until=event)


def until_fails(env: simpy.Environment) -> object:
    return env.run(until=env.event().fail(LookupError("lost")))


def fails_unnoticed(env: simpy.Environment) -> object:
    env.event().fail(LookupError("lost"))
    return env.run()


def nothing_to_step(env: simpy.Environment) -> object:
    env.step()
    return None


def steps_too_far(env: simpy.Environment) -> object:
    env.timeout(1).callbacks.append(lambda _: env.step())
    return env.run()


def steps_inside_a_callback(env: simpy.Environment) -> object:
    log: list[object] = []
    for i in range(4):
        env.timeout(i).callbacks.append(note(env, log, i))
    env.timeout(1).callbacks.append(lambda _: env.step())
    env.run()
    return log


def runs_inside_a_callback(env: simpy.Environment) -> object:
    log: list[object] = []
    for i in range(6):
        env.timeout(i).callbacks.append(note(env, log, i))
    env.timeout(1).callbacks.append(lambda _: log.append(env.run(until=3.5)))
    env.run()
    return log, env.now


def goes_back_in_time(env: simpy.Environment) -> object:
    log: list[object] = []

    def go_back(_: simpy.Event) -> None:
        event = env.event()
        event._ok, event._value = True, None
        event.callbacks.append(lambda _: log.append(env.now))
        env.schedule(event, delay=-2)

    for i in (3, 4):
        env.timeout(i).callbacks.append(go_back)
    env.timeout(5).callbacks.append(lambda _: log.append(env.now))
    env.run()
    return log


def remaining_callbacks_come_first_when_resumed(env: simpy.Environment) -> object:
    log: list[object] = []
    event = env.timeout(1, "done")
    event.callbacks.append(lambda _: log.append("before"))
    returned: list[object] = []
    event.callbacks.append(simpy.core.StopSimulation.callback)
    event.callbacks.append(lambda _: log.append("after"))
    env.timeout(1).callbacks.append(lambda _: log.append("next"))
    returned.append(env.run())
    log.append("paused")
    env.run()
    return returned, log, env.now


def yields_nonsense(env: simpy.Environment) -> object:
    def process() -> ProcessGenerator:
        yield 1  # type: ignore[misc]

    env.process(process())
    return env.run()


def forever(env: simpy.Environment) -> object:
    env.timeout(7)
    return env.run(until=inf), env.now


def numbers_keep_their_type(env: simpy.Environment) -> object:
    seen = []
    for delay in (1, 2.0, True):
        env.timeout(delay).callbacks.append(lambda _: seen.append(repr(env.now)))
    env.run(until=3)
    return seen, repr(env.now)


@pytest.mark.parametrize(
    "scene",
    [
        past, present, present_as_float, not_a_time, never_triggered, already_processed, until_fails,
        fails_unnoticed, nothing_to_step, steps_too_far, steps_inside_a_callback, runs_inside_a_callback,
        goes_back_in_time, remaining_callbacks_come_first_when_resumed, yields_nonsense, forever,
        numbers_keep_their_type,
    ],
)  # fmt: skip
@pytest.mark.parametrize("width", WIDTHS)
def test_finer_points_are_simpys(scene: Callable[[simpy.Environment], object], width: float) -> None:
    def outcome(env: simpy.Environment) -> object:
        try:
            return scene(env)
        except Exception as error:
            cause = error.__cause__
            return without_addresses(error), cause and without_addresses(cause)

    assert outcome(LadderEnvironment(bucket_width=width)) == outcome(simpy.Environment())


def test_stepping_to_the_end() -> None:
    env = LadderEnvironment()
    for i in range(3):
        env.call_at(i, int)
    for left in (2, 1, 0):
        env.step()
        assert env.pending == left
    with pytest.raises(EmptySchedule):
        env.step()


def test_an_overridden_step_is_used() -> None:
    class Slow(LadderEnvironment):
        steps = 0

        def step(self) -> None:
            self.steps += 1
            super().step()

    env = Slow()
    env.call_at(1.0, int)
    env.timeout(2.0)
    env.run(until=5.0)
    assert (env.steps, env.now) == (3, 5.0)


def test_a_replaced_step_is_used() -> None:
    """SimPy's guide to monitoring traces a run like this."""
    env = LadderEnvironment()
    seen: list[SimTime] = []
    step = env.step

    @functools.wraps(step)
    def traced() -> None:
        seen.append(env.peek())
        step()

    env.step = traced  # type: ignore[method-assign]
    env.call_at(1.0, int)
    env.call_at(2.5, int)
    env.run()
    assert seen == [1.0, 2.5, inf]


def test_reading_simpys_private_heap_fails() -> None:
    with pytest.raises(AttributeError):
        LadderEnvironment()._queue  # noqa: B018


def test_cleared_entries_never_run_whatever_bucket_they_were_in() -> None:
    environment = LadderEnvironment(bucket_width=1.0)
    called: list[float] = []
    for at in (1.0, 5.0, 5.1, 9.0):
        environment.call_at(at, called.append, at)
    environment.run(until=5.05)
    environment.call_at(5.06, called.append, 5.06)
    environment.clear()
    assert environment.pending == 0
    environment.call_at(8.0, called.append, 8.0)
    environment.run()
    assert called == [1.0, 5.0, 8.0]
