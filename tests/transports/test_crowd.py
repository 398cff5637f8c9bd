"""The fast paths of a crowd's machine have the same result as `handle`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from chatlab.dialects.base import Incoming
from chatlab.dialects.chatlab import ChatlabDialect
from chatlab.messages import ChatEvent, ChatMessage
from chatlab.settings import HeartbeatConfig, OutboxConfig
from chatlab.transports.backoff import Backoff
from chatlab.transports.failures import LOST, REFUSED
from chatlab.transports.heartbeat import Heartbeat
from chatlab.transports.machine import Deliver, Disconnect, Opened, OpenWebSocket, Pong
from tests.transports.websocket_chat import (
    CONNECTED,
    FIRST,
    RECONNECTING,
    STATES,
    Chat,
    changes,
    connecting,
    delivered,
    message,
    online,
    queries,
)

OTHERS = json.dumps(message("e-2"))


def waiting_for_a_pong() -> Chat:
    chat = online()
    chat.hear(message("e-1"))
    chat.tick()
    return chat


def without_heartbeat() -> Chat:
    return Chat(heartbeat=HeartbeatConfig(enabled=False)).online()


def with_messages_that_age() -> Chat:
    chat = Chat(outbox=OutboxConfig(max_age=3.0, max_in_flight=1)).online()
    chat.submit("m1", "m2")
    return chat


ONLINE: dict[str, Callable[[], Chat]] = {
    "online": online,
    "draining": STATES["draining"],
    "waiting for a pong": waiting_for_a_pong,
    "without heartbeat": without_heartbeat,
    "with messages that age": with_messages_that_age,
}
MORE_TO_IT: dict[str, Any] = {
    "an own message": json.dumps(message("e-2", "ada", client_id="m1")),
    "what comes twice": json.dumps(message("e-1")),
    "an ack": '{"type":"ack","client_id":"m1"}',
    "a refusal": '{"type":"nack","client_id":"m1","reason":"no"}',
    "a greeting": '{"type":"welcome","cursor":"e-7","resync":true}',
    "a ping": '{"type":"ping","id":7}',
    "a pong": '{"type":"pong","id":1}',
    "typing": '{"type":"typing","sender":"bob"}',
    "nonsense": "{",
    "bytes": b"\xc1",
}


def twins(make: Callable[[], Chat]) -> tuple[Chat, Chat]:
    """Return two equal machines; if online, both have received a first message."""
    told, quiet = make(), make()
    if make is not waiting_for_a_pong:  # Otherwise the message would answer the ping.
        for chat in (told, quiet):
            chat.hear(message("e-1"))
    return told, quiet


def assert_the_same(told: Chat, quiet: Chat) -> None:
    """Check that both are in the same state, and behave the same from then on."""
    for chat in (told, quiet):
        chat.now += 1.0
    assert (quiet.state, quiet.machine.status) == (told.state, told.machine.status)
    for attribute in ("deadline", "unsettled", "rtt", "link"):
        assert getattr(quiet.machine, attribute) == getattr(told.machine, attribute)
    assert quiet.hear(OTHERS) == told.hear(OTHERS)
    assert quiet.close() == told.close()
    assert quiet.connect() == told.connect()
    while quiet.state == "waiting":
        assert quiet.tick() == told.tick()
    assert quiet.open() == told.open()


@pytest.mark.parametrize("state", ONLINE)
def test_a_message_of_somebody_else(state: str) -> None:
    told, quiet = twins(ONLINE[state])
    heard = quiet.machine.fast_deliver(quiet.link, OTHERS)
    assert heard == ChatMessage("e-2", "bob", "yo")
    assert told.hear(OTHERS) == [Deliver(ChatEvent("message", heard, "bob"))]
    assert quiet.machine.fast_deliver(quiet.link, OTHERS) is None, "it is new once"
    assert_the_same(told, quiet)


@pytest.mark.parametrize("frame", MORE_TO_IT)
@pytest.mark.parametrize("state", ONLINE)
def test_fast_delivery_leaves_other_frames_to_handle(state: str, frame: str) -> None:
    told, quiet = twins(ONLINE[state])
    assert quiet.machine.fast_deliver(quiet.link, MORE_TO_IT[frame]) is None
    assert_the_same(told, quiet)


@pytest.mark.parametrize("state", [state for state in STATES if state not in ONLINE])
def test_fast_delivery_needs_an_open_link(state: str) -> None:
    told, quiet = twins(STATES[state])
    assert quiet.machine.fast_deliver(quiet.link, OTHERS) is None
    assert_the_same(told, quiet)


def test_fast_delivery_ignores_an_abandoned_link() -> None:
    chat = online()
    chat.close()
    chat.tick()
    chat.open()
    assert chat.machine.fast_deliver(chat.link - 1, OTHERS) is None
    assert chat.machine.fast_deliver(chat.link, OTHERS) is not None
    chat.close()
    assert queries(chat.tick())[0]["after"] == "e-2"


class Bundles(ChatlabDialect):
    """A server that puts several messages into one frame."""

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        return [item for line in str(frame).splitlines() for item in super(Bundles, self).decode(line)]


@pytest.mark.parametrize("frame", ["", f"{OTHERS}\n{json.dumps(message('e-3'))}"])
def test_fast_delivery_takes_single_messages_only(frame: str) -> None:
    told, quiet = (Chat(dialect=Bundles()).online() for _ in range(2))
    assert quiet.machine.fast_deliver(quiet.link, frame) is None
    assert quiet.machine.fast_deliver(quiet.link, OTHERS) is not None
    assert len(delivered(told.hear(OTHERS))) == 1
    assert_the_same(told, quiet)


def test_fast_delivery_leaves_dialects_with_gaps_to_handle() -> None:
    chat = Chat(dialect="nchan")
    (effect,) = (effect for effect in chat.connect() if isinstance(effect, OpenWebSocket))
    chat.do(Opened(chat.link, effect.protocols[0]))
    frame = "id: 1700000000:0\n\n" + json.dumps({"sender": "bob", "text": "yo"})
    assert chat.machine.fast_deliver(chat.link, frame) is None
    (event,) = delivered(chat.hear(frame))
    assert event.message is not None


@pytest.mark.parametrize("mode", ["json", "ping"])
def test_a_machine_with_an_idle_heartbeat_can_skip_heartbeats(mode: Any) -> None:
    settings = HeartbeatConfig(interval=7.0, timeout=3.0, mode=mode)
    skipped, lived = Chat(heartbeat=settings).online(), Chat(heartbeat=settings).online()
    for id in range(1, 6):
        lived.tick()
        lived.now += 0.5
        if mode == "ping":
            lived.do(Pong(1, id))
        else:
            lived.hear({"type": "pong", "id": id})
    assert skipped.machine.idle_heartbeat
    skipped.machine.skip_heartbeats(5)
    assert skipped.machine.deadline == lived.machine.deadline == 42.0
    assert (skipped.machine.rtt, lived.machine.rtt) == (None, 0.5)
    assert skipped.tick() == lived.tick() == [skipped.machine.beat(6)]


def test_which_machines_have_an_idle_heartbeat() -> None:
    chat = Chat()
    assert chat.machine.idle_heartbeat is None  # idle
    chat = connecting()
    assert chat.machine.idle_heartbeat is None
    chat = online()
    assert chat.machine.idle_heartbeat
    chat.tick()
    assert chat.machine.idle_heartbeat is None  # A ping is open.
    assert Chat(heartbeat=HeartbeatConfig(enabled=False)).online().machine.idle_heartbeat is None
    chat = Chat(outbox=OutboxConfig(max_age=60.0, max_in_flight=1)).online()
    chat.submit("1")
    assert chat.machine.idle_heartbeat
    chat.submit("2")  # may expire
    assert chat.machine.idle_heartbeat is None
    chat = online()
    chat.submit("1")
    chat.do(Disconnect())
    assert (chat.state, chat.machine.idle_heartbeat) == ("draining", None)


# Promoting a silent client


def tried(stood: Chat, lived: Chat) -> None:
    lived.connect()
    stood.machine.restore(lived.machine.status, None, None)
    number, query = stood.machine.restore_connecting(0.0)
    assert (number, query) == (1, FIRST)


def open_since(stood: Chat, lived: Chat) -> None:
    lived.online()
    stood.machine.restore(CONNECTED, None, None)
    assert stood.machine.restore_open(0.0, Heartbeat(HeartbeatConfig(), 0.0)) == 1


def open_again(stood: Chat, lived: Chat) -> None:
    lived.online().hear({"type": "welcome", "cursor": "e-7"})
    lived.close("reset", at=3.0)
    lived.tick()
    lived.open()
    backoff = Backoff(stood.machine.config.reconnect, lambda: 0.0)
    backoff.next()
    stood.machine.restore(CONNECTED, backoff, "e-7")
    stood.machine.restore_open(lived.now, Heartbeat(HeartbeatConfig(), lived.now))


def waiting_again(stood: Chat, lived: Chat) -> None:
    lived.connect()
    backoff = Backoff(stood.machine.config.reconnect, lambda: 0.0)
    for _ in range(2):
        lived.close("refused")
        backoff.next()
        lived.tick()
    lived.close("refused")
    at = lived.now + backoff.next()
    stood.machine.restore(RECONNECTING, backoff, None)
    stood.machine.restore_waiting(at)


@pytest.mark.parametrize("life", [tried, open_since, open_again, waiting_again])
def test_a_restored_machine_is_in_the_state_that_its_events_lead_to(
    life: Callable[[Chat, Chat], None],
) -> None:
    stood, lived = Chat(), Chat()
    life(stood, lived)
    stood.now = lived.now
    assert (stood.state, stood.machine.status) == (lived.state, lived.machine.status)
    assert stood.machine.deadline == lived.machine.deadline
    stood.link, lived.link = stood.machine.link, lived.machine.link
    for _ in range(3):
        assert changes(stood.close(REFUSED)) == changes(lived.close(REFUSED))
        assert stood.state == lived.state == "waiting"
        assert queries(stood.tick()) == queries(lived.tick())
        stood.link, lived.link = stood.machine.link, lived.machine.link
    assert changes(stood.open()) == changes(lived.open())
    assert stood.machine.deadline == lived.machine.deadline


def test_what_a_machine_says_of_its_settings() -> None:
    chat = Chat(failures={"refused": "stop"})
    assert chat.machine.config.sender == "ada"
    assert chat.machine.judge(REFUSED) == "stop"
    assert chat.machine.judge(LOST) == "retry"
    assert chat.machine.query(None) == FIRST
    assert chat.machine.query("e-7")["after"] == "e-7"


@pytest.mark.parametrize(
    ("heartbeat", "beats"),
    [
        (HeartbeatConfig(), True),
        (HeartbeatConfig(enabled=False), False),
        (HeartbeatConfig(mode="none"), False),
    ],
)
def test_whether_links_have_heartbeats(heartbeat: HeartbeatConfig, beats: bool) -> None:
    chat = Chat(heartbeat=heartbeat)
    assert chat.machine.beats == beats
    assert (chat.online().machine.idle_heartbeat is not None) == beats
