"""The limit: the chat of `simpy_chat.py` as loops over one heap, which numba compiles to machine code.

People are numbers, events are tuples, and each load is a function of its own that knows nothing but itself:
no frames, no ledger, nothing that a setting could change. The heap is that of `heapq`, compiled as well, and
events have SimPy's order, time and then insertion. A pending time-out stays in the heap, as it does in SimPy.
"""

from heapq import heappop, heappush
from math import exp
from random import expovariate, gauss, random, seed
from typing import TYPE_CHECKING

import numpy as np

from bench.peers.simpy_chat import BASE_DELAY, CONNECT_TIMEOUT, MAX_DELAY

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    F = TypeVar("F", bound=Callable[..., object])

    def njit(function: F) -> F:
        """Return numba's decorator, with a type."""
        return function
else:
    from numba import njit

KNOCK, AT_THE_DOOR, REFUSED, OPEN, LOST = range(5)
ARRIVE, PING, PONG, TIMEOUT = range(4)
WRITE, JOIN, AT_SERVER, SHOWN = range(4)


@njit
def latency(median: float, sigma: float) -> float:
    """Draw the seconds that a packet takes, log-normally."""
    return median * exp(sigma * gauss(0.0, 1.0))


@njit
def opening(median: float, sigma: float) -> float:
    """Draw the seconds until a WebSocket is open: four packets."""
    return latency(median, sigma) + latency(median, sigma) + latency(median, sigma) + latency(median, sigma)


@njit
def herd(
    people: int,
    rate: float,
    backlog: int,
    one_way: float,
    arrive_over: float,
    lost_at: float,
    duration: float,
) -> int:
    """Connect all, cut them off at `lost_at`, and reconnect with full jitter. Return the attempts."""
    seed(1)
    queue = [(arrive_over * random(), person, KNOCK, person) for person in range(people)]
    queue.sort()
    retries = np.zeros(people, np.int64)
    been_here = np.zeros(people, np.bool_)
    turns = np.empty(backlog + 1)  # a ring of the turns that were given out
    first = waiting = attempts = 0
    last_turn = 0.0
    number = people
    while queue:
        now, _, kind, person = heappop(queue)
        if now > duration:
            break
        if kind == KNOCK:
            attempts += 1
            retries[person] += 1
            after, kind = one_way, AT_THE_DOOR
        elif kind == AT_THE_DOOR:
            while waiting and turns[first] <= now:
                first, waiting = (first + 1) % (backlog + 1), waiting - 1
            if waiting >= backlog:
                after, kind = one_way, REFUSED
            else:
                last_turn = (last_turn if waiting else now) + 1 / rate
                turns[(first + waiting) % (backlog + 1)] = last_turn
                waiting += 1
                open_after = max(2 * one_way, last_turn - now) + one_way
                patience = CONNECT_TIMEOUT - one_way
                after, kind = (open_after, OPEN) if open_after <= patience else (patience, REFUSED)
        elif kind == OPEN:
            if been_here[person]:
                continue
            been_here[person] = True
            after, kind = max(0.0, lost_at + one_way - now), LOST
        else:
            if kind == LOST:
                retries[person] = 1
            after = random() * min(MAX_DELAY, BASE_DELAY * 2.0 ** (retries[person] - 1))
            kind = KNOCK
        heappush(queue, (now + after, number, kind, person))
        number += 1
    return attempts


@njit
def heartbeats(
    people: int,
    interval: float,
    timeout: float,
    median: float,
    sigma: float,
    arrive_over: float,
    duration: float,
) -> int:
    """Connect all, and ping the server as long as pongs come in time. Return the pongs."""
    seed(1)
    queue = [(arrive_over * random(), person, ARRIVE, person) for person in range(people)]
    queue.sort()
    waiting = np.zeros(people, np.bool_)
    next_ping_at = np.zeros(people)
    number = people
    pongs = 0
    while queue:
        now, _, kind, person = heappop(queue)
        if now > duration:
            break
        if kind == ARRIVE:
            heappush(queue, (now + opening(median, sigma) + interval, number, PING, person))
            number += 1
        elif kind == PING:
            waiting[person] = True
            next_ping_at[person] = now + interval
            answer = latency(median, sigma) + latency(median, sigma)
            heappush(queue, (now + answer, number, PONG, person))
            heappush(queue, (now + timeout, number + 1, TIMEOUT, person))
            number += 2
        elif kind == PONG:
            if waiting[person]:
                waiting[person] = False
                pongs += 1
                heappush(queue, (next_ping_at[person], number, PING, person))
                number += 1
        elif waiting[person]:
            waiting[person] = False
            heappush(queue, (now, number, ARRIVE, person))
            number += 1
    return pongs


@njit
def rooms(
    people: int,
    count: int,
    send_rate: float,
    median: float,
    sigma: float,
    arrive_over: float,
    duration: float,
) -> int:
    """Connect all, and send at random to rooms whose members get all messages. Return the deliveries."""
    seed(1)
    queue = [(arrive_over * random(), person, JOIN, person, -1.0) for person in range(people)]
    queue.sort()
    members = np.empty((count, people // count + 1), np.int64)
    sizes = np.zeros(count, np.int64)
    last_at = np.zeros(people)
    latencies = [0.0 for _ in range(0)]
    number = people
    while queue:
        now, _, kind, person, sent_at = heappop(queue)
        if now > duration:
            break
        room = person % count
        if kind == SHOWN:
            latencies.append(now - sent_at)
        elif kind == AT_SERVER:
            for place in range(sizes[room]):
                member = members[room, place]
                last_at[member] = max(last_at[member], now + latency(median, sigma))
                heappush(queue, (last_at[member], number, SHOWN, member, sent_at))
                number += 1
        elif kind == WRITE:
            heappush(queue, (now + latency(median, sigma), number, AT_SERVER, person, now))
            heappush(queue, (now + expovariate(send_rate), number + 1, WRITE, person, 0.0))
            number += 2
        elif sent_at < 0.0:  # has come, and isn't connected yet
            heappush(queue, (now + opening(median, sigma), number, JOIN, person, 0.0))
            heappush(queue, (now + expovariate(send_rate), number + 1, WRITE, person, 0.0))
            number += 2
        else:
            members[room, sizes[room]] = person
            sizes[room] += 1
    return len(latencies)
