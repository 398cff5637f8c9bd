"""Subscribers: called in order, even if handlers are added, removed or raise meanwhile."""

from __future__ import annotations

import asyncio
import threading

from chatlab.live.subscribers import Subscribers


def tell(subscribers: Subscribers[int], news: int) -> None:
    for handler, _ in subscribers:
        handler(news)


def test_handlers_are_called_in_order_and_one_added_twice_is_called_twice() -> None:
    heard: list[tuple[str, int]] = []
    subscribers: Subscribers[int] = Subscribers()

    def first(news: int) -> None:
        heard.append(("first", news))

    leave = subscribers.add(first)
    subscribers.add(lambda news: heard.append(("second", news)))
    subscribers.add(first)
    tell(subscribers, 1)
    leave()
    leave()
    tell(subscribers, 2)
    assert heard == [("first", 1), ("second", 1), ("first", 1), ("second", 2), ("first", 2)]


def test_a_handler_removed_during_an_event_is_not_called_for_it() -> None:
    heard: list[str] = []
    subscribers: Subscribers[int] = Subscribers(lambda news: leave())
    leave = subscribers.add(lambda news: heard.append("gone"))
    subscribers.add(lambda news: heard.append("there"))
    tell(subscribers, 1)
    assert heard == ["there"]


async def test_a_handler_runs_on_the_loop_where_it_was_added() -> None:
    subscribers: Subscribers[int] = Subscribers()
    subscribers.add(print)
    await asyncio.to_thread(subscribers.add, print)
    assert [home for _, home in subscribers] == [asyncio.get_running_loop(), None]


def test_a_handler_added_during_an_event_gets_the_next_ones() -> None:
    heard: list[tuple[str, int]] = []
    subscribers: Subscribers[int] = Subscribers()

    def once(news: int) -> None:
        heard.append(("once", news))
        leave()
        subscribers.add(lambda later: heard.append(("late", later)))

    leave = subscribers.add(once)
    subscribers.add(lambda news: heard.append(("steady", news)))
    tell(subscribers, 1)
    tell(subscribers, 2)
    assert heard == [("once", 1), ("steady", 1), ("steady", 2), ("late", 2)]


def test_no_handler_added_on_another_thread_is_lost() -> None:
    subscribers: Subscribers[int] = Subscribers()
    heard: list[int] = []
    start = threading.Barrier(8)

    def come() -> None:
        start.wait()
        for _ in range(200):
            subscribers.add(heard.append)

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tell(subscribers, 1)
    assert len(heard) == 1600
