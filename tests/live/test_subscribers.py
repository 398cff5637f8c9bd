"""Subscribers: told in order, whoever comes, goes or raises meanwhile."""

from __future__ import annotations

import threading

import pytest

from chatlab.live.subscribers import Subscribers


def test_they_are_told_in_order_and_who_is_there_twice_twice() -> None:
    heard: list[tuple[str, int]] = []
    subscribers: Subscribers[int] = Subscribers()

    def first(news: int) -> None:
        heard.append(("first", news))

    leave = subscribers.add(first)
    subscribers.add(lambda news: heard.append(("second", news)))
    subscribers.add(first)
    subscribers.tell(1)
    leave()
    leave()
    subscribers.tell(2)
    assert heard == [("first", 1), ("second", 1), ("first", 1), ("second", 2), ("first", 2)]


def test_one_that_raises_is_logged_and_stays_and_the_others_hear_it(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[int] = []
    subscribers: Subscribers[int] = Subscribers()
    subscribers.add(lambda news: 1 // news)
    subscribers.add(heard.append)
    for news in (0, 0, 1):
        subscribers.tell(news)
    assert heard == [0, 0, 1]
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


def test_who_comes_or_goes_while_news_are_told_changes_the_next_ones_only() -> None:
    heard: list[tuple[str, int]] = []
    subscribers: Subscribers[int] = Subscribers()

    def once(news: int) -> None:
        heard.append(("once", news))
        leave()
        subscribers.add(lambda later: heard.append(("late", later)))

    leave = subscribers.add(once)
    subscribers.add(lambda news: heard.append(("steady", news)))
    subscribers.tell(1)
    subscribers.tell(2)
    assert heard == [("once", 1), ("steady", 1), ("steady", 2), ("late", 2)]


def test_none_is_lost_that_comes_on_another_thread() -> None:
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
    subscribers.tell(1)
    assert len(heard) == 1600
