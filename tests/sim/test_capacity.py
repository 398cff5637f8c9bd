from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.experiment.column_recorder import Column
from chatlab.sim.capacity import AcceptQueue, WorkQueue


@given(
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=60),
    rate=st.floats(0.5, 5),
    backlog=st.integers(1, 10),
)
def test_accept_queue_is_first_come_first_served_at_its_rate(
    gaps: list[float], rate: float, backlog: int
) -> None:
    queue = AcceptQueue(rate, backlog)
    now, served = 0.0, list[float]()
    for gap in gaps:
        now += gap
        waiting = sum(at > now for at in served)
        at = queue.enter(now)
        assert (at is None) == (waiting >= backlog)
        if at is not None:
            earliest = max(now, served[-1]) if served else now
            assert at == pytest.approx(earliest + 1 / rate)
            served.append(at)
    assert 1 <= queue.longest <= backlog


def test_no_rate_means_no_queue() -> None:
    queue = AcceptQueue(None, 1)
    assert [queue.enter(1.0) for _ in range(5)] == [1.0] * 5
    assert queue.longest == 0


def test_a_cleared_queue_begins_again() -> None:
    queue = AcceptQueue(1.0, 2)
    assert [queue.enter(0.0), queue.enter(0.0), queue.enter(0.0)] == [1.0, 2.0, None]
    queue.clear()
    assert queue.enter(0.5) == 1.5


def test_a_place_is_free_at_the_instant_at_which_its_work_is_done() -> None:
    queue = AcceptQueue(1.0, 1)
    assert [queue.enter(0.0), queue.enter(0.5), queue.enter(1.0)] == [1.0, None, 2.0]


def test_a_peak_is_the_greatest_length_since_the_last_call() -> None:
    queue = WorkQueue()
    for at in (0.0, 0.1, 0.2):
        queue.enter(at, 1.0)
    assert [queue.take_peak(0.5), queue.take_peak(1.5), queue.take_peak(1.6), queue.longest] == [3, 3, 2, 3]
    queue.enter(1.7, 1.0)
    assert [queue.take_peak(9.0), queue.take_peak(9.5), queue.longest] == [3, 0, 3]


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_waiting_time_is_that_of_an_md1_queue(load: float) -> None:
    """Source: Pollaczek–Khinchine, ρ/(2μ(1 − ρ)). Batch means, four standard errors."""
    rate, batches = 20.0, 40
    arrivals = np.cumsum(np.random.default_rng(1).exponential(1 / (load * rate), (batches, 5_000)))
    queue = AcceptQueue(rate, 10**9)
    served = np.array([queue.enter(now) for now in arrivals.tolist()])
    means = (served - arrivals - 1 / rate).reshape(batches, -1).mean(axis=1)
    error = means.std(ddof=1) / np.sqrt(batches)
    assert abs(means.mean() - load / (2 * rate * (1 - load))) < 4 * error


def test_people_in_the_queue_are_arrival_rate_times_wait() -> None:
    """Little's law, exactly: between an empty beginning and an empty end."""
    arrivals = np.cumsum(np.random.default_rng(2).exponential(0.06, 2_000))
    queue = AcceptQueue(20.0, 10**9)
    served = np.array([queue.enter(now) for now in arrivals.tolist()])
    times = np.concatenate([arrivals, served])
    steps = np.concatenate([np.ones(len(arrivals)), -np.ones(len(served))])
    order = np.argsort(times, kind="stable")
    people = np.cumsum(steps[order])[:-1]
    area = np.sum(people * np.diff(times[order]))
    end = served[-1]
    assert area / end == pytest.approx(len(arrivals) / end * (served - arrivals).mean())


def busy(load: float, service: str, seed: int) -> tuple[Column, Column, Column]:
    """Arrivals, work and ends of what a server at that load has to do, in batches of a row each."""
    streams = np.random.default_rng(seed)
    arrivals = np.cumsum(streams.exponential(1 / load, (40, 5_000)))
    work = streams.exponential(1.0, arrivals.shape) if service == "exponential" else np.ones(arrivals.shape)
    queue = WorkQueue()
    pairs = zip(arrivals.tolist(), work.tolist(), strict=True)
    return arrivals, work, np.array([queue.enter(now, effort) for now, effort in pairs])


@pytest.mark.parametrize("load", [0.5, 0.8])
@pytest.mark.parametrize(("service", "share"), [("constant", 0.5), ("exponential", 1.0)])
def test_work_waits_as_pollaczek_and_khinchine_say(load: float, service: str, share: float) -> None:
    """M/D/1 waits half as long as M/M/1. Batch means, four standard errors."""
    arrivals, work, ends = busy(load, service, 3)
    means = (ends - arrivals - work.ravel()).reshape(40, -1).mean(axis=1)
    error = means.std(ddof=1) / np.sqrt(len(means))
    assert abs(means.mean() - share * load / (1 - load)) < 4 * error


def test_work_in_progress_is_arrival_rate_times_time() -> None:
    """Little's law, exactly: between an empty beginning and an empty end."""
    arrivals, _, ends = busy(0.7, "exponential", 4)
    times = np.concatenate([arrivals, ends])
    order = np.argsort(times, kind="stable")
    there = np.cumsum(np.repeat([1, -1], len(arrivals))[order])[:-1]
    area = np.sum(there * np.diff(times[order]))
    assert area / ends[-1] == pytest.approx(len(arrivals) / ends[-1] * (ends - arrivals).mean())


def test_the_longest_queue_of_work_is_known() -> None:
    queue = WorkQueue()
    assert [queue.enter(0.0, 1.0), queue.enter(0.5, 1.0), queue.enter(3.0, 0.5)] == [1.0, 2.0, 3.5]
    assert queue.longest == 2
    queue.clear()
    assert queue.enter(3.1, 1.0) == 4.1
