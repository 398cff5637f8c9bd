"""WebSocket links on a real server and hub; only the person's end is a bare recorder of events."""

from __future__ import annotations

import pytest

from chatlab.sim.path import Impairment
from chatlab.sim.sizes import UPGRADE_SIZE, UPGRADED_SIZE, frame_size
from chatlab.transports.failures import UNANSWERED
from chatlab.transports.machine import Closed, Failure, Opened, Pong, ReceivedBytes
from tests.sim.pair import QUERY, D, Pair, Person, text


def test_messages_take_one_latency_each_way() -> None:
    pair = Pair()
    link = pair.opened()
    link.send(text(1))
    pair.run(10)
    assert [at for at, _ in pair.server.seen] == [4 + D]
    assert [at for at, _ in pair.person.seen] == [4 + 2 * D]


def test_binary_frames_stay_binary() -> None:
    import msgspec

    from chatlab.messages import OutgoingMessage

    pair = Pair()
    pair.opened().send(msgspec.msgpack.encode(OutgoingMessage(data=b"\x00", client_id="ada-1")))
    pair.run(10)
    [(_, event)] = pair.person.seen
    assert isinstance(event, ReceivedBytes)


def test_a_ping_frame_is_answered_by_the_server_itself() -> None:
    pair = Pair()
    link = pair.opened()
    before = pair.network.bytes_up, pair.network.bytes_down
    link.ping(7)
    pair.run(10)
    assert pair.person.seen == [(4 + 2 * D, Pong(1, 7))]
    assert pair.server.seen == []
    assert (pair.network.bytes_up - before[0], pair.network.bytes_down - before[1]) == (2 + 4 + 1, 2 + 1)


def test_a_mute_server_answers_no_ping_frame() -> None:
    pair = Pair()
    link = pair.opened()
    mute = Impairment(mute=True)
    pair.path.add_impairment(mute)
    link.ping(1)
    pair.run(5)
    pair.path.remove_impairment(mute)
    link.ping(2)
    pair.run(10)
    assert pair.person.seen == [(5 + 2 * D, Pong(1, 2))]


@pytest.mark.parametrize("mute", [False, True])
def test_ping_frames_count_for_the_rate_limit_answered_or_not(mute: bool) -> None:
    pair = Pair(rate=0.1, burst=2)
    link = pair.opened()
    pair.path.add_impairment(Impairment(mute=mute))
    for number in (1, 2, 3):
        link.ping(number)
    pair.run(10)
    pongs = [] if mute else [Pong(1, 1), Pong(1, 2), Pong(1, 3)]
    reason = "more than 0.1 frames a second; slow down and come back"
    expected = [*pongs, Closed(1, Failure("close", 1013, reason))]
    assert [event for _, event in pair.person.seen] == expected


def test_the_persons_close_frame_reaches_the_server_and_is_answered() -> None:
    pair = Pair()
    link = pair.opened()
    before = pair.network.bytes_up, pair.network.bytes_down
    link.close(4000, "Pong timeout")
    pair.run(10)
    assert pair.server.seen == [(4 + D, "leave")]
    assert pair.person.seen == []
    assert (pair.network.bytes_up - before[0], pair.network.bytes_down - before[1]) == (6 + 2 + 12, 4 + 12)


@pytest.mark.parametrize("code", [None, 1012])
def test_a_server_that_stops_leaves_an_opening_handshake_unanswered(code: int | None) -> None:
    pair = Pair()
    pair.open()
    pair.run(3.5 * D - 2 * D)  # the SYN has arrived, the request has not
    pair.server.stop(code, "service restart")
    pair.run(10)
    assert pair.person.seen == [(2.5 * D, Closed(1, UNANSWERED))]
    assert pair.server.seen == [(D, "SYN")]


def test_a_server_close_sends_its_code_and_is_answered() -> None:
    pair = Pair()
    link = pair.opened()
    before = pair.network.bytes_up, pair.network.bytes_down
    pair.server.stop(1012, "service restart")
    assert not link.up_to_date
    pair.run(10)
    [(at, event)] = pair.person.seen
    assert at == 4 + D
    assert isinstance(event, Closed)
    assert (event.failure.kind, event.failure.code, event.failure.reason) == (
        "close",
        1012,
        "service restart",
    )
    assert (pair.network.bytes_up - before[0], pair.network.bytes_down - before[1]) == (
        6 + 2 + 15,
        2 + 2 + 15,
    )


def test_the_server_reads_all_that_arrives_at_one_instant_before_another_persons() -> None:
    pair = Pair()
    link, other = pair.opened(), pair.network.open(pair.path, Person(pair.environment), 1, QUERY)
    pair.run(8.0)
    pair.server.seen.clear()
    link.send(text(1))
    other.send(text(1, "bob"))
    link.send(text(2))
    pair.run(10)
    assert pair.server.seen == [(8 + D, text(1)), (8 + D, text(2)), (8 + D, text(1, "bob"))]


def test_an_unanswered_handshake_costs_its_request() -> None:
    pair = Pair()
    pair.open()
    pair.run(2.5 * D)
    assert (pair.network.bytes_up, pair.network.bytes_down) == (
        UPGRADE_SIZE + len("room=lobby&sender=ada"),
        0,
    )
    pair.run(3.5 * D)
    assert pair.network.bytes_down == UPGRADED_SIZE + frame_size(
        '{"type":"welcome","cursor":"1-0"}', masked=False
    )


def test_a_refused_name_gets_an_http_status() -> None:
    pair = Pair()
    pair.network.open(pair.path, pair.person, 1, {"room": "", "sender": "ada"})
    pair.run(10)
    [(at, event)] = pair.person.seen
    assert at == 4 * D
    assert isinstance(event, Closed)
    assert (event.failure.kind, event.failure.code) == ("http", 400)


def test_a_busy_server_handles_frames_in_order_and_drops_those_of_closed_links() -> None:
    pair = Pair(service_time=0.5)
    link = pair.open()
    pair.run(4)
    assert pair.person.seen[0] == (4 * D + 0.5, Opened(1))
    pair.person.seen.clear()
    link.send(text(1))
    link.send(text(2))
    pair.run(10)
    assert [at for at, _ in pair.person.seen] == [4 + 2 * D + 0.5, 4 + 2 * D + 1.0]
    link.send(text(3))
    link.close(1006, "gone")
    other = Pair(service_time=0.5)
    link = other.open()
    other.run(4)
    link.send(text(4))
    other.run(4 + 1.5 * D)
    other.server.stop()
    other.run(10)
    assert [type(event) for _, event in other.person.seen][2:] == [Closed]
    pair.run(20)
    assert len(pair.person.seen) == 2


def test_too_many_connections_are_refused_with_Retry_After() -> None:
    pair = Pair(max_connections=1)
    pair.open()
    pair.run(3)
    pair.open()
    pair.run(10)
    at, event = pair.person.seen[-1]
    assert at == 3 + 4 * D
    assert isinstance(event, Closed)
    assert (event.failure.code, event.failure.retry_after) == (503, 2.0)


def test_an_upgrade_that_is_being_worked_on_ends_with_the_server() -> None:
    pair = Pair(service_time=1.0)
    pair.open()
    pair.run(3 * D + 0.5)
    pair.server.stop()
    pair.run(10)
    assert pair.person.seen == [(3 * D + 0.5 + D, Closed(1, UNANSWERED))]
    assert not pair.server.hub._rooms


def test_the_query_is_dropped_once_the_upgrade_is_accepted() -> None:
    pair = Pair()
    link = pair.open()
    assert link.query == QUERY
    pair.run(10)
    assert not link.query
