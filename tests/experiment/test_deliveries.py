"""The deliveries of records written by hand, compared with a slow count by the definitions."""

from __future__ import annotations

from math import ceil, inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.experiment.deliveries import Population
from chatlab.experiment.series import LATENCY_EDGES, Latencies
from chatlab.messages import ConnectionStatus, DeliveryState
from tests.experiment.records import (
    CONNECTED,
    DISCONNECTED,
    DROPPED,
    ERROR,
    RECONNECTING,
    SENT,
    Chat,
)


def test_latency_runs_from_sending_to_showing() -> None:
    chat = Chat()
    chat.post(0, "a", 1.0, 1.5)
    chat.show(0, "a", "1-1", 1.5)
    chat.show(1, "a", "1-1", 3.5)
    metrics = chat.measure()
    assert (metrics["delivered"], metrics["latency_p50"]) == (2, 1.5)
    assert metrics["latency_p99"] == pytest.approx(0.5 + 0.99 * 2)


def test_a_message_that_is_never_shown_is_infinitely_late() -> None:
    chat = Chat()
    for number in range(20):
        chat.post(0, f"{number}", 10.0 + number, None if number == 19 else 10.1 + number)
        for reader in (0, 1):
            if number not in (3, 5, 19):
                chat.show(reader, f"{number}", f"1-{number}", 10.5 + number)
    metrics = chat.measure()
    # The last one was never sent, and the two others are lost: the readers were shown later ones.
    assert (metrics["lost"], metrics["owed"], metrics["undelivered"]) == (4, 40, 6)
    assert (metrics["latency_p50"], metrics["latency_p95"], metrics["latency_p99"]) == (0.5, inf, inf)
    shown = Latencies(chat.recorder, Population(chat.rooms, np.full(2, -np.inf))).histogram()
    assert sum(shown) == metrics["owed"] - metrics["undelivered"]


def _latest(chat: Chat, at: float = 99.0, acked_at: float | None = None) -> tuple[int, int]:
    """Post a last message of person 0 that isn't shown; return the numbers owed and undelivered."""
    chat.post(0, "last", at, acked_at)
    metrics = chat.measure()
    assert metrics["undelivered"] + metrics["in_flight"] == 2
    return metrics["owed"], metrics["undelivered"]


def test_a_message_in_flight_at_the_end_is_not_owed() -> None:
    assert _latest(Chat(), 99.0) == (0, 0)
    assert _latest(Chat(), 98.9) == (2, 2)


@pytest.mark.parametrize(("at", "owed"), [(70.0, (6, 0)), (69.9, (8, 2))])
def test_a_message_is_in_flight_for_as_long_as_others_were(at: float, owed: tuple[int, int]) -> None:
    chat = Chat()
    for number, shown_at in enumerate((2.0, 2.0, 31.0)):
        chat.post(0, f"{number}", 1.0, 1.5)
        for reader in (0, 1):
            chat.show(reader, f"{number}", f"1-{number}", 2.0 if reader else shown_at)
    assert _latest(chat, at) == owed


def test_what_waits_for_somebody_who_is_away_is_not_in_flight() -> None:
    reader_away, sender_away, sender_away_with_ack = Chat(), Chat(), Chat()
    reader_away.recorder.changed(1, RECONNECTING, 98.0)
    assert _latest(reader_away) == (1, 1)
    sender_away.recorder.changed(0, ERROR, 99.5)
    assert _latest(sender_away) == (2, 2)
    sender_away_with_ack.recorder.changed(0, RECONNECTING, 99.9)
    assert _latest(sender_away_with_ack, 99.0, 99.8) == (1, 1)  # their own


@pytest.mark.parametrize("state", [DROPPED, DeliveryState.EXPIRED, DeliveryState.FAILED])
def test_a_message_that_was_given_up_is_not_in_flight(state: DeliveryState) -> None:
    chat = Chat()
    chat.post(0, "gone", 99.9)
    chat.recorder.settled("gone", state, 99.9)
    metrics = chat.measure()
    assert (metrics["owed"], metrics["undelivered"]) == (2, 2)


def test_a_lost_message_is_not_in_flight() -> None:
    chat = Chat()
    chat.quiet[1] = True
    assert _latest(chat, 99.0, 99.5) == (1, 1)


def test_a_reader_who_has_left_is_owed_what_was_sent_before() -> None:
    chat = Chat()
    chat.recorder.changed(1, DISCONNECTED, 50.0)
    for name, at in (("before", 48.9), ("in flight", 49.0), ("after", 60.0)):
        chat.post(0, name, at, at + 0.1)
        chat.show(0, name, f"1-{at}".partition(".")[0], at + 0.1)
    chat.post(0, "given up", 61.0)
    chat.show(0, "given up", "1-61", 61.1)
    chat.recorder.settled("given up", DROPPED, 62.0)
    metrics = chat.measure()
    assert (metrics["owed"], metrics["undelivered"], metrics["in_flight"]) == (5, 1, 1)
    chat.recorder.changed(1, CONNECTED, 70.0)  # and comes back
    assert chat.measure()["undelivered"] == 4


def test_ids_are_a_rooms_own_and_a_message_may_be_posted_again() -> None:
    chat = Chat(people=4, rooms=(0, 0, 1, 1))
    chat.post(0, "a", 1.0)
    chat.post(2, "b", 1.0)
    shown = [(1, "a", "1-1"), (3, "b", "1-1"), (1, "a", "2-1"), (0, "a", "2-1"), (0, "a", "1-1")]
    for at, (reader, name, place) in enumerate(shown):
        chat.show(reader, name, place, float(at))
    messages, readers, times, places = (column.tolist() for column in chat.recorder.deliveries)
    assert (messages, readers, times) == ([0, 1, 0, 0, 0], [1, 3, 1, 0, 0], [0.0, 1.0, 2.0, 3.0, 4.0])
    assert places[0] == places[1] == places[4] < places[2] == places[3]


def test_history_counts_as_delivered_but_has_no_latency() -> None:
    chat = Chat(people=1)
    chat.recorder.changed(1, CONNECTED, 50.0)
    chat.rooms, chat.quiet = np.zeros(2, dtype=int), np.zeros(2, dtype=bool)
    chat.post(0, "a", 1.0, 1.5)
    chat.show(0, "a", "1-1", 1.5)
    chat.show(1, "a", "1-1", 50.5)
    metrics = chat.measure()
    assert (metrics["delivered"], metrics["latency_p99"]) == (2, 0.5)
    population = Population(chat.rooms, np.where(chat.quiet, np.inf, -np.inf))
    histogram = Latencies(chat.recorder, population).histogram()
    assert sum(histogram) == 1
    assert LATENCY_EDGES[histogram.index(1)] <= 0.5 < LATENCY_EDGES[histogram.index(1) + 1]


def test_a_gap_is_a_loss_and_an_end_is_not() -> None:
    chat = Chat()
    chat.post(0, "a", 1.0, 1.5)
    chat.post(0, "b", 2.0, 2.5)
    chat.post(0, "c", 3.0, 3.5)
    for reader, name in [(0, "a"), (0, "b"), (0, "c"), (1, "b")]:
        chat.show(reader, name, f"1-{'abc'.index(name) + 1}", 4.0)
    assert chat.measure()["lost"] == 1  # "a" is missing for good; "c" may be on its way
    chat.quiet[1] = True
    assert chat.measure()["lost"] == 2  # nothing is on its way


def test_a_message_acked_after_the_next_was_sent_may_be_in_flight() -> None:
    chat = Chat()
    chat.post(0, "a", 1.0, 4.0)
    chat.post(0, "b", 2.0, 5.0)
    chat.show(1, "b", "1-1", 6.0)
    assert chat.measure()["lost"] == 0
    chat.post(0, "c", 4.5, 7.0)
    chat.show(1, "c", "1-3", 8.0)
    assert chat.measure()["lost"] == 1


def test_messages_without_ack_or_before_a_reader_connected_or_of_another_room_are_not_owed() -> None:
    chat = Chat(people=2, rooms=[0, 1], connected_at=5.0)
    chat.quiet[:] = True
    chat.post(0, "no ack", 6.0)
    chat.post(0, "before", 4.0, 6.0)
    chat.post(0, "another room", 6.0, 7.0)
    chat.show(0, "another room", "1-1", 7.0)
    assert chat.measure()["lost"] == 0


def test_a_message_sent_at_the_instant_of_connecting_is_owed() -> None:
    chat = Chat(people=2, connected_at=5.0)
    chat.quiet[1] = True
    chat.post(0, "a", 5.0, 6.0)
    chat.show(0, "a", "1-1", 6.0)
    assert chat.measure()["lost"] == 1
    chat.show(1, "a", "1-1", 7.0)
    metrics = chat.measure()
    assert (metrics["lost"], metrics["latency_p50"]) == (0, 1.5)


def test_a_delivery_after_a_later_message_is_out_of_order() -> None:
    chat = Chat(people=2)
    for number in range(1, 5):
        chat.post(0, f"{number}", 1.0, 2.0)
    for at, number in enumerate([1, 2, 2, 1, 4, 3, 4]):
        chat.show(1, f"{number}", f"1-{number}", float(at))
    metrics = chat.measure()
    assert (metrics["delivered"], metrics["duplicated"], metrics["out_of_order"]) == (4, 3, 2)


def test_without_acks_a_message_is_through_when_a_later_one_comes_back() -> None:
    chat = Chat(people=3)
    for number, at in enumerate([1.0, 2.0, 3.0, 4.0]):
        chat.recorder.accepted(0, f"{number}", at)
        chat.recorder.settled(f"{number}", SENT, at)
    chat.recorder.accepted(1, "of another", 1.0)
    chat.show(0, "2", "1-1", 3.5)
    chat.quiet[:] = [True, True, False]
    assert chat.measure(acks=True)["lost"] == 0
    # 0 and 1 are lost for both who have heard of everything; 2 for person 1; 3 may be under way.
    assert chat.measure(acks=False)["lost"] == 5
    chat.show(2, "3", "1-2", 4.5)  # handed over after the echo
    assert chat.measure(acks=False)["lost"] == 8


def test_a_new_log_begins_behind_the_old_one() -> None:
    chat = Chat(people=1)
    for at, place in enumerate(["7-1", "7-9", "3-1", "3-2"]):
        chat.post(0, place, 0.0, 1.0)
        chat.show(0, place, place, float(at))
    assert chat.measure()["out_of_order"] == 0


posts = st.tuples(st.integers(0, 3), st.integers(0, 20), st.none() | st.integers(0, 5))
shows = st.tuples(st.integers(0, 3), st.integers(0, 7), st.integers(0, 40))


@pytest.mark.slow
@given(
    posts=st.lists(posts, min_size=1, max_size=8),
    shows=st.lists(shows, max_size=30),
    rooms=st.lists(st.integers(0, 1), min_size=4, max_size=4),
    quiet=st.lists(st.booleans(), min_size=4, max_size=4),
    acks=st.booleans(),
    connected=st.lists(st.none() | st.integers(0, 20), min_size=4, max_size=4),
    last=st.lists(st.sampled_from([CONNECTED, RECONNECTING, DISCONNECTED]), min_size=4, max_size=4),
    given_up=st.sets(st.integers(0, 7)),
)
def test_losses_and_order_agree_with_a_slow_count(
    posts: list[tuple[int, int, int | None]],
    shows: list[tuple[int, int, int]],
    rooms: list[int],
    quiet: list[bool],
    acks: bool,
    connected: list[int | None],
    last: list[ConnectionStatus],
    given_up: set[int],
) -> None:
    chat = Chat(people=0)
    chat.rooms, chat.quiet = np.array(rooms), np.array(quiet)
    for person, at in enumerate(connected):
        if at is not None:
            chat.recorder.changed(person, CONNECTED, float(at))
            if last[person] is not CONNECTED:
                chat.recorder.changed(person, last[person], 20.5)
    for number, (sender, at, acked) in enumerate(posts):
        chat.post(sender, f"{number}", float(at), None if acked is None else float(at + acked))
        if number in given_up and acked is None:
            chat.recorder.settled(f"{number}", DROPPED, 30.0)
    shown: dict[int, list[int]] = {person: [] for person in range(4)}
    for reader, number, at in shows:
        if number < len(posts) and rooms[posts[number][0]] == rooms[reader]:
            chat.show(reader, f"{number}", f"1-{number}", float(at))
            shown[reader].append(number)

    def through_at(number: int) -> float:
        """Return the time at which the sender could know what became of a message."""
        sender, at, acked = posts[number]
        if acks:
            return inf if acked is None else at + acked
        own = (
            shown_at
            for reader, later, shown_at in shows
            if later in range(number, len(posts)) and reader == sender == posts[later][0]
        )
        return min(own, default=inf)

    def online(person: int) -> bool:
        return connected[person] is not None and last[person] is CONNECTED

    def in_flight(number: int, reader: int) -> bool:
        sender, at, acked = posts[number]
        if (number in given_up and acked is None) or (through_at(number) == inf and not online(sender)):
            return False
        left = last[reader] is DISCONNECTED
        return (online(reader) or left) and (20.5 if left else 21.0) - at <= usual

    late = sorted(
        min(at for who, what, at in shows if (who, what) == (reader, number)) - posts[number][1]
        for reader in range(4)
        for number in set(shown[reader])
        if (joined := connected[reader]) is not None and posts[number][1] >= joined
    )
    usual = max(1.0, late[ceil(0.99 * (len(late) - 1))]) if late else 1.0
    lost = undelivered = flying = disorder = 0
    for reader in range(4):
        joined = connected[reader]
        latest = max((posts[number][1] for number in shown[reader]), default=-inf)
        for number, (sender, at, _) in enumerate(posts):
            through = through_at(number)
            never = rooms[sender] == rooms[reader] and joined is not None and at >= joined
            never = never and number not in shown[reader]
            missing = never and through < inf and (quiet[reader] or through < latest)
            lost += missing
            gone = last[reader] is DISCONNECTED and at >= 20.5
            undelivered += missing or (never and not gone and not in_flight(number, reader))
            flying += never and not missing and not gone and in_flight(number, reader)
        log = shown[reader]
        disorder += sum(number < max(log[:index], default=-1) for index, number in enumerate(log))
    metrics = chat.measure(duration=21.0, acks=acks)
    assert (metrics["lost"], metrics["out_of_order"]) == (lost, disorder)
    assert (metrics["owed"], metrics["undelivered"]) == (len(late) + undelivered, undelivered)
    assert metrics["in_flight"] == flying
    assert metrics["delivered"] == sum(len(set(numbers)) for numbers in shown.values())
    assert metrics["duplicated"] == sum(len(numbers) - len(set(numbers)) for numbers in shown.values())
