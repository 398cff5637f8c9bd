"""The WebSocket machine: every event in every state, then each rule of SPEC §1 and §2 (`A…` are rows of
HOSTILE)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, get_args

import msgspec
import pytest

from chatlab.dialects import find_dialect
from chatlab.dialects.base import Answer
from chatlab.messages import (
    ChatEvent,
    ChatMessage,
    ConnectionStatus,
    DeliveryState,
    OutgoingMessage,
    StatusChange,
)
from chatlab.settings import HeartbeatConfig, OutboxConfig, ReconnectConfig, WebSocketConfig
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Connect,
    Deliver,
    Disconnect,
    Effect,
    Event,
    Failure,
    Notify,
    Opened,
    OpenWebSocket,
    Ping,
    Pong,
    Received,
    ReceivedBytes,
    Refuse,
    Send,
    SendBytes,
    Settle,
    Submit,
    Tick,
    Typing,
)
from chatlab.transports.websocket import PONG_GAP, WebSocketMachine

DISCONNECTED, CONNECTING, CONNECTED, RECONNECTING, ERROR = ConnectionStatus
QUEUED, SENT, ACKED, DROPPED, EXPIRED, FAILED = DeliveryState

FIRST = {"room": "lobby", "sender": "ada", "history": "50"}
GOODBYE = "asked to disconnect"
PING_1 = '{"type":"ping","id":1}'


def outgoing(client_id: str, text: str = "hi") -> OutgoingMessage:
    return OutgoingMessage(text, client_id=client_id)


def frame_of(client_id: str, text: str = "hi") -> str:
    return json.dumps({"type": "message", "text": text, "client_id": client_id}, separators=(",", ":"))


def status(
    status: ConnectionStatus,
    reason: str = "",
    attempt: int = 0,
    retry_at: float | None = None,
    code: int | None = None,
) -> Notify:
    return Notify(StatusChange(status, reason, attempt, retry_at, code))


class Chat:
    """A machine and its clock, with short words for what the tests do to it."""

    def __init__(
        self,
        *,
        dialect: str = "chatlab",
        uniform: Callable[[], float] = lambda: 0.0,
        jitter: str = "none",
        **settings: Any,
    ) -> None:
        reconnect = settings.pop("reconnect", {})
        if isinstance(reconnect, dict):
            settings["reconnect"] = ReconnectConfig(jitter=jitter, **reconnect)  # type: ignore[arg-type]
        else:
            settings["reconnect"] = reconnect
        config = WebSocketConfig(url="ws://h/ws", sender="ada", dialect=dialect, **settings)
        self.machine = WebSocketMachine(config, find_dialect(dialect), uniform)
        self.now = 0.0
        self.link = 0

    def do(self, event: Event, at: float | None = None) -> list[Effect]:
        self.now = self.now if at is None else at
        effects = list(self.machine.handle(event, self.now))
        self.link = max(
            [self.link, *(effect.link for effect in effects if isinstance(effect, OpenWebSocket))]
        )
        return effects

    @property
    def state(self) -> str:
        return self.machine.state

    def tick(self, at: float | None = None) -> list[Effect]:
        """Let the deadline come."""
        due = self.machine.deadline if at is None else at
        assert due < inf
        return self.do(Tick(), due)

    def connect(self) -> list[Effect]:
        return self.do(Connect())

    def open(self, at: float | None = None) -> list[Effect]:
        return self.do(Opened(self.link), at)

    def online(self) -> Chat:
        self.connect()
        self.open()
        return self

    def close(
        self, failure: Failure | str = "reset", code: int | None = None, at: float | None = None
    ) -> list[Effect]:
        if not isinstance(failure, Failure):
            failure = Failure(failure, code)  # type: ignore[arg-type]
        return self.do(Closed(self.link, failure), at)

    def hear(self, frame: Any, at: float | None = None) -> list[Effect]:
        """Receive a frame: text, bytes, or a plain value as JSON."""
        if isinstance(frame, bytes):
            return self.do(ReceivedBytes(self.link, frame), at)
        return self.do(Received(self.link, frame if isinstance(frame, str) else json.dumps(frame)), at)

    def submit(self, *ids: str, text: str = "hi") -> list[Effect]:
        return [effect for id in ids for effect in self.do(Submit(outgoing(id, text)))]

    def ack(self, id: str) -> list[Effect]:
        return self.hear({"type": "ack", "client_id": id})


def message(id: str, sender: str = "bob", **more: Any) -> dict[str, Any]:
    return {"type": "message", "id": id, "sender": sender, "text": "yo"} | more


def frames(effects: Sequence[Effect]) -> list[str]:
    return [effect.data for effect in effects if isinstance(effect, Send)]


def sent_ids(effects: Sequence[Effect]) -> list[str]:
    decoded = [json.loads(frame) for frame in frames(effects)]
    return [frame["client_id"] for frame in decoded if frame["type"] == "message"]


def settled(effects: Sequence[Effect]) -> list[tuple[str, DeliveryState]]:
    return [(effect.client_id, effect.state) for effect in effects if isinstance(effect, Settle)]


def delivered(effects: Sequence[Effect]) -> list[ChatEvent]:
    return [effect.event for effect in effects if isinstance(effect, Deliver)]


def changes(effects: Sequence[Effect]) -> list[StatusChange]:
    return [effect.change for effect in effects if isinstance(effect, Notify)]


def queries(effects: Sequence[Effect]) -> list[dict[str, str]]:
    return [effect.query for effect in effects if isinstance(effect, OpenWebSocket)]


# Every event in every state. What isn't in the table does nothing at all.


def idle() -> Chat:
    return Chat()


def failed() -> Chat:
    chat = connecting()
    chat.close("http", 403)
    return chat


def connecting() -> Chat:
    chat = Chat()
    chat.connect()
    return chat


def online() -> Chat:
    return Chat().online()


def draining() -> Chat:
    chat = online()
    chat.submit("m1")
    chat.do(Disconnect())
    return chat


def waiting() -> Chat:
    chat = connecting()
    chat.close("refused")
    return chat


STATES: dict[str, Callable[[], Chat]] = {
    "idle": idle,
    "failed": failed,
    "connecting": connecting,
    "online": online,
    "draining": draining,
    "waiting": waiting,
}
EVENTS: dict[str, Event] = {
    "Connect": Connect(),
    "Disconnect": Disconnect(),
    "Disconnect at once": Disconnect(drain=False),
    "Submit": Submit(outgoing("m9")),
    "Typing": Typing(),
    "Opened": Opened(1),
    "Opened stale": Opened(0),
    "Received": Received(1, json.dumps(message("e-1"))),
    "Received stale": Received(0, json.dumps(message("e-1"))),
    "ReceivedBytes": ReceivedBytes(1, msgspec.msgpack.encode(message("e-1", data=b"\0"))),
    "ReceivedBytes stale": ReceivedBytes(0, b"\0"),
    "Answered": Answered(1, Answer(200)),
    "Answered stale": Answered(0, Answer(200)),
    "Pong": Pong(1, 1),
    "Pong stale": Pong(0, 1),
    "Closed": Closed(1, Failure("reset")),
    "Closed stale": Closed(0, Failure("reset")),
    "Tick": Tick(),
}
YO = ChatMessage("e-1", "bob", "yo")
DELIVERED: list[Effect] = [Deliver(ChatEvent("message", YO, "bob"))]
DELIVERED_BYTES: list[Effect] = [
    Deliver(ChatEvent("message", ChatMessage("e-1", "bob", "yo", data=b"\0"), "bob"))
]
SENT_M9: list[Effect] = [Send(1, frame_of("m9")), Settle("m9", SENT)]
DIAL_1: list[Effect] = [status(CONNECTING), OpenWebSocket(1, FIRST)]
DIAL_2: list[Effect] = [status(CONNECTING), OpenWebSocket(2, FIRST)]
LOST: list[Effect] = [status(RECONNECTING, "reset", 1, 1.0)]

TABLE: dict[tuple[str, str], tuple[str, list[Effect]]] = {
    ("idle", "Connect"): ("connecting", DIAL_1),
    ("failed", "Connect"): ("connecting", DIAL_2),
    ("connecting", "Opened"): ("online", [status(CONNECTED)]),
    ("connecting", "Closed"): ("waiting", LOST),
    ("connecting", "Disconnect"): ("idle", [Close(1, 1006, "abandoned"), status(DISCONNECTED, GOODBYE)]),
    ("connecting", "Tick"): (
        "waiting",
        [
            Close(1, 1006, "connect timeout"),
            status(RECONNECTING, "timeout: no connection within 10 s", 1, 11.0),
        ],
    ),
    ("connecting", "Disconnect at once"): (
        "idle",
        [Close(1, 1006, "abandoned"), status(DISCONNECTED, GOODBYE)],
    ),
    ("online", "Disconnect"): ("idle", [Close(1), status(DISCONNECTED, GOODBYE)]),
    ("online", "Disconnect at once"): ("idle", [Close(1), status(DISCONNECTED, GOODBYE)]),
    ("online", "Submit"): ("online", SENT_M9),
    ("online", "Typing"): ("online", [Send(1, '{"type":"typing"}')]),
    ("online", "Received"): ("online", DELIVERED),
    ("online", "ReceivedBytes"): ("online", DELIVERED_BYTES),
    ("online", "Closed"): ("waiting", LOST),
    ("online", "Tick"): ("online", [Send(1, PING_1)]),
    ("draining", "Connect"): ("online", []),
    ("draining", "Disconnect at once"): ("idle", [Close(1), status(DISCONNECTED, GOODBYE)]),
    ("draining", "Submit"): ("draining", SENT_M9),
    ("draining", "Typing"): ("draining", [Send(1, '{"type":"typing"}')]),
    ("draining", "Received"): ("draining", DELIVERED),
    ("draining", "ReceivedBytes"): ("draining", DELIVERED_BYTES),
    ("draining", "Closed"): ("idle", [status(DISCONNECTED, "reset")]),
    ("draining", "Tick"): ("idle", [Close(1), status(DISCONNECTED, GOODBYE)]),
    ("waiting", "Disconnect"): ("idle", [status(DISCONNECTED, GOODBYE)]),
    ("waiting", "Disconnect at once"): ("idle", [status(DISCONNECTED, GOODBYE)]),
    ("waiting", "Tick"): ("connecting", [status(RECONNECTING, "trying again", 1), OpenWebSocket(2, FIRST)]),
}


def test_all_kinds_of_events_are_in_the_table() -> None:
    assert {type(event) for event in EVENTS.values()} == set(get_args(Event))


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_table(state: str, event: str) -> None:
    chat = STATES[state]()
    before = chat.state
    assert before == ("idle" if state == "failed" else state)
    deadline = chat.machine.deadline
    tick_at = deadline if event == "Tick" and deadline < inf else None
    effects = chat.do(EVENTS[event], tick_at)
    after, expected = TABLE.get((state, event), (before, []))
    assert (chat.state, effects) == (after, expected)
    if not expected and before == after:
        assert chat.machine.deadline == deadline


@pytest.mark.parametrize("state", STATES)
def test_early_ticks_do_nothing(state: str) -> None:
    chat = STATES[state]()
    deadline = chat.machine.deadline
    for at in (0.0, min(deadline, 1e6) - 1e-6, -3600.0):  # A32: even where the clock has stepped back
        assert chat.do(Tick(), at) == []
    assert chat.machine.deadline == deadline


@pytest.mark.parametrize(
    ("state", "deadline"),
    [
        ("idle", inf),
        ("failed", inf),
        ("connecting", 10.0),
        ("online", 30.0),
        ("draining", 0.75),
        ("waiting", 1.0),
    ],
)
def test_deadlines(state: str, deadline: float) -> None:
    assert STATES[state]().machine.deadline == deadline


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("idle", DISCONNECTED),
        ("failed", ERROR),
        ("connecting", CONNECTING),
        ("online", CONNECTED),
        ("draining", CONNECTED),
        ("waiting", RECONNECTING),
    ],
)
def test_statuses(state: str, expected: ConnectionStatus) -> None:
    assert STATES[state]().machine.status == expected


# Giving up, and coming back from it (SPEC §1: `error` means gave up; only connect() leaves it).


def test_A68_error_is_left_by_connect_alone_and_starts_afresh() -> None:
    chat = Chat(reconnect={"max_attempts": 1})
    chat.connect()
    chat.close()
    chat.tick()
    assert chat.close() == [status(ERROR, "gave up after 1 retry: reset", 1)]
    for event in EVENTS.values():
        if not isinstance(event, Connect | Submit):
            assert chat.do(event) == []
    assert chat.machine.status == ERROR
    assert chat.connect() == [status(CONNECTING), OpenWebSocket(3, FIRST)]
    assert changes(chat.close())[0].attempt == 1, "the attempts are counted from the start again"


def test_A68_connect_twice_is_one_connection() -> None:
    chat = Chat()
    links = [effect for _ in range(3) for effect in chat.connect() if isinstance(effect, OpenWebSocket)]
    assert len(links) == 1
    chat.open()
    assert chat.connect() == []


def test_A67_disconnect_twice_is_one_disconnect() -> None:
    for state, build in STATES.items():
        chat = build()
        effects = [*chat.do(Disconnect()), *chat.do(Disconnect())]
        count = 0 if state in ("idle", "failed", "draining") else 1
        assert [change.status for change in changes(effects)] == [DISCONNECTED] * count


# The table of failures (SPEC §2), as the machine acts on it.


def outcome(chat: Chat, failure: Failure) -> tuple[str, ConnectionStatus]:
    (change,) = changes(chat.close(failure))
    assert change.status == chat.machine.status
    assert change.code == failure.code
    assert str(failure) in change.reason
    return chat.state, change.status


RETRIED = [
    *(("close", code) for code in (1001, 1005, 1006, 1011, 1012, 1013, 1014, 4000)),
    *(("http", code) for code in (408, 425, 429, 500, 502, 503, 504)),
    *((kind, None) for kind in ("refused", "dns", "timeout", "reset")),
]
GIVEN_UP = [
    *(("close", code) for code in (1002, 1003, 1007, 1008, 1009, 1010, 4001, 4401, 4403, 4409, 4429, 4999)),
    *(("http", code) for code in (200, 301, 400, 401, 403, 404, 410, 426, 451)),
    *((kind, None) for kind in ("tls", "protocol")),
]


@pytest.mark.parametrize("state", [connecting, online])
@pytest.mark.parametrize(("kind", "code"), RETRIED)
def test_A13_A14_A17_A20_A24_retry(state: Callable[[], Chat], kind: Any, code: int | None) -> None:
    assert outcome(state(), Failure(kind, code)) == ("waiting", RECONNECTING)


@pytest.mark.parametrize("state", [connecting, online])
@pytest.mark.parametrize(("kind", "code"), GIVEN_UP)
def test_A15_A16_A17_A19_A22_A23_give_up(state: Callable[[], Chat], kind: Any, code: int | None) -> None:
    assert outcome(state(), Failure(kind, code, "why")) == ("idle", ERROR)


def test_A12_1000_from_the_server_is_the_end() -> None:
    chat = online()
    assert outcome(chat, Failure("close", 1000)) == ("idle", DISCONNECTED)
    assert chat.machine.deadline == inf


def test_A17_settings_override_the_table() -> None:
    chat = Chat(failures={"close 4429": "retry", "close 1012": "give up", "http 403": "stop"}).online()
    assert outcome(chat, Failure("close", 4429)) == ("waiting", RECONNECTING)
    chat.tick()
    assert outcome(chat, Failure("http", 403)) == ("idle", DISCONNECTED)
    chat.online()
    assert outcome(chat, Failure("close", 1012)) == ("idle", ERROR)


# SPEC §1, "Who may": a 401 or 4401 asks for new headers once.


def renewing(**settings: Any) -> Chat:
    return Chat(headers=lambda failure: {}, **settings)


@pytest.mark.parametrize("failure", [Failure("http", 401), Failure("close", 4401)])
def test_A17_A19_unauthorized_renews_the_headers_once_then_gives_up(failure: Failure) -> None:
    chat = renewing()
    chat.connect()
    assert chat.close(failure) == [
        status(RECONNECTING, f"{failure}; asking for new headers", 0, None, failure.code),
        OpenWebSocket(2, FIRST, failure),
    ]
    assert chat.state == "connecting"
    assert changes(chat.close(failure))[0].status == ERROR
    assert queries(chat.connect()) == [FIRST], "connect() may try once more"
    assert len(queries(chat.close(failure))) == 1


def test_A17_an_accepted_but_short_connection_does_not_renew_for_ever() -> None:
    chat = renewing().online()
    assert len(queries(chat.close("close", 4401, at=1.0))) == 1
    chat.open()
    assert changes(chat.close("close", 4401, at=2.0))[0].status == ERROR


def test_A17_after_a_stable_connection_a_token_may_be_renewed_again() -> None:
    chat = renewing().online()
    for at in (100.0, 200.0, 300.0):
        assert len(queries(chat.close("close", 4401, at=at))) == 1
        chat.open()


@pytest.mark.parametrize(
    "failure", [Failure("reset"), Failure("timeout"), Failure("http", 403), Failure("close", 1006)]
)
def test_other_failures_ask_for_no_new_headers(failure: Failure) -> None:
    chat = renewing()
    chat.connect()
    assert queries(chat.close(failure)) == []


def test_fixed_headers_cannot_be_renewed() -> None:
    chat = Chat(headers={"Authorization": "x"})
    chat.connect()
    assert [change.status for change in changes(chat.close("http", 401))] == [ERROR]


# Backoff, as the machine uses it.


def failures_until_error(chat: Chat, close: Callable[[], object]) -> list[float]:
    """The delays of all retries before it gave up."""
    delays: list[float] = []
    while True:
        close()
        if chat.machine.status == ERROR:
            return delays
        delays.append(chat.machine.deadline - chat.now)
        chat.tick()


def test_A24_ten_attempts_means_ten_retries_with_the_seeds_delays() -> None:
    chat = Chat(jitter="seed")
    chat.connect()
    assert failures_until_error(chat, lambda: chat.close("refused")) == [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
    assert chat.link == 11


def test_attempts_are_counted_in_every_change_of_status() -> None:
    chat = connecting()
    seen = []
    for _ in range(3):
        seen.extend(chat.close("refused"))
        seen.extend(chat.tick())
    seen.extend(chat.open())
    assert [(change.status, change.attempt, change.retry_at) for change in changes(seen)] == [
        (RECONNECTING, 1, 1.0),
        (RECONNECTING, 1, None),
        (RECONNECTING, 2, 3.0),
        (RECONNECTING, 2, None),
        (RECONNECTING, 3, 7.0),
        (RECONNECTING, 3, None),
        (CONNECTED, 3, None),
    ]


def test_without_a_limit_it_tries_for_ever() -> None:
    chat = Chat(reconnect={"max_attempts": None})
    chat.connect()
    for _ in range(2000):
        chat.close("refused")
        assert chat.machine.deadline - chat.now <= 30
        chat.tick()
    assert chat.link == 2001


@pytest.mark.parametrize(
    ("settings", "reason"), [({"enabled": False}, "0 retries"), ({"max_attempts": 0}, "0 retries")]
)
def test_reconnect_disabled(settings: dict[str, Any], reason: str) -> None:
    chat = Chat(reconnect=settings).online()
    (change,) = changes(chat.close())
    assert (change.status, change.reason) == (ERROR, f"gave up after {reason}: reset")


def test_A25_attempts_are_reset_only_after_stable_after() -> None:
    chat = connecting()

    def accept_then_close() -> None:
        chat.open()
        chat.close("close", 1006, at=chat.now + 4.999)

    assert len(failures_until_error(chat, accept_then_close)) == 10
    chat = connecting()
    for _ in range(30):
        chat.open()
        chat.close("close", 1006, at=chat.now + 5.0)
        assert chat.machine.deadline - chat.now == 1.0
        chat.tick()


def test_A20_retry_after_is_waited_for() -> None:
    chat = connecting()
    (change,) = changes(chat.close(Failure("http", 503, retry_after=45.0)))
    assert change.retry_at == chat.machine.deadline == 45.0


def test_A26_the_first_delay_and_the_capped_one_are_spread() -> None:
    chats = [Chat(jitter="full", uniform=lambda n=n: n / 10) for n in range(10)]  # type: ignore[misc]
    for attempt, most in ((0, 1.0), (1, 2.0)):
        for chat in chats:
            chat.do(Connect(), 0.0) if not attempt else chat.tick()
            chat.close(at=100.0 * attempt)
        assert [chat.machine.deadline - chat.now for chat in chats] == pytest.approx(
            [n * most / 10 for n in range(10)]
        )


def test_A22_connect_timeout() -> None:
    chat = Chat(connect_timeout=3.0)
    chat.do(Connect(), 100.0)
    assert chat.machine.deadline == 103.0
    assert chat.tick(102.9) == []
    timeout = [
        Close(1, 1006, "connect timeout"),
        status(RECONNECTING, "timeout: no connection within 3 s", 1, 104.0),
    ]
    assert chat.tick() == timeout
    assert chat.do(Opened(1)) == [], "too late"
    assert chat.state == "waiting"


def test_links_are_never_reused() -> None:
    chat = Chat(reconnect={"max_attempts": None})
    links = []
    for _ in range(3):
        links += [effect.link for effect in chat.connect() if isinstance(effect, OpenWebSocket)]
        chat.open()
        chat.close()
        links += [effect.link for effect in chat.tick() if isinstance(effect, OpenWebSocket)]
        chat.do(Disconnect())
    assert links == [1, 2, 3, 4, 5, 6]


# Heartbeat (SPEC §2).


def test_A27_pong_timeout() -> None:
    chat = online()
    assert chat.tick() == [Send(1, PING_1)]
    assert chat.now == 30.0
    assert chat.tick() == [
        Close(1, 4000, "Pong timeout"),
        status(RECONNECTING, "closed 4000: Pong timeout", 1, 41.0, 4000),
    ]
    assert chat.now == 40.0


def test_A27_heartbeat_timeout_where_the_timeout_is_the_longer() -> None:
    chat = Chat(heartbeat=HeartbeatConfig(interval=10.0, timeout=15.0)).online()
    assert frames(chat.tick()) == [PING_1]
    assert chat.tick()[0] == Close(1, 4000, "Heartbeat timeout")
    assert chat.now == 20.0


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "pong", "id": 1},
        {"type": "pong", "id": 77},
        {"type": "ping", "id": 5},
        {"type": "typing", "sender": "bob"},
        {"type": "ack", "client_id": "ghost"},
        message("e-1"),
        "nonsense",
        b"\xc1",
    ],
    ids=str,
)
def test_A28_any_frame_counts_as_life(frame: Any) -> None:
    chat = online()
    chat.tick()
    chat.hear(frame, at=39.9)
    assert chat.machine.deadline == 60.0
    assert chat.tick(40.0) == []
    assert frames(chat.tick()) == ['{"type":"ping","id":2}']


def test_A28_a_frame_of_another_link_is_no_life() -> None:
    chat = online()
    chat.tick()
    chat.do(Received(0, '{"type":"pong","id":1}'), 39.0)
    chat.do(Pong(0, 1), 39.0)
    assert chat.machine.deadline == 40.0


def test_A30_round_trip_time() -> None:
    chat = online()
    assert chat.machine.rtt is None
    chat.hear({"type": "pong", "id": 1}, at=1.0)
    assert chat.machine.rtt is None, "a pong before the ping"
    chat.tick()
    chat.hear(message("e-1"), at=30.1)
    chat.hear({"type": "pong", "id": 1}, at=30.25)
    assert chat.machine.rtt == 0.25
    chat.hear({"type": "pong", "id": 1}, at=33.0)
    assert chat.machine.rtt == 0.25
    chat.tick()
    chat.hear({"type": "pong", "id": 1}, at=61.0)
    assert chat.machine.rtt == 0.25, "a pong for an old ping"


def test_A31_a_heartbeat_dies_with_its_connection() -> None:
    """The seed's flaw: after one stall, every later healthy connection is closed at its first beat."""
    chat = online()
    chat.tick()
    chat.tick()  # pong timeout at 40
    assert chat.machine.deadline == 41.0
    chat.tick()
    chat.open()
    assert chat.machine.deadline == 71.0
    for n in range(1, 6):
        assert frames(chat.tick()) == [f'{{"type":"ping","id":{n}}}']
        chat.hear({"type": "pong", "id": n})
    assert (chat.state, chat.link) == ("online", 2)


def test_A31_no_timer_is_left_when_idle() -> None:
    chat = online()
    chat.tick()
    chat.do(Disconnect())
    assert chat.machine.deadline == inf
    assert chat.do(Tick(), 1e9) == []


def test_A29_ping_frames() -> None:
    chat = Chat(heartbeat=HeartbeatConfig(mode="ping")).online()
    assert chat.tick() == [Ping(1, 1)]
    chat.do(Pong(1, 1), 30.5)
    assert (chat.machine.rtt, chat.machine.deadline) == (0.5, 60.0)
    assert chat.tick() == [Ping(1, 2)]
    chat.do(Pong(1, 1))
    assert chat.machine.rtt == 0.5
    assert chat.machine.deadline == 90.0


@pytest.mark.parametrize("settings", [HeartbeatConfig(mode="none"), HeartbeatConfig(enabled=False)])
def test_A29_no_heartbeat(settings: HeartbeatConfig) -> None:
    chat = Chat(heartbeat=settings).online()
    assert chat.machine.deadline == inf
    chat.hear(message("e-1"))
    chat.hear({"type": "pong", "id": 1})
    assert chat.do(Pong(1, 1)) == []
    assert chat.do(Tick(), 1e9) == []
    assert chat.machine.rtt is None


@pytest.mark.parametrize(
    ("mode", "code", "ping_open", "hint"),
    [
        ("json", 1008, True, True),
        ("json", 1003, True, True),
        ("json", 1008, False, False),
        ("json", 1011, True, False),
        ("ping", 1008, True, False),
    ],
)
def test_A29_a_1008_right_after_the_json_ping_names_the_cause(
    mode: Any, code: int, ping_open: bool, hint: bool
) -> None:
    chat = Chat(heartbeat=HeartbeatConfig(mode=mode)).online()
    if ping_open:
        chat.tick()
    (change,) = changes(chat.close("close", code))
    assert ("HeartbeatConfig(mode='ping')" in change.reason) == hint


def test_A29_no_hint_without_a_heartbeat_or_a_connection() -> None:
    quiet = Chat(heartbeat=HeartbeatConfig(enabled=False)).online()
    for chat in (quiet, connecting()):
        (change,) = changes(chat.close("close", 1008))
        assert change.reason == "closed 1008"


def test_A30_a_servers_ping_is_answered_once_and_a_flood_is_not_doubled() -> None:
    chat = online()
    assert frames(chat.hear({"type": "ping", "id": 5}, at=1.0)) == ['{"type":"pong","id":5}']
    answers = [answer for _ in range(1000) for answer in chat.hear({"type": "ping", "id": 6})]
    assert answers == []
    assert frames(chat.hear({"type": "ping", "id": 7}, at=1.0 + PONG_GAP)) == ['{"type":"pong","id":7}']


# The ledger (SPEC §1).


@pytest.mark.parametrize("state", ["idle", "failed", "connecting", "waiting"])
def test_A64_what_is_sent_before_a_connection_is_queued_in_order(state: str) -> None:
    chat = STATES[state]()
    assert chat.submit("a", "b", "c") == []
    assert (chat.machine.queued, chat.machine.unsettled) == (3, 3)
    if state in ("idle", "failed"):
        chat.connect()
    if state == "waiting":
        chat.tick()
    effects = chat.open()
    assert effects[0] == status(CONNECTED, attempt=1 if state == "waiting" else 0)
    assert effects[1:] == [
        effect for id in "abc" for effect in (Send(chat.link, frame_of(id)), Settle(id, SENT))
    ]
    assert (chat.machine.queued, chat.machine.unsettled) == (0, 3)


def test_an_ack_settles() -> None:
    chat = online()
    chat.submit("a", "b")
    assert chat.ack("b") == [Settle("b", ACKED)]
    assert chat.ack("b") == [], "once"
    assert chat.ack("ghost") == []
    assert chat.machine.unsettled == 1


def test_A53_a_message_that_comes_back_to_its_sender_is_its_ack() -> None:
    chat = online()
    chat.submit("a")
    echo = message("e-1", sender="ada", client_id="a")
    effects = chat.hear(echo)
    assert settled(effects) == [("a", ACKED)]
    assert [event.message for event in delivered(effects)] == [ChatMessage("e-1", "ada", "yo", "a")]
    assert chat.hear(echo) == [], "shown once"


def test_somebody_elses_message_with_the_same_id_is_no_ack() -> None:
    chat = online()
    chat.submit("a")
    assert settled(chat.hear(message("e-1", sender="bob", client_id="a"))) == []
    assert chat.machine.unsettled == 1


def test_a_replayed_echo_acks_even_what_was_seen_before() -> None:
    chat = online()
    chat.hear(message("e-1", sender="ada", client_id="a"))
    chat.submit("a")
    effects = chat.hear(message("e-1", sender="ada", client_id="a"))
    assert (settled(effects), delivered(effects)) == ([("a", ACKED)], [])


def test_A51_a_refusal_fails_that_message_only() -> None:
    chat = online()
    chat.submit("a", "b")
    nack = {"type": "nack", "client_id": "a", "status": 413, "reason": "too long"}
    assert chat.hear(nack) == [Settle("a", FAILED, "too long", 413)]
    assert chat.hear(nack) == []
    assert settled(chat.ack("b")) == [("b", ACKED)]


def test_what_was_never_sent_cannot_be_acked() -> None:
    chat = Chat(outbox=OutboxConfig(max_in_flight=1)).online()
    chat.submit("a", "b")
    assert chat.ack("b") == []
    assert settled(chat.ack("a")) == [("a", ACKED), ("b", SENT)]


def test_A66_unacked_messages_are_resent_first_in_order_with_the_same_ids() -> None:
    chat = online()
    chat.submit("a", "b", "c")
    chat.ack("b")
    chat.close()
    chat.submit("d")
    chat.tick()
    effects = chat.open()
    assert sent_ids(effects) == ["a", "c", "d"]
    assert frames(effects)[0] == frame_of("a")
    chat.close()
    chat.tick()
    assert sent_ids(chat.open()) == ["a", "c", "d"]


def test_A66_an_ack_from_the_old_link_is_not_believed() -> None:
    chat = online()
    chat.submit("a")
    chat.close()
    chat.tick()
    old = json.dumps({"type": "ack", "client_id": "a"})
    assert chat.do(Received(1, old)) == []
    chat.open()
    assert chat.do(Received(1, old)) == []
    assert chat.machine.unsettled == 1


def test_the_window_bounds_what_is_in_flight() -> None:
    chat = Chat(outbox=OutboxConfig(max_in_flight=2)).online()
    assert sent_ids(chat.submit("a", "b", "c", "d")) == ["a", "b"]
    assert chat.machine.queued == 2
    assert sent_ids(chat.ack("a")) == ["c"]


def test_a_duplicate_submission_is_refused() -> None:
    chat = idle()
    chat.submit("a")
    assert chat.submit("a") == [Refuse("a", "duplicate")]
    chat.online()
    assert chat.submit("a") == [Refuse("a", "duplicate")]
    assert chat.machine.unsettled == 1


def test_A65_drop_oldest_tells() -> None:
    chat = Chat(outbox=OutboxConfig(max_size=2))
    assert chat.submit("a", "b") == []
    assert chat.submit("c") == [Settle("a", DROPPED, "the outbox is full")]
    assert sent_ids(chat.online().submit()) == []
    assert chat.machine.unsettled == 2


def test_A65_drop_newest_tells() -> None:
    chat = Chat(outbox=OutboxConfig(max_size=2, overflow="drop-newest"))
    assert chat.submit("a", "b", "c") == [Settle("c", DROPPED, "the outbox is full")]
    chat.connect()
    assert sent_ids(chat.open()) == ["a", "b"]


@pytest.mark.parametrize("overflow", ["reject", "wait"])
def test_A65_reject_and_wait_refuse(overflow: Any) -> None:
    chat = Chat(outbox=OutboxConfig(max_size=1, overflow=overflow))
    assert chat.machine.accepts(outgoing("a"))
    chat.submit("a")
    assert not chat.machine.accepts(outgoing("b"))
    assert chat.submit("b") == [Refuse("b", "full")]
    chat.connect()
    assert sent_ids(chat.open()) == ["a"]
    assert chat.machine.accepts(outgoing("b"))


def test_A65_bytes_count() -> None:
    chat = Chat(outbox=OutboxConfig(max_bytes=4))
    assert chat.submit("a", text="éé") == []
    assert settled(chat.submit("b", text="x")) == [("a", DROPPED)]


def test_a_drop_leaves_what_is_in_flight_alone() -> None:
    chat = Chat(outbox=OutboxConfig(max_size=1)).online()
    chat.submit("a", "b")
    chat.close()
    assert settled(chat.submit("c", "d")) == [("c", DROPPED)]
    chat.tick()
    assert sent_ids(chat.open()) == ["a", "b", "d"]


@pytest.mark.parametrize("state", ["idle", "connecting", "waiting"])
def test_what_waits_too_long_expires_in_every_state(state: str) -> None:
    chat = Chat(outbox=OutboxConfig(max_age=0.5))
    if state != "idle":
        chat.connect()
    if state == "waiting":
        chat.close()
    chat.submit("a")
    assert chat.machine.deadline == 0.5
    assert chat.tick() == [Settle("a", EXPIRED, "waited longer than 0.5 s")]
    assert chat.state == state
    assert chat.machine.unsettled == 0


def test_what_is_in_flight_does_not_expire_while_online() -> None:
    chat = Chat(outbox=OutboxConfig(max_age=5.0)).online()
    chat.submit("a")
    assert settled(chat.tick()) == []
    chat.hear("", at=31.0)
    assert settled(chat.close(at=32.0)) == []
    assert settled(chat.tick()) == [("a", EXPIRED)]


def test_bytes_go_as_a_binary_frame() -> None:
    chat = online()
    send, settle = chat.do(Submit(OutgoingMessage(data=b"\0\xff", client_id="a")))
    assert isinstance(send, SendBytes)
    assert msgspec.msgpack.decode(send.data) == {"type": "message", "data": b"\0\xff", "client_id": "a"}
    assert settle == Settle("a", SENT)


# Resume (SPEC §1).


def reconnected(chat: Chat) -> dict[str, str]:
    """The query of the next connection."""
    chat.close()
    (query,) = queries(chat.tick())
    return query


@pytest.mark.parametrize(("history", "query"), [(50, {"history": "50"}), (0, {"history": "0"}), (None, {})])
def test_a_first_connection_asks_for_history(history: int | None, query: dict[str, str]) -> None:
    assert queries(Chat(history=history).connect()) == [{"room": "lobby", "sender": "ada"} | query]


def test_every_reconnect_asks_for_what_came_after_the_last_message() -> None:
    chat = online()
    chat.hear(message("e-7"))
    chat.hear(message("e-8"))
    after = {"room": "lobby", "sender": "ada", "after": "e-8"}
    assert reconnected(chat) == after
    chat.open()
    chat.do(Disconnect())
    assert queries(chat.connect()) == [after], "after a disconnect too"


def test_a_first_connection_can_resume_where_another_transport_stood() -> None:
    chat = Chat(after="e-8", history=50)
    assert queries(chat.connect()) == [{"room": "lobby", "sender": "ada", "after": "e-8"}]
    chat.open()
    chat.hear({"type": "welcome", "cursor": "e-8"})
    chat.hear(message("e-9"))
    assert reconnected(chat)["after"] == "e-9"


def test_A62_what_comes_again_is_not_shown_again_nor_moves_the_cursor_back() -> None:
    chat = online()
    for id in ("e-1", "e-2", "e-1"):
        effects = chat.hear(message(id))
    assert effects == []
    assert reconnected(chat)["after"] == "e-2"
    chat.open()
    assert chat.hear(message("e-2")) == []
    assert len(delivered(chat.hear(message("e-3")))) == 1


def test_A62_10_000_ids_are_remembered() -> None:
    chat = online()
    for n in range(10_000):
        chat.hear(message(f"{n}"))
    assert chat.hear(message("0")) == []
    chat.hear(message("10000"))
    assert len(delivered(chat.hear(message("0")))) == 1


def test_A63_ids_are_opaque() -> None:
    chat = online()
    ids = ["9", "10", "1", "01", "é", "9" * 20]
    assert [
        event.message.id for id in ids for event in delivered(chat.hear(message(id))) if event.message
    ] == ids
    assert reconnected(chat)["after"] == "9" * 20


def test_a_welcome_tells_a_newcomer_where_it_stands() -> None:
    chat = online()
    assert chat.hear({"type": "welcome", "cursor": "e-40"}) == []
    assert reconnected(chat)["after"] == "e-40"
    chat.open()
    chat.hear(message("e-41"))
    chat.hear({"type": "welcome", "cursor": "e-40"})
    assert reconnected(chat)["after"] == "e-41", "and moves nobody back who stands somewhere already"


def test_A60_A63_a_resync_is_told_and_the_cursor_follows_the_server() -> None:
    chat = online()
    chat.hear(message("e-7"))
    (event,) = delivered(chat.hear({"type": "welcome", "cursor": "f-0", "resync": True}))
    assert event.type == "resync"
    assert event.reason
    assert reconnected(chat)["after"] == "f-0"


# Events, and what makes no sense.


def test_other_events_pass() -> None:
    chat = online()
    effects = chat.hear({"type": "typing", "sender": "bob"})
    assert effects == [Deliver(ChatEvent("typing", sender="bob", payload={"sender": "bob"}))]


@pytest.mark.parametrize(
    "frame",
    [
        "hello",
        "",
        "null",
        "3",
        '"x"',
        "[]",
        "{}",
        '{"type":"message","id":true}',
        '{"type":"ping","id":1.0}',
        '{"type":"x","a":NaN}',
        '{"type":"x","a":1e400}',
        "[" * 100_000,
        '{"type":"x","a":' + "9" * 5000 + "}",
        '{"type":"x","a":"\\ud800"}',
        '{"type":"\ud800"}',
        b"\xc1",
        b"",
        b"\x91" * 100_000,
    ],
    ids=lambda frame: repr(frame)[:24].encode("ascii", "replace").decode(),
)
def test_A02_A03_A04_A05_A06_what_makes_no_sense_is_visible_and_harmless(frame: str | bytes) -> None:
    chat = online()
    (event,) = delivered(chat.hear(frame))
    assert event.type == "unreadable"
    assert event.reason
    assert len(event.payload) < 1000
    assert len(delivered(chat.hear(message("e-1")))) == 1
    assert chat.state == "online"


def test_typing_is_told_only_while_connected() -> None:
    assert frames(online().do(Typing())) == ['{"type":"typing"}']
    assert Chat(dialect="text").online().do(Typing()) == []


# Disconnecting: what can still be sent is (SPEC §1).


def test_A67_disconnect_waits_for_acks_then_closes_with_1000() -> None:
    chat = online()
    chat.submit("a", "b")
    assert chat.do(Disconnect(), 10.0) == []
    assert chat.state == "draining"
    assert chat.ack("a") == [Settle("a", ACKED)]
    assert chat.ack("b") == [Settle("b", ACKED), Close(1, 1000), status(DISCONNECTED, GOODBYE)]
    assert chat.machine.deadline == inf


def test_A67_disconnect_waits_no_longer_than_the_drain_timeout() -> None:
    chat = online()
    chat.submit("a")
    chat.do(Disconnect(), 10.0)
    chat.do(Disconnect(), 10.5)
    assert chat.machine.deadline == 10.75
    assert chat.tick() == [Close(1, 1000), status(DISCONNECTED, GOODBYE)]
    assert chat.machine.unsettled == 1, "what is unsettled is kept"
    chat.connect()
    assert sent_ids(chat.open()) == ["a"]


def test_a_refusal_ends_the_drain_as_well() -> None:
    chat = draining()
    effects = chat.hear({"type": "nack", "client_id": "m1", "status": 422})
    assert settled(effects) == [("m1", FAILED)]
    assert chat.state == "idle"


def test_draining_without_time_closes_at_once() -> None:
    chat = Chat(drain_timeout=0.0).online()
    chat.submit("a")
    assert chat.do(Disconnect())[0] == Close(1, 1000)


def test_a_drain_sends_what_the_window_held_back() -> None:
    chat = Chat(outbox=OutboxConfig(max_in_flight=1)).online()
    chat.submit("a", "b")
    chat.do(Disconnect())
    assert sent_ids(chat.ack("a")) == ["b"]
    assert chat.state == "draining"
    assert chat.ack("b")[-1] == status(DISCONNECTED, GOODBYE)


def test_a_drain_ends_when_its_last_message_expires() -> None:
    chat = Chat(outbox=OutboxConfig(max_in_flight=1, max_age=0.5)).online()
    chat.submit("a", "b")
    chat.do(Disconnect())
    assert settled(chat.tick()) == [("b", EXPIRED)]
    assert chat.ack("a")[-1] == status(DISCONNECTED, GOODBYE)
    chat = Chat(outbox=OutboxConfig(max_in_flight=1, max_age=0.5)).online()
    chat.submit("a", "b")
    chat.ack("a")
    assert settled(chat.ack("b")) == [("b", ACKED)]


def test_A67_a_drain_that_loses_its_connection_does_not_reconnect() -> None:
    chat = draining()
    assert chat.close("close", 1006) == [status(DISCONNECTED, "closed 1006", code=1006)]
    assert chat.machine.deadline == inf
    chat.connect()
    assert sent_ids(chat.open()) == ["m1"]


def test_A67_a_dead_path_ends_the_drain() -> None:
    chat = Chat(drain_timeout=100.0).online()
    chat.submit("a")
    chat.do(Disconnect())
    chat.tick()
    assert chat.tick() == [
        Close(1, 4000, "Pong timeout"),
        status(DISCONNECTED, "closed 4000: Pong timeout", code=4000),
    ]


def test_connect_calls_a_drain_off() -> None:
    chat = draining()
    chat.connect()
    assert (chat.state, chat.machine.deadline) == ("online", 30.0)
    chat.ack("m1")
    assert chat.state == "online"


# A server without acks (SPEC §7): `sent` is the last state.


def test_text_dialect() -> None:
    chat = Chat(dialect="text")
    assert queries(chat.connect()) == [{}]
    chat.open()
    assert chat.submit("a") == [Send(1, "hi"), Settle("a", SENT)]
    assert chat.machine.unsettled == 0
    for _ in range(2):  # the same words twice are two messages
        assert [event.message for event in delivered(chat.hear("hi"))] == [ChatMessage("", "server", "hi")]
    assert chat.tick() == [Ping(1, 1)]
    chat.submit("b")
    assert chat.do(Disconnect())[0] == Close(1, 1000), "nothing to wait for"
    chat.connect()
    assert sent_ids(chat.open()) == [], "and nothing to resend"
