"""The metrics of records written by hand, compared with a slow count that follows their definitions."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chatlab.experiment.column_recorder import ColumnRecorder
from chatlab.experiment.metrics import (
    LATENCY_EDGES,
    Incident,
    Latencies,
    Population,
    describe_never,
    measure,
    percentile,
    series,
)
from chatlab.messages import ChatMessage, ConnectionStatus, DeliveryState

ACKED, SENT, DROPPED = DeliveryState.ACKED, DeliveryState.SENT, DeliveryState.DROPPED
CONNECTING, CONNECTED, RECONNECTING, ERROR, DISCONNECTED = (
    ConnectionStatus.CONNECTING,
    ConnectionStatus.CONNECTED,
    ConnectionStatus.RECONNECTING,
    ConnectionStatus.ERROR,
    ConnectionStatus.DISCONNECTED,
)


class Chat:
    """A recorder with short methods."""

    def __init__(self, people: int = 2, rooms: Sequence[int] = (), connected_at: float = 0.0) -> None:
        self.recorder = ColumnRecorder()
        self.rooms = np.array(rooms or [0] * people)
        self.quiet = np.zeros(people, dtype=bool)
        for person in range(people):
            self.recorder.changed(person, CONNECTED, connected_at)

    def post(self, sender: int, name: str, at: float, acked_at: float | None = None) -> None:
        self.recorder.accepted(sender, name, at)
        if acked_at is not None:
            self.recorder.settled(name, ACKED, acked_at)

    def show(self, reader: int, name: str, place: str, at: float) -> None:
        self.recorder.delivered(reader, ChatMessage(id=place, client_id=name), at)

    def measure(
        self, faults: Sequence[tuple[Any, ...]] = (), duration: float = 100.0, *, acks: bool = True
    ) -> dict[str, Any]:
        population = Population(self.rooms, np.where(self.quiet, np.inf, -np.inf))
        if not acks:
            population = replace(population, acks=np.zeros(len(self.rooms), dtype=bool))
        return measure(self.recorder, population, duration, [Incident(*fault) for fault in faults])


def test_without_records_there_is_nothing_to_measure() -> None:
    metrics = measure(
        ColumnRecorder(), Population(np.zeros(3, dtype=int), np.full(3, -np.inf)), 10.5, [Incident(1.0, 2.0)]
    )
    assert {name for name, value in metrics.items() if value} == {"time_disconnected"}
    assert metrics["time_disconnected"] == 31.5


def test_every_message_is_in_one_state() -> None:
    chat = Chat()
    for number, state in enumerate(DeliveryState):
        for copy in range(number + 1):
            chat.recorder.accepted(0, f"{state}-{copy}", 1.0)
            chat.recorder.settled(f"{state}-{copy}", state, 2.0)
    chat.recorder.refused()
    metrics = chat.measure()
    names = ("pending", "acked", "dropped", "expired", "failed")
    assert [metrics[name] for name in names] == [1 + 2, 3, 4, 5, 6]
    assert metrics["sent"] == sum(metrics[name] for name in names)
    assert metrics["refused"] == 1


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


@pytest.mark.parametrize(
    ("q", "never", "value"),
    [(50, 0, 2.5), (50, 1, 3.0), (50, 2, 3.5), (50, 3, 4.0), (50, 4, inf), (99, 1, inf)],
)
def test_a_percentile_beside_an_infinite_value_is_infinite(q: float, never: int, value: float) -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert percentile(values, q, never) == value
    assert percentile(values, q) == pytest.approx(np.percentile(values, q))


def test_a_share_is_named_beside_never() -> None:
    metrics = {"owed": 50, "undelivered": 6, "broken": 3, "unrecovered": 3, "latency_p99": inf}
    assert describe_never("latency_p99", metrics) == "never (12 %)"
    assert describe_never("recovery_p50", metrics) == "never (100 %)"
    assert describe_never("queue_max", metrics) == describe_never("latency_p99", {}) == "never"


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


def test_recovery_runs_from_the_faults_end() -> None:
    chat = Chat(people=4)
    for person, status, at in [
        (0, RECONNECTING, 10.1),
        (0, RECONNECTING, 12.0),
        (0, CONNECTED, 23.0),
        (1, RECONNECTING, 10.1),
        (1, CONNECTED, 15.0),
        (2, RECONNECTING, 10.1),
        (2, ERROR, 30.0),
        (3, DISCONNECTED, 11.0),
        (3, CONNECTING, 12.0),
        (3, CONNECTED, 13.0),
        (0, RECONNECTING, 60.5),
        (0, CONNECTED, 64.0),
    ]:
        chat.recorder.changed(person, status, at)
    metrics = chat.measure([(10.0, 20.0), (60.0, 60.0)])
    assert (metrics["broken"], metrics["unrecovered"]) == (4, 1)
    assert metrics["recovery_p50"] == 3.5  # of 3, 0, 4 and inf
    assert metrics["recovery_p99"] == inf
    assert chat.measure([(50.0, 50.0)])["recovery_p50"] == 14.0
    assert chat.measure()["recovery_p50"] is None
    assert chat.measure()["broken"] == 0


@pytest.mark.parametrize(
    ("lost_at", "recovery"),
    [
        (10.0, 30.0),  # at the instant at which the first fault begins: from that one's end
        (20.0, 30.0),  # at that at which it ends
        (39.9, 30.0),
        (40.0, 9.0),  # at that at which the second begins, which is over after a second
        (41.0, 9.0),
        (9.9, None),
    ],
)
def test_a_loss_belongs_to_the_latest_fault_that_has_begun(lost_at: float, recovery: float | None) -> None:
    chat = Chat(people=1)
    for status, at in [(CONNECTED, 1.0), (RECONNECTING, lost_at), (CONNECTED, 50.0)]:
        chat.recorder.changed(0, status, at)
    assert chat.measure([(10.0, 20.0), (40.0, 41.0)])["recovery_p50"] == recovery


def test_a_recovery_begins_with_the_loss_if_others_serve() -> None:
    chat = Chat(people=2)
    for person, at in [(0, 12.0), (1, 25.0)]:
        for status, when in [(CONNECTED, 1.0), (RECONNECTING, at), (CONNECTED, at + 3.0)]:
            chat.recorder.changed(person, status, when)
    fault = Incident(10.0, 27.0)
    population = Population(np.zeros(2, dtype=int), np.full(2, inf))
    for others_serve, last in [(False, 1.0), (True, 3.0)]:
        metrics = measure(chat.recorder, population, 60.0, [fault._replace(others_serve=others_serve)])
        assert metrics["last_back"] == last
        assert metrics["recovery_p50"] == (3.0 if others_serve else 0.5)


def _fault(kind: str, at: float, until: float, hit: Sequence[int] | None = None) -> Incident:
    return Incident(
        at,
        until,
        None if hit is None else np.array(hit),
        {"half_open": inf, "partition": until}.get(kind, -inf),
        {"latency": 0, "http_error": 1}.get(kind, 2),
        kind in ("half_open", "half_open_up"),
    )


@pytest.mark.parametrize(
    ("faults", "recovery"),
    [
        # The connection stood from 1 to 40, and again from 50 on.
        ([("half_open", 20, 20), ("latency", 30, 90)], 30.0),
        ([("half_open", 20, 20), ("server_down", 30, 33)], 30.0),  # of which nothing is heard
        ([("half_open", 20, 20), ("half_open", 30, 30)], 30.0),
        ([("half_open_up", 20, 20), ("latency", 30, 90), ("http_error", 31, 32)], 30.0),
        ([("half_open_up", 20, 20), ("server_down", 39.9, 44)], 6.0),  # of which it is heard
        ([("half_open_up", 20, 20), ("server_down", 39.8, 44), ("latency", 39.9, 90)], 6.0),
        ([("half_open", 0.5, 0.5), ("latency", 30, 45)], 5.0),  # another connection's
        ([("half_open", 1, 1), ("latency", 30, 45)], 49.0),
        ([("partition", 30, 45), ("latency", 35, 90)], 5.0),
        ([("partition", 29, 29.9), ("latency", 36, 42)], 8.0),  # it was over in time
        ([("partition", 30, 35), ("latency", 36, 42)], 15.0),
        ([("partition", 30, 35), ("http_error", 36, 42)], 15.0),
        ([("partition", 30, 35), ("http_error", 36.1, 42)], 8.0),
        ([("partition", 30, 35), ("latency", 36, 60), ("http_error", 36.1, 42)], 8.0),
        ([("reset", 39.5, 39.5), ("http_error", 39.75, 90)], 10.5),  # before the reset has arrived
        ([("server_down", 39, 43), ("http_error", 39, 44)], 6.0),  # at once: it's one incident
        ([("server_down", 39, 43), ("http_error", 39.1, 44)], 7.0),
        ([("server_down", 39, 43), ("latency", 39, 44)], 7.0),
        ([("http_error", 30, 44), ("latency", 39, 90)], 6.0),
        ([("latency", 30, 90), ("http_error", 39, 44)], 6.0),
        ([("reset", 0.5, 0.5), ("latency", 0.9, 45)], 5.0),  # which broke an earlier connection
        ([("latency", 30, 42), ("half_open", 41, 41)], 8.0),
        ([("server_down", 39, 43), ("latency", 39.5, 90, [0])], 7.0),  # which hit somebody else
        ([("server_down", 39, 43), ("latency", 39.5, 47, [0, 1])], 7.0),
        ([("server_down", 39, 43), ("server_down", 39.5, 47, [0, 1])], 3.0),
        ([("half_open", 20, 20, [0]), ("latency", 30, 45)], 5.0),
        ([("half_open", 45, 45)], None),
    ],
)
def test_a_loss_belongs_to_the_fault_that_caused_it(
    faults: list[tuple[Any, ...]], recovery: float | None
) -> None:
    chat = Chat(people=2, connected_at=1.0)
    chat.recorder.changed(1, RECONNECTING, 40.0)
    chat.recorder.changed(1, CONNECTED, 50.0)
    assert chat.measure([_fault(*fault) for fault in faults])["recovery_p50"] == recovery


def test_time_in_each_status_adds_up() -> None:
    chat = Chat(people=2, connected_at=10.0)
    chat.recorder.changed(0, RECONNECTING, 40.0)
    chat.recorder.changed(0, ERROR, 60.0)
    metrics = chat.measure()
    assert {name: value for name, value in metrics.items() if name.startswith("time_")} == {
        "time_disconnected": 20.0,
        "time_connecting": 0.0,
        "time_connected": 120.0,
        "time_reconnecting": 20.0,
        "time_error": 40.0,
    }


def test_series_count_each_second() -> None:
    chat = Chat(people=2, connected_at=0.5)
    chat.recorder.changed(0, RECONNECTING, 1.2)
    chat.recorder.changed(0, CONNECTED, 1.4)
    chat.recorder.changed(1, RECONNECTING, 2.9)
    for at in (0.1, 0.9, 2.0):
        chat.recorder.attempted(0, at)
    chat.post(0, "a", 1.0, 1.5)
    chat.show(1, "a", "1-1", 2.5)
    assert series(chat.recorder, 3.5) == {
        "attempts": [2, 0, 1, 0],
        "sent": [0, 1, 0, 0],
        "delivered": [0, 0, 1, 0],
        "connected": [2, 2, 1, 1],
    }
    assert chat.measure(duration=3.5)["attempts_per_second_max"] == 2
    assert chat.measure(duration=3.5)["attempts_per_second_max_after"] is None
    for begins_at, most in ((0.1, 2), (0.5, 1), (2.5, 0), (3.5, None)):
        metrics = chat.measure([(begins_at, begins_at), (9.0, 9.0)], duration=3.5)
        assert metrics["attempts_per_second_max_after"] == most


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


def test_who_asked_and_never_was_connected() -> None:
    chat = Chat(people=4)
    chat.recorder = ColumnRecorder()
    away, trying, gave_up, there = (), (CONNECTING,), (CONNECTING, ERROR), (CONNECTING, CONNECTED)
    for person, statuses in enumerate((away, trying, gave_up, there)):
        for number, status in enumerate(statuses):
            chat.recorder.changed(person, status, 5.0 + number)
    assert chat.measure()["never_connected"] == 2


def test_who_gave_up_and_who_came_last() -> None:
    chat = Chat(people=3, connected_at=10.0)
    chat.recorder.changed(0, RECONNECTING, 40.0)
    chat.recorder.changed(0, ERROR, 60.0)
    chat.recorder.changed(1, RECONNECTING, 40.0)
    chat.recorder.changed(1, CONNECTED, 55.0)
    chat.recorder.changed(2, RECONNECTING, 40.0)
    chat.recorder.changed(2, CONNECTED, 47.0)
    metrics = chat.measure([_fault("server_down", 39.0, 42.0)])
    assert (metrics["gave_up"], metrics["last_back"], metrics["last_in_at"]) == (1, 13.0, 10.0)
    calm = Chat(people=1, connected_at=10.0).measure()
    assert (calm["gave_up"], calm["last_back"], calm["last_in_at"]) == (0, None, 10.0)


def test_latencies_of_each_second_are_those_of_what_was_shown_then() -> None:
    chat = Chat(people=1)
    for number, (sent_at, shown_at) in enumerate(
        [(0.2, 0.3), (0.1, 0.9), (0.4, 2.4), (2.5, 2.6), (0.0, 2.9)]
    ):
        chat.post(0, f"{number}", sent_at, shown_at)
        chat.show(0, f"{number}", f"1-{number}", shown_at)
    chat.show(0, "0", "1-0", 3.5)  # Again: that counts for nothing.
    population = Population(chat.rooms, np.zeros(1))
    columns = Latencies(chat.recorder, population).by_second(4)
    assert columns["latency_p50"] == [pytest.approx(0.45), None, pytest.approx(2.0), None]
    expected = [np.percentile([0.1, 0.8], 99), None, np.percentile([2.0, 0.1, 2.9], 99), None]
    assert columns["latency_p99"] == [None if one is None else pytest.approx(one) for one in expected]
