"""Fallback: the best transport that works, and a better one probed beside it (SPEC §6)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatlab.dialects import find_dialect
from chatlab.dialects.base import Answer
from chatlab.messages import ConnectionStatus, OutgoingMessage
from chatlab.settings import (
    FallbackConfig,
    HeartbeatConfig,
    LongPollingConfig,
    OutboxConfig,
    ReconnectConfig,
    ShortPollingConfig,
    SSEConfig,
    WebSocketConfig,
)
from chatlab.transports.factory import make_machine
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Connect,
    Deliver,
    Disconnect,
    Effect,
    Failure,
    Fetch,
    Opened,
    OpenWebSocket,
    Pinged,
    Pong,
    Received,
    ReceivedBytes,
    Refuse,
    Send,
    Settle,
    Submit,
    Tick,
    Typing,
)
from tests.dialects.greeting import GreetingDialect
from tests.transports.http_chat import (
    ACKED,
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    ERROR,
    EXPIRED,
    RECONNECTING,
    SENT,
    Chat,
    changes,
    delivered,
    event,
    fetched,
    message,
    posted_ids,
    settled,
    shown_ids,
    status,
    statuses,
)

WELCOME = {"type": "welcome", "cursor": "e-0"}
GOODBYE = status(DISCONNECTED, "asked to disconnect")


def test_a_transport_works_only_once_its_server_has_let_the_reader_in() -> None:
    config = WebSocketConfig(
        url="ws://h", dialect=GreetingDialect(), reconnect=ReconnectConfig(jitter="none")
    )
    second = LongPollingConfig(url="http://h", dialect=config.dialect, reconnect=config.reconnect)
    chat = Chat(FallbackConfig(transports=(config, second), attempts_per_transport=1))
    chat.connect()
    chat.opened()
    assert [type(effect) for effect in chat.hear(WELCOME)] == [Send]
    assert chat.machine.state == "trying 1"
    chat.hear({"type": "pong", "id": 0})
    assert (chat.machine.state, chat.machine.status) == ("working 1", CONNECTED)
    chat.fail("websocket")
    chat.answer("poll", 200, [])
    chat.answer("csrf")
    chat.answer("post", 204)
    assert chat.machine.state == "trying 2"
    chat.tick()
    chat.answer("poll", 200, [])
    assert (chat.machine.state, chat.machine.status) == ("working 2", CONNECTED)


def fallback(*, kinds: str = "wslp", reconnect: dict[str, Any] | None = None, **settings: Any) -> Chat:
    """Return a chat over some of WebSocket (w), SSE (s), long (l) and short polling (p), without jitter."""
    common: dict[str, Any] = {
        name: settings.pop(name) for name in ("outbox", "headers", "drain_timeout") if name in settings
    }
    common |= {"sender": "ada", "reconnect": ReconnectConfig(**{"jitter": "none", **(reconnect or {})})}
    made = {
        "w": WebSocketConfig(url="ws://h", heartbeat=HeartbeatConfig(interval=1e6), **common),
        "s": SSEConfig(url="http://h", idle_timeout=1e6, **common),
        "l": LongPollingConfig(url="http://h", timeout=1e6, **common),
        "p": ShortPollingConfig(url="http://h", **common),
    }
    return Chat(FallbackConfig(transports=tuple(made[kind] for kind in kinds), **settings))


def receiving(chat: Chat) -> list[str]:
    return [purpose for purpose in chat.purposes() if purpose not in ("post", "csrf")]


def fail(chat: Chat, failure: Failure | None = None, times: int = 1) -> list[Effect]:
    """End the last receiving link `times` times, each time after its retry."""
    effects: list[Effect] = []
    for _ in range(times):
        while not receiving(chat):
            effects += chat.tick()
        link = max(
            link
            for link, opening in chat.open.items()
            if isinstance(opening, OpenWebSocket) or opening.purpose in ("stream", "poll")
        )
        effects += chat.do(Closed(link, failure or Failure("refused")))
    return effects


def on_sse(**settings: Any) -> Chat:
    """Return a chat whose WebSocket doesn't work and whose SSE does, with its token."""
    chat = fallback(**settings)
    chat.connect()
    fail(chat, times=chat.machine._config.attempts_per_transport)
    chat.do(Opened(chat.link("stream"), "text/event-stream"))
    chat.stream('data: {"type":"welcome","cursor":"e-0"}\n\n')
    return chat.held()


def probing(**settings: Any) -> Chat:
    """Return a chat as `on_sse`, with a probe of the WebSocket in progress."""
    chat = on_sse(**settings)
    chat.tick()
    assert chat.machine.state == "working 2 + probe"
    return chat


def welcome(chat: Chat) -> list[Effect]:
    """Open the probe's WebSocket, and receive its first frame."""
    chat.do(Opened(chat.link("websocket")))
    return chat.hear(WELCOME)


# One after the other


def test_the_first_that_works_is_used() -> None:
    chat = fallback()
    assert chat.machine.state == "idle"
    assert statuses(chat.connect()) == [CONNECTING]
    assert chat.machine.state == "trying 1"
    assert statuses(chat.opened()) == [CONNECTED]
    assert chat.machine.state == "trying 1", "it may still be deaf"
    chat.hear(WELCOME)
    assert (chat.machine.state, chat.machine.kind) == ("working 1", "WebSocketConfig")
    assert chat.machine.deadline == 1e6, "there is nothing better to try"


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_after_its_tries_a_transport_is_left_for_the_next(attempts: int) -> None:
    chat = fallback(attempts_per_transport=attempts)
    chat.connect()
    fail(chat, times=attempts - 1)
    assert chat.machine.state == "trying 1"
    effects = fail(chat)
    assert (chat.machine.state, receiving(chat)) == ("trying 2", ["stream"])
    assert changes(effects)[-1].status is RECONNECTING
    assert changes(effects)[-1].reason == "WebSocket doesn't work (refused); trying SSE"


def test_a_transport_that_gives_up_is_left_at_once() -> None:
    chat = fallback()
    chat.connect()
    effects = fail(chat, Failure("http", 404))
    why = "HTTP 404; the 'chatlab' dialect asks for a WebSocket: try another dialect or address"
    assert effects[:1] == [status(RECONNECTING, f"WebSocket doesn't work ({why}); trying SSE", 1, None, 404)]
    assert fetched(effects) == ["stream"]


def test_opened_is_not_yet_working() -> None:
    chat = fallback(attempts_per_transport=2)
    chat.connect()
    for _ in range(2):
        chat.opened()
        fail(chat)
        if receiving(chat) != ["stream"]:
            chat.tick()
    assert chat.machine.state == "trying 2"


def test_something_received_makes_the_tries_start_again() -> None:
    chat = fallback(attempts_per_transport=2, reconnect={"stable_after": 0.0})
    chat.connect()
    for _ in range(5):
        fail(chat)
        chat.tick()
        chat.opened()
        chat.hear(WELCOME)
    fail(chat)
    assert chat.machine.state == "working 1"
    fail(chat)
    assert chat.machine.state == "trying 2"


@pytest.mark.parametrize(
    ("purpose", "works"),
    [("bytes", True), ("post", False), ("csrf", False), ("refusal", False), ("nonsense", False)],
)
def test_only_data_for_the_receiver_shows_that_a_transport_works(purpose: str, works: bool) -> None:
    chat = fallback(kinds="sl")
    chat.connect()
    if purpose in ("refusal", "nonsense"):
        fail(chat, Failure("http", 404))
        chat.answer("poll", 503 if purpose == "refusal" else 200, b"<html>")
    else:
        chat.opened()
        if purpose == "bytes":
            chat.stream(":\n")
        else:
            chat.submit("a")
            chat.answer("csrf")
            if purpose == "post":
                chat.accept()
    assert chat.machine.state.startswith("working") == works


def test_a_pong_counts_as_received_data() -> None:
    chat = Chat(
        FallbackConfig(transports=(WebSocketConfig(url="ws://h", heartbeat=HeartbeatConfig(mode="ping")),))
    )
    chat.connect()
    chat.opened()
    chat.tick()
    chat.do(Pong(chat.link("websocket"), 1), chat.now + 0.25)
    assert (chat.machine.state, chat.machine.rtt) == ("working 1", 0.25)


def test_a_ping_of_the_server_counts_as_received_data() -> None:
    beat = HeartbeatConfig(mode="server")
    chat = Chat(FallbackConfig(transports=(WebSocketConfig(url="ws://h", heartbeat=beat),)))
    chat.connect()
    chat.opened()
    chat.do(Pinged(chat.link("websocket")), chat.now + 25.0)
    assert chat.machine.state == "working 1"


def test_all_kinds_of_transport_are_tried() -> None:
    chat = fallback(attempts_per_transport=1)
    chat.connect()
    seen = []
    for _ in range(4):
        seen.append((chat.machine.kind, receiving(chat)))
        fail(chat)
    assert seen == [
        ("WebSocketConfig", ["websocket"]),
        ("SSEConfig", ["stream"]),
        ("LongPollingConfig", ["poll"]),
        ("ShortPollingConfig", ["poll"]),
    ]


def test_after_the_last_comes_a_pause_and_the_first_again_with_growing_delays() -> None:
    chat = fallback(kinds="ws", attempts_per_transport=1, reconnect={"max_attempts": 3})
    chat.connect()
    pauses: list[float] = []
    while len(pauses) < 10:
        fail(chat, Failure("refused"))
        effects = fail(chat, Failure("dns"))
        if statuses(effects)[-1] is ERROR:
            break
        (change,) = changes(effects)
        assert (change.reason, change.retry_at) == ("SSE doesn't work (dns)", chat.machine.deadline)
        assert chat.machine.state == "waiting"
        pauses.append(chat.machine.deadline - chat.now)
        effects = chat.tick()
        assert changes(effects)[0].reason == "trying again"
        assert chat.machine.state == "trying 1"
    assert pauses == [1, 2, 4]
    assert (chat.machine.state, chat.machine.deadline) == ("idle", float("inf"))
    assert statuses(chat.connect()) == [CONNECTING]
    fail(chat, times=2)
    assert chat.machine.deadline - chat.now == 1, "and connect() begins anew"


def test_something_received_makes_the_pauses_start_again() -> None:
    chat = fallback(kinds="ws", attempts_per_transport=1, reconnect={"max_attempts": 1})
    chat.connect()
    for _ in range(3):
        fail(chat, times=2)
        assert chat.machine.state == "waiting"
        chat.tick()
        chat.opened()
        chat.hear(WELCOME)


@pytest.mark.parametrize("reconnect", [{"enabled": False}, {"max_attempts": 0}])
def test_without_reconnecting_each_is_tried_once(reconnect: dict[str, Any]) -> None:
    chat = fallback(reconnect=reconnect)
    chat.connect()
    effects = fail(chat, times=4)
    (change,) = changes(effects)[-1:]
    assert (change.status, chat.machine.state) == (ERROR, "idle")
    assert "ShortPolling doesn't work" in change.reason


def test_attempts_are_counted_over_all_transports() -> None:
    chat = fallback(kinds="ws", attempts_per_transport=2)
    chat.connect()
    effects = fail(chat, times=3)
    assert [(change.status, change.attempt) for change in changes(effects)] == [
        (RECONNECTING, 1),  # refused
        (RECONNECTING, 1),  # trying again
        (RECONNECTING, 2),  # SSE's turn
        (RECONNECTING, 3),
    ]
    assert [change.attempt for change in changes([*chat.tick(), *chat.opened()])] == [3, 3]


def test_a_fallback_shows_one_status_throughout() -> None:
    """Check the statuses: `connecting` once, and then `reconnecting` until it is connected."""
    chat = fallback(attempts_per_transport=1)
    effects = [*chat.connect(), *fail(chat, times=2)]
    effects += chat.answer("poll", 200, [])
    assert statuses(effects) == [CONNECTING, RECONNECTING, RECONNECTING, CONNECTED]


def test_new_headers_are_no_failure() -> None:
    chat = fallback(attempts_per_transport=1, headers=lambda failure: {})
    chat.connect()
    effects = fail(chat, Failure("http", 401))
    assert (statuses(effects), chat.machine.state) == ([RECONNECTING], "trying 1")
    fail(chat, Failure("http", 401))
    assert chat.machine.state == "trying 2"


def test_a_single_transport_is_as_if_there_were_no_fallback() -> None:
    chat = fallback(kinds="w", attempts_per_transport=1, reconnect={"max_attempts": 2})
    chat.connect()
    effects = fail(chat, times=3)
    assert statuses(effects)[-1] is ERROR
    assert chat.now == 3.0
    assert chat.machine.state == "idle"


@pytest.mark.parametrize("how", ["by the application", "1000", "204"])
def test_a_transport_that_is_disconnected_ends_it(how: str) -> None:
    if how == "by the application":
        chat = on_sse()
        effects = chat.disconnect()
    elif how == "1000":
        chat = fallback()
        effects = [*chat.connect(), *fail(chat, Failure("close", 1000))]
    else:
        chat = fallback(kinds="s")
        effects = [*chat.connect(), *chat.answer("stream", 204)]
    assert statuses(effects)[-1] is DISCONNECTED
    assert (chat.machine.state, chat.machine.deadline, chat.open) == ("idle", float("inf"), {})
    assert statuses(chat.connect()) == [CONNECTING]
    assert chat.machine.state == "trying 1"


# Nothing is lost, doubled or reordered


def test_the_outbox_goes_along() -> None:
    chat = fallback(attempts_per_transport=1)
    assert chat.submit("a") == []
    chat.connect()
    chat.opened()
    chat.submit("b")
    assert chat.machine.unsettled == 2
    effects = fail(chat)
    assert settled(effects) == [("a", SENT)], "resent first"
    assert posted_ids(chat.answer("csrf")) == ["a"]
    assert posted_ids(chat.accept()) == ["b"]
    assert chat.submit("b") == [Refuse("b", "duplicate")]
    post = chat.link("post")
    assert Close(post, 1006, "abandoned") in fail(chat, Failure("tls"))
    assert posted_ids(chat.answer("csrf")) == ["b"], "by the next transport, which needs a token of its own"
    assert chat.accept() == [Settle("b", ACKED)]


def test_the_cursor_goes_along() -> None:
    chat = fallback(attempts_per_transport=1)
    chat.connect()
    chat.opened()
    assert shown_ids(chat.hear(message("e-1"))) == ["e-1"]
    fail(chat)
    assert chat.request("stream").headers["Last-Event-ID"] == "e-1"
    chat.opened()
    assert shown_ids(chat.stream(event("e-1") + event("e-2"))) == ["e-2"]
    fail(chat)
    assert chat.request("poll").query["after"] == "e-2"


def test_while_waiting_messages_are_accepted_and_expire() -> None:
    chat = fallback(
        kinds="w" * 2,
        attempts_per_transport=1,
        outbox=OutboxConfig(max_age=0.5, max_size=1, overflow="reject"),
    )
    chat.connect()
    fail(chat, times=2)
    assert chat.machine.state == "waiting"
    assert chat.submit("a") == []
    assert chat.submit("b") == [Refuse("b", "full")]
    assert settled(chat.tick()) == [("a", EXPIRED)]
    assert chat.machine.state == "waiting"


def test_a_post_and_the_stream_that_time_out_at_once_leave_no_link() -> None:
    chat = fallback(kinds="sl", attempts_per_transport=1)
    chat.connect()
    chat.submit("a")
    effects = chat.tick()
    assert [effect.link for effect in effects if isinstance(effect, Close)] == [1, 2]
    assert sorted(chat.purposes()) == ["csrf", "poll"]


def test_events_of_an_abandoned_transport_do_nothing() -> None:
    chat = fallback(attempts_per_transport=1)
    chat.connect()
    chat.opened()
    fail(chat)
    for old in (
        Received(1, json.dumps(message("e-1"))),
        Closed(1, Failure("reset")),
        Opened(1),
        Answered(9, Answer(200)),
    ):
        assert chat.do(old) == []


# A better one beside it


def test_a_better_one_is_tried_beside_the_working_one() -> None:
    chat = on_sse(upgrade_after=60.0)
    since = chat.now
    assert chat.machine.deadline == since + 60
    (probe,) = chat.tick()
    assert isinstance(probe, OpenWebSocket)
    assert probe.query["after"] == "e-0"
    assert sorted(receiving(chat)) == ["stream", "websocket"]
    assert chat.machine.status is CONNECTED


def test_the_old_one_goes_on_until_the_new_one_works() -> None:
    chat = probing()
    assert shown_ids(chat.stream(event("e-1"))) == ["e-1"]
    assert posted_ids(chat.submit("a")) == ["a"]
    assert chat.do(Opened(chat.link("websocket"))) == [], "opened, but nothing received"
    assert posted_ids(chat.accept()) == []
    assert chat.machine.state == "working 2 + probe"
    effects = chat.hear(WELCOME)
    assert effects[-1] == status(CONNECTED, "back to WebSocket")
    assert (chat.machine.state, receiving(chat)) == ("working 1", ["websocket"])
    assert [effect.code for effect in effects if isinstance(effect, Close)] == [1000]


def test_what_the_old_one_had_not_settled_is_sent_by_the_new_one() -> None:
    chat = probing()
    chat.submit("a", "b")
    post = chat.link("post")
    effects = welcome(chat)
    assert Close(post, 1006, "abandoned") in effects
    sent = [json.loads(effect.data)["client_id"] for effect in effects if isinstance(effect, Send)]
    assert sent == ["a", "b"]
    assert settled(chat.hear({"type": "ack", "client_id": "a"})) == [("a", ACKED)]
    assert chat.submit("b") == [Refuse("b", "duplicate")]
    chat.submit("c")
    assert chat.machine.unsettled == 2
    assert settled(chat.hear(message("e-9", sender="ada", client_id="b"))) == [("b", ACKED)]


def test_no_message_is_lost_or_doubled_across_a_takeover() -> None:
    chat = probing()
    chat.stream(event("e-1") + event("e-2"))
    welcome(chat)
    effects = [effect for id in ("e-1", "e-2", "e-3") for effect in chat.hear(message(id))]
    assert shown_ids(effects) == ["e-3"]
    fail(chat)
    chat.tick()
    assert chat.request("websocket").query["after"] == "e-3"


def test_a_probe_sends_nothing() -> None:
    chat = probing()
    effects = [*chat.submit("a", "b"), *chat.do(Opened(chat.link("websocket"))), *chat.do(Typing())]
    assert not any(isinstance(effect, Send) for effect in effects)
    assert fetched(effects) == ["post", "post"]


@pytest.mark.parametrize(
    "failure", [Failure("refused"), Failure("http", 404), Failure("close", 1000), Failure("http", 503)]
)
@pytest.mark.parametrize("opened", [False, True])
def test_a_probe_that_fails_changes_nothing_visible(failure: Failure, opened: bool) -> None:
    chat = probing(upgrade_after=60.0)
    if opened:
        chat.do(Opened(chat.link("websocket")))
    assert chat.fail("websocket", failure) == []
    assert (chat.machine.state, chat.machine.status) == ("working 2", CONNECTED)
    assert chat.machine.deadline == chat.now + 60, "and is tried again later"
    assert len(chat.tick()) == 1


def test_a_probe_that_never_opens_is_dropped() -> None:
    chat = probing()
    (close,) = chat.tick()
    assert isinstance(close, Close)
    assert chat.machine.state == "working 2"


def test_a_probe_may_ask_for_new_headers() -> None:
    chat = probing(headers=lambda failure: {})
    (again,) = chat.fail("websocket", Failure("http", 401))
    assert isinstance(again, OpenWebSocket)
    assert again.failure == Failure("http", 401)
    assert chat.fail("websocket", Failure("http", 401)) == []
    assert chat.machine.state == "working 2"


def test_the_next_better_one_is_probed_when_the_best_fails() -> None:
    chat = fallback(attempts_per_transport=1, upgrade_after=60.0)
    chat.connect()
    fail(chat, times=2)
    chat.answer("poll", 200, [], chat_cursor="e-0")
    assert chat.machine.state == "working 3"
    while "websocket" not in chat.purposes():
        chat.tick()
        if "poll" in chat.purposes():
            chat.now += 1
            chat.answer("poll", 204)
    (fetch,) = chat.fail("websocket")
    assert isinstance(fetch, Fetch)
    assert fetch.purpose == "stream"
    chat.fail("stream")
    assert chat.machine.state == "working 3"
    assert "websocket" not in chat.purposes()


def test_a_middle_transport_that_took_over_still_probes_better_ones() -> None:
    chat = fallback(attempts_per_transport=1, upgrade_after=5.0)
    chat.connect()
    fail(chat, times=2)
    chat.answer("poll", 200, [], chat_cursor="e-0")
    while "websocket" not in chat.purposes():
        chat.tick()
    chat.fail("websocket")
    chat.do(Opened(chat.link("stream"), "text/event-stream"))
    assert changes(chat.stream(":\n"))[0].reason == "back to SSE"
    assert chat.machine.state == "working 2"
    assert chat.machine.deadline == chat.now + 5.0


@pytest.mark.parametrize("drain", [False, True])
def test_A67_disconnect_while_probing(drain: bool) -> None:
    chat = probing(upgrade_after=10.0)
    chat.submit("a")
    effects = chat.do(Disconnect(drain))
    if drain:
        assert chat.purposes() == ["post"]
        effects += chat.accept()
    assert effects[-1] == GOODBYE
    assert (chat.open, chat.machine.deadline) == ({}, float("inf"))


def test_a_drain_that_is_called_off_looks_for_better_again() -> None:
    chat = on_sse(upgrade_after=60.0, drain_timeout=5.0)
    chat.submit("a")
    chat.disconnect()
    assert chat.machine.deadline == chat.now + 5
    chat.connect()
    chat.do(Opened(chat.link("stream"), "text/event-stream"))
    chat.accept()
    chat.stream(":\n")
    assert chat.machine.deadline == chat.now + 60
    before = chat.machine.deadline
    chat.connect()
    chat.now += 1
    chat.connect()
    assert chat.machine.deadline == before


def test_connect_while_probing_leaves_the_probe_alone() -> None:
    chat = probing()
    chat.connect()
    assert chat.machine.state == "working 2 + probe"
    assert sorted(receiving(chat)) == ["stream", "websocket"]


def test_when_the_working_transport_is_left_the_probe_is_dropped() -> None:
    chat = probing(kinds="wsl")
    chat.fail("stream", Failure("tls"))
    assert receiving(chat) == ["poll"]
    assert chat.machine.state == "trying 3"


def test_when_the_server_ends_the_working_transport_the_probe_is_dropped() -> None:
    chat = fallback(kinds="ww", attempts_per_transport=1, upgrade_after=5.0)
    chat.connect()
    fail(chat)
    chat.opened()
    chat.hear(WELCOME)
    chat.tick()
    assert chat.machine.state == "working 2 + probe"
    assert statuses(chat.do(Closed(2, Failure("close", 1000)))) == [DISCONNECTED]
    assert (chat.open, chat.machine.state) == ({}, "idle")


def test_a_probe_without_acks_takes_over_without_acks() -> None:
    config = FallbackConfig(
        transports=(
            WebSocketConfig(url="ws://a", dialect="text"),
            WebSocketConfig(url="ws://b", dialect="text"),
        ),
        attempts_per_transport=1,
        upgrade_after=5.0,
    )
    machine = make_machine(config, find_dialect("text"), lambda: 0.0)
    machine.handle(Connect(), 0.0)
    machine.handle(Closed(1, Failure("refused")), 0.0)
    machine.handle(Opened(2), 0.0)
    machine.handle(Received(2, "hi"), 0.0)
    machine.handle(Tick(), 5.0)
    machine.handle(Opened(3), 5.0)
    assert any(isinstance(effect, Deliver) for effect in machine.handle(Received(3, "hi"), 5.0))
    effects = machine.handle(Submit(OutgoingMessage("yo", client_id="a")), 5.0)
    assert effects == [Send(3, "yo"), Settle("a", SENT)]
    assert machine.unsettled == 0  # type: ignore[attr-defined]


# The rest


def test_A67_disconnect_while_waiting() -> None:
    chat = fallback(kinds="ws", attempts_per_transport=1)
    chat.connect()
    fail(chat, times=2)
    assert chat.connect() == [], "it is trying already"
    assert chat.disconnect() == [GOODBYE]
    assert chat.disconnect() == []
    assert chat.machine.deadline == float("inf")


def test_an_idle_machine_ignores_events() -> None:
    chat = fallback()
    for whim in (Disconnect(), Typing(), Tick(), Received(1, "hi"), ReceivedBytes(1, b"hi")):
        assert chat.do(whim, 5.0) == []
    assert chat.machine.rtt is None


def test_typing_is_sent_by_the_transport_in_use() -> None:
    chat = fallback()
    chat.connect()
    chat.opened()
    assert chat.do(Typing()) == [Send(1, '{"type":"typing"}')]


def test_A32_after_sleep_the_transport_in_use_sends_a_ping() -> None:
    chat = fallback(kinds="ws")
    chat.connect()
    chat.opened()
    assert chat.do(Tick(woke=True)) == [Send(1, '{"type":"ping","id":1}')]
    assert probing().do(Tick(woke=True)) == []


def test_an_early_tick_does_nothing() -> None:
    chat = probing()
    deadline = chat.machine.deadline
    assert chat.do(Tick(), chat.now) == []
    assert chat.machine.deadline == deadline


def test_the_statuses_are_all_that_people_need() -> None:
    """Check the statuses with a proxy that drops WebSocket frames, and later forwards them."""
    chat = fallback(kinds="ws", attempts_per_transport=2, upgrade_after=60.0)
    effects = [*chat.connect(), *fail(chat, times=2)]
    effects += chat.opened()
    effects += chat.stream(":\n")
    effects += chat.tick()
    effects += chat.fail("websocket")
    effects += chat.tick()
    effects += welcome(chat)
    assert [(change.status, change.reason) for change in changes(effects)] == [
        (CONNECTING, ""),
        (RECONNECTING, "refused"),
        (RECONNECTING, "trying again"),
        (RECONNECTING, "WebSocket doesn't work (refused); trying SSE"),
        (CONNECTED, ""),
        (CONNECTED, "back to WebSocket"),
    ]
    assert delivered(effects) == []
    assert chat.machine.status is ConnectionStatus.CONNECTED
