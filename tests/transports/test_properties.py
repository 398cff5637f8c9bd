"""Property tests of all machines, on a lossy network with the real hub behind it.

Hypothesis chooses the actions of people and the network. The invariants are checked after each step. At the
end the network is repaired, and all messages must settle and be shown. For another machine, add a `World`
with its settings; for another kind of connection, add a `Link` with its possible network events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from math import inf
from random import Random
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from msgspec import Struct

from chatlab.dialects import find_dialect, serving
from chatlab.dialects.base import Answer, Dialect, Nack, ServerPing, Welcome
from chatlab.dialects.chatlab import (
    decode_client_frame,
    decode_posted,
    encode_frame,
    encode_message,
    stream_event,
)
from chatlab.hub import Behind, Expel, Hub, HubConfig, MemoryLog, News, Output, Reply
from chatlab.messages import ChatMessage, ConnectionStatus, DeliveryState, OutgoingMessage
from chatlab.settings import (
    AnyConfig,
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
    Event,
    Failure,
    Fetch,
    Machine,
    Notify,
    Opened,
    OpenWebSocket,
    Ping,
    Pinged,
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
from tests.dialects.greeting import GreetingDialect
from tests.sizes import examples

QUEUED, SENT, ACKED, DROPPED, EXPIRED, FAILED = DeliveryState
LEGAL = {QUEUED: {SENT, DROPPED, EXPIRED}, SENT: {SENT, ACKED, EXPIRED, FAILED}}
"""Transitions of delivery states (SPEC §1): queued → sent → acked, or dropped, expired or failed. A message
that is resent is `sent` again."""

BOB = 0
GARBAGE: list[str | bytes] = [
    "",
    "hello",
    "null",
    "[]",
    '{"type":"message","id":true}',
    '{"type":"poll","a":NaN}',
    '{"type":"ack","client_id":"ghost"}',
    '{"type":"nack","client_id":"ghost","status":500}',
    '{"type":"pong","id":99}',
    '{"type":"connection","status":"error"}',
    "[" * 5000,
    "\ud800",
    b"",
    b"\xc1",
    b"\x91" * 5000,
]
FAILURES = [
    *[Failure("reset")] * 20,
    *(Failure(kind) for kind in ("refused", "dns", "timeout", "reset", "tls", "protocol")),
    *(Failure("close", code) for code in (1000, 1001, 1006, 1008, 1012, 4000, 4401, 4429, 7)),
    *(Failure("http", code) for code in (200, 302, 401, 403, 500)),
    Failure("answer", reason="the server redirects to an address without TLS"),
    Failure("http", 503, "busy", retry_after=20.0),
    Failure("http", 429, "junk", retry_after=-1e300),
]


PORTAL = [
    Answer(200, b"<title>Log in</title>", {"content-type": "text/html"}),
    Answer(302, b"moved", {"content-type": "text/html"}),
    Answer(204),
    Answer(200, b"{}", {"content-type": "application/json"}),
    Answer(201, b'{"type":"ack","client_id":"ghost","id":"e-1"}'),
    Answer(200, b'{"type":"nack","client_id":"ghost","status":422}'),
    Answer(202),
    Answer(511, b"log in first"),
]
"""Answers of a captive portal in place of the server (HOSTILE A90, A91)."""

REFUSALS = [
    *PORTAL,
    *(Answer(status) for status in (302, 401, 403, 404, 413, 422, 429, 500, 503)),
    Answer(503, b"busy", {"retry-after": "20"}),
    Answer(429, b"<html>", {"retry-after": "\u00b2"}),
]
"""Answers of a server that has not accepted the message."""


class Choices(Struct, frozen=True):
    """The settings that matter here, chosen by Hypothesis."""

    outbox: OutboxConfig
    heartbeat: HeartbeatConfig
    reconnect: ReconnectConfig
    history: int | None
    drain_timeout: float
    renewable: bool
    retain: int | None  # of the hub; None: it keeps all messages
    attempts_per_transport: int


Move = Callable[[], None]


class Link:
    """A connection or request that the machine has opened."""

    member: int | None = None  # of the hub, while it's open
    cut = False  # half-open: nothing arrives any more, without an error

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number

    def moves(self) -> list[Move]:
        """Return the possible next events of a good network and server."""
        raise NotImplementedError

    def troubles(self) -> list[Move]:
        """Return the possible next failures, besides the end of the link."""
        raise NotImplementedError

    def down(self, frame: str | bytes) -> None:
        """Send a frame from the server."""
        raise NotImplementedError

    def garbage(self, frame: str | bytes) -> None:
        """Send garbage from the server."""

    def portal(self, answer: Answer) -> None:
        """Answer or end the link as a captive portal in between."""
        self.fail(Failure("reset"))

    def fail(self, failure: Failure) -> None:
        self.world.drop(self.number)
        self.world.do(Closed(self.number, failure))

    def cut_off(self) -> None:
        self.cut = True


class World:
    """A machine, its application, the hub, other people, and a lossy network."""

    receivers = 1  # number of receiving links at a time
    dialect: ClassVar[Dialect] = find_dialect("chatlab")

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.now = 0.0
        config = HubConfig(retain=choices.retain or 10_000, rate=1e9, replay_size=4)
        self.hub = Hub(config, MemoryLog("e", config), utc=lambda: datetime(2026, 11, 23, tzinfo=UTC))
        self.posts: list[ChatMessage] = []  # all messages that the hub has accepted
        self.accepted: list[str] = []
        self.ledger: dict[str, DeliveryState] = {}
        self.sizes: dict[str, int] = {}
        self.stands_at: int | None = None  # number of posts before the next that may be delivered
        self.shown: set[int] = set()
        self.wants = False  # to be connected
        self.members = BOB
        self.links: dict[int, Link] = {}
        self.ended: list[int] = []
        self.by_member: dict[int, Link] = {}
        self.behind: set[int] = set()
        self.token_is_good = False
        self.refused: set[str] = set()  # for good: a server that refuses a message does so again
        self.dice = Random(0)
        self.machine: Machine = make_machine(self.config(), self.dialect, Random(0).random)
        self.spread(self.hub.join(BOB, "lobby", "bob"))

    def config(self) -> AnyConfig:
        """Return the settings of the machine."""
        raise NotImplementedError

    def common(self) -> dict[str, Any]:
        """Return the settings that all transports have."""
        choices = self.choices
        return {
            "sender": "ada",
            "history": choices.history,
            "drain_timeout": choices.drain_timeout,
            "headers": (lambda failure: {}) if choices.renewable else None,
            "outbox": choices.outbox,
            "reconnect": choices.reconnect,
        }

    def websocket(self) -> WebSocketConfig:
        return WebSocketConfig(url="ws://h/", heartbeat=self.choices.heartbeat, **self.common())

    def sse(self) -> SSEConfig:
        return SSEConfig(url="http://h/", **self.common())

    def short_polling(self) -> ShortPollingConfig:
        return ShortPollingConfig(url="http://h/", spread=1.0, **self.common())

    def long_polling(self) -> LongPollingConfig:
        return LongPollingConfig(url="http://h/", **self.common())

    # The application

    def do(self, event: Event) -> list[Effect]:
        if isinstance(event, Connect | Disconnect):
            self.wants = isinstance(event, Connect)
        effects = list(self.machine.handle(event, self.now))
        for effect in effects:
            match effect:
                case Settle():
                    before = self.ledger[effect.client_id]
                    assert effect.state in LEGAL.get(before, ()), (
                        f"{effect.client_id}: {before} -> {effect.state}"
                    )
                    self.ledger[effect.client_id] = effect.state
                case Deliver(event=told):
                    if told.message is not None:
                        self.read(told.message)
                    elif told.type == "resync":
                        assert self.choices.retain is not None, "the hub forgot nothing"
                case Notify(change):
                    assert self.machine.status == changes_of(effects)[-1]
                    if change.status is ConnectionStatus.CONNECTED:
                        self.let_in()
                case Refuse():
                    pass
                case _:
                    self.carry_out(effect)
        return effects

    def read(self, message: ChatMessage) -> None:
        """Check that messages are shown in the log's order, once, and without an unreported gap."""
        place = next(place for place, post in enumerate(self.posts) if post.id == message.id)
        assert message == self.posts[place]
        assert place == self.comes_next(), f"{message.id} is not what came next"
        self.shown.add(place)

    def comes_next(self) -> int:
        """Return the index of the first post that must be shown and wasn't."""
        assert self.stands_at is not None, "a message before a welcome"
        while self.stands_at in self.shown:
            self.stands_at += 1
        return self.stands_at

    def submit(self, message: OutgoingMessage) -> None:
        fits = self.fits(message)
        unsettled = message.client_id in self.ledger and self.ledger[message.client_id] in (QUEUED, SENT)
        if not unsettled and fits:
            self.accepted.append(message.client_id)
            self.ledger[message.client_id] = QUEUED
            self.sizes[message.client_id] = message.size
        refusals = [effect for effect in self.do(Submit(message)) if isinstance(effect, Refuse)]
        expected = [Refuse(message.client_id, "duplicate")] if unsettled else []
        assert refusals == (expected or ([] if fits else [Refuse(message.client_id, "full")]))

    def fits(self, message: OutgoingMessage) -> bool:
        """Return whether the outbox accepts a message: it has room, makes some, or is empty."""
        outbox = self.choices.outbox
        waiting = [self.sizes[id] for id, state in self.ledger.items() if state is QUEUED]
        full = len(waiting) >= outbox.max_size
        if outbox.max_bytes is not None:
            full = full or sum(waiting) + message.size > outbox.max_bytes
        return outbox.overflow in ("drop-oldest", "drop-newest") or not waiting or not full

    # The server

    def join(self, link: Link, query: dict[str, str], after: str | None) -> None:
        """Join the person's new connection to the hub."""
        self.members += 1
        link.member = self.members
        self.by_member[self.members] = link
        history = int(query["history"]) if "history" in query else None
        self.spread(self.hub.join(self.members, query["room"], query["sender"], after=after, history=history))

    def is_posted(self, message: OutgoingMessage) -> bool:
        return any((post.sender, post.client_id) == ("ada", message.client_id) for post in self.posts)

    def hear(self, member: int, frame: str | bytes) -> None:
        self.spread(self.hub.receive(member, frame, self.now))

    def repeat(self, back: int) -> None:
        """Send an earlier frame of the server again."""
        for place in sorted(self.shown)[-back:]:
            for link in self.by_member.values():
                link.down(encode_message(self.posts[place]))

    def spread(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            match output:
                case News():
                    self.posts += self.hub.read(output.room, None, 1).messages
                case Behind():
                    self.behind.add(output.member)
                case Reply():
                    for member in output.members:
                        if member in self.by_member:
                            self.by_member[member].down(output.frame)
                case Expel():
                    raise AssertionError(f"expelled: {output.reason}")

    def arrives(self, frame: str | bytes) -> None:
        """Follow a welcome among the items of a frame of the server that arrives."""
        for item in find_dialect("chatlab").decode(frame):
            if isinstance(item, Welcome):
                self.welcomed(item)

    def welcomed(self, welcome: Welcome) -> None:
        """Follow the welcome's cursor if the machine has none, or one that the hub no longer knows."""
        assert welcome.cursor is not None
        self.stand(welcome.cursor, gap=welcome.resync)

    def let_in(self) -> None:
        """Note that the reader is connected."""

    def stand(self, cursor: str, gap: bool) -> None:
        if gap or self.stands_at is None:
            self.stands_at = int(cursor.removeprefix("e-"))

    # The network

    def carry_out(self, effect: Effect) -> None:
        match effect:
            case OpenWebSocket():
                self.open(effect.link, Wire(self, effect))
            case Fetch(purpose="stream"):
                self.open(effect.link, Stream(self, effect))
            case Fetch(purpose="poll"):
                self.open(effect.link, Poll(self, effect))
            case Fetch():
                self.open(effect.link, Post(self, effect))
            case Send() | SendBytes() | Ping():
                wire = self.links[effect.link]
                assert isinstance(wire, Wire)
                assert wire.member is not None, "a frame before the handshake"
                wire.up.append(effect if isinstance(effect, Ping) else effect.data)
            case Close():
                self.drop(effect.link)
            case _:
                raise AssertionError(f"no driver knows {effect}")

    def open(self, number: int, link: Link) -> None:
        assert number not in self.ended, "a number used twice"
        self.links[number] = link

    def drop(self, number: int) -> None:
        link = self.links.pop(number)
        self.ended.append(number)
        if link.member is not None:
            del self.by_member[link.member]
            self.behind.discard(link.member)
            self.hub.leave(link.member)

    def moves(self) -> list[Move]:
        moves = [move for link in self.links.values() if not link.cut for move in link.moves()]
        return moves + [partial(self.go_on, member) for member in sorted(self.behind)]

    def go_on(self, member: int) -> None:
        """Send more of a replay."""
        self.behind.discard(member)
        self.spread(self.hub.go_on(member))

    def troubles(self) -> list[Move]:
        troubles: list[Move] = [self.break_down] if self.links else []
        for link in self.links.values():
            troubles += [partial(link.fail, failure) for failure in FAILURES]
            if not link.cut:
                troubles += [link.cut_off] * 4 + link.troubles()
        return troubles

    def break_down(self) -> None:
        for link in list(self.links.values()):
            if link.number in self.links:  # The end of another may have ended it.
                link.fail(Failure("reset"))

    def portal(self, answer: Answer) -> None:
        """Answer all links in flight as a captive portal."""
        for link in list(self.links.values()):
            if link.number in self.links:
                link.portal(answer)

    def heal(self) -> Iterator[Move]:
        """Repair the network, and deliver everything in flight."""
        for link in list(self.links.values()):
            if link.cut and link.number in self.links:
                yield partial(link.fail, Failure("reset"))
        for _ in range(1000):
            if not (moves := self.moves()):
                return
            yield moves[0]
        raise AssertionError("it spins")

    def garbage(self, frame: str | bytes) -> None:
        """Send garbage on a link; the machine must not raise."""
        for link in list(self.links.values()):
            if not link.cut and link.number in self.links:
                link.garbage(frame)

    def stale(self) -> list[Event]:
        """Send events of links that the machine has abandoned."""
        numbers = [0, *self.ended, max([0, *self.ended, *self.links]) + 100]
        return [
            event
            for number in numbers
            for event in (
                Opened(number),
                Opened(number, "text/event-stream"),
                Received(number, '{"type":"message","id":"e-1"}'),
                Received(number, '{"type":"ack","client_id":"m0"}'),
                Received(number, '{"type":"welcome","cursor":"e-0","resync":true}'),
                ReceivedBytes(number, b"\xc1"),
                ReceivedBytes(number, b'data: {"type":"message","id":"e-1"}\n\n'),
                Answered(number, Answer(200, b'[{"id":"e-1"}]')),
                Answered(number, Answer(401)),
                Pong(number, 1),
                Pinged(number),
                Closed(number, Failure("reset")),
                Closed(number, Failure("close", 1000)),
            )
        ]

    # What must always hold

    def unsettled(self) -> list[str]:
        return [id for id, state in self.ledger.items() if state in (QUEUED, SENT)]

    def invariants(self) -> None:
        machine = self.machine
        if machine.status in (ConnectionStatus.CONNECTING, ConnectionStatus.RECONNECTING):
            assert machine.deadline < inf, "stuck"
            assert self.wants or self.unsettled(), "nobody asked it to"
        if machine.status == ConnectionStatus.CONNECTED and self.choices.heartbeat.enabled:
            assert machine.deadline < inf, "deaf"
        if machine.status in (ConnectionStatus.DISCONNECTED, ConnectionStatus.ERROR):
            assert not self.links, "a link nobody wants"
        receiving = [link for link in self.links.values() if not isinstance(link, Post)]
        assert len(receiving) <= self.receivers, "too many links"
        posting = [link for link in self.links.values() if isinstance(link, Post) and not link.is_typing]
        assert len(posting) <= 1, "two posts under way"
        assert list(self.ledger.values()).count(QUEUED) <= self.choices.outbox.max_size
        keys = [(post.sender, post.client_id) for post in self.posts]
        if self.choices.retain is None:
            assert len(keys) == len(set(keys)), "posted twice"
            mine = [post.client_id for post in self.posts if post.sender == "ada"]
            assert mine == [id for id in self.accepted if id in mine], "out of order"
        assert {id for id, state in self.ledger.items() if state == ACKED} <= {
            client_id for _, client_id in keys
        }

    def tick(self) -> None:
        """Advance to the deadline. A machine may need several ticks at one time, but not without end."""
        if self.machine.deadline == inf:
            return
        self.now = max(self.now, self.machine.deadline)
        for _ in range(6):
            self.do(Tick())
            if self.machine.deadline > self.now:
                return
        raise AssertionError("it spins")

    def all_is_well(self) -> bool:
        connected = self.machine.status == ConnectionStatus.CONNECTED
        return (
            connected
            and not self.unsettled()
            and self.stands_at is not None
            and self.comes_next() == len(self.posts)
        )

    def epilogue(self) -> None:
        """Repair the network; then each accepted message must settle, and each posted one must be shown."""
        for _ in range(200):
            ended = self.machine.status in (ConnectionStatus.DISCONNECTED, ConnectionStatus.ERROR)
            if ended or not self.wants:
                self.do(Connect())
            for act in self.heal():
                act()
                self.invariants()
            if self.all_is_well():
                break
            self.tick()
        assert self.machine.status == ConnectionStatus.CONNECTED
        assert self.unsettled() == []
        assert self.comes_next() == len(self.posts), "something was never shown"
        posted = [post.client_id for post in self.posts if post.sender == "ada"]
        for id, state in self.ledger.items():
            if state == ACKED:
                assert posted.count(id) == 1 or (self.choices.retain and posted.count(id))
            else:
                assert state in (DROPPED, EXPIRED, FAILED)
            if state == DROPPED:
                assert id not in posted


def changes_of(effects: list[Effect]) -> list[ConnectionStatus]:
    return [effect.change.status for effect in effects if isinstance(effect, Notify)]


class Wire(Link):
    """A WebSocket, with the frames in flight in both directions."""

    def __init__(self, world: World, effect: OpenWebSocket) -> None:
        super().__init__(world, effect.link)
        self.query = effect.query
        self.up: deque[str | bytes | Ping] = deque()
        self.downward: deque[str | bytes | Pong] = deque()

    def moves(self) -> list[Move]:
        if self.member is None:
            return [self.accept]
        return [move for move, ready in ((self.upward, self.up), (self.arrive, self.downward)) if ready]

    def troubles(self) -> list[Move]:
        if self.member is None:
            return []
        return [self.ping] * 4 + [self.refuse, self.fill_disk] * (4 if self.up else 0)

    def portal(self, answer: Answer) -> None:
        if self.member is None:
            self.fail(Failure("http", answer.status))
        else:
            super().portal(answer)

    def accept(self) -> None:
        self.world.join(self, self.query, self.query.get("after"))
        self.world.do(Opened(self.number))

    def down(self, frame: str | bytes) -> None:
        self.downward.append(frame)

    def ping(self) -> None:
        self.downward.append(encode_frame(ServerPing(5)))

    def upward(self) -> None:
        frame = self.up.popleft()
        if isinstance(frame, Ping):
            self.downward.append(Pong(self.number, frame.id))
            return
        assert self.member is not None
        said = decode_client_frame(frame)
        if isinstance(said, OutgoingMessage) and said.client_id in self.world.refused:
            self.downward.append(encode_frame(Nack(said.client_id, 422, "no")))
        else:
            self.world.hear(self.member, frame)

    def refuse(self) -> None:
        said = None if isinstance(self.up[0], Ping) else decode_client_frame(self.up[0])
        if isinstance(said, OutgoingMessage) and not self.world.is_posted(said):
            self.world.refused.add(said.client_id)
        self.upward()

    def fill_disk(self) -> None:
        """Refuse a message that the server may accept later."""
        said = None if isinstance(self.up[0], Ping) else decode_client_frame(self.up[0])
        if isinstance(said, OutgoingMessage) and not self.world.is_posted(said):
            self.up.popleft()
            self.downward.append(encode_frame(Nack(said.client_id, 503, "full disk")))

    def arrive(self) -> None:
        frame = self.downward.popleft()
        if isinstance(frame, Pong):
            self.world.do(frame)
            return
        self.world.arrives(frame)
        self.garbage(frame)

    def garbage(self, frame: str | bytes) -> None:
        if self.member is not None:
            heard = (
                Received(self.number, frame) if isinstance(frame, str) else ReceivedBytes(self.number, frame)
            )
            self.world.do(heard)


class Stream(Link):
    """An event stream, whose bytes come in pieces of any size."""

    def __init__(self, world: World, effect: Fetch) -> None:
        super().__init__(world, effect.link)
        self.request = effect.request
        self.downward: deque[tuple[bytes, str | bytes]] = deque()  # the rest of an event, and its frame

    def moves(self) -> list[Move]:
        if self.member is None:
            return [self.accept]
        return [self.arrive] if self.downward else []

    def troubles(self) -> list[Move]:
        if self.member is None:
            return [partial(self.refuse, answer) for answer in (Answer(204), *REFUSALS)]
        return [partial(self.wish, seconds) for seconds in (0, 5, 10**9)]

    def accept(self) -> None:
        self.world.join(self, self.request.query, self.request.headers.get("Last-Event-ID"))
        self.world.do(Opened(self.number, "text/event-stream"))

    def refuse(self, answer: Answer) -> None:
        if answer.status == 200:
            self.world.do(Opened(self.number, answer.headers.get("content-type", "")))
            assert self.number in self.world.ended, "it reads on, though that is no stream"
        else:
            self.world.drop(self.number)
            self.world.do(Answered(self.number, answer))

    def portal(self, answer: Answer) -> None:
        if self.member is None:
            self.refuse(answer)
        else:
            super().portal(answer)

    def down(self, frame: str | bytes) -> None:
        kind, data, id = stream_event(frame)
        self.downward.append((f"event: {kind}\nid: {id}\ndata: {data}\n\n".encode(), frame))

    def arrive(self) -> None:
        rest, frame = self.downward.popleft()
        size = self.world.dice.choice([len(rest), len(rest), self.world.dice.randrange(len(rest)) + 1])
        if size < len(rest):
            self.downward.appendleft((rest[size:], frame))
        else:
            self.world.arrives(frame)
        self.world.do(ReceivedBytes(self.number, rest[:size]))

    def wish(self, milliseconds: int) -> None:
        self.garbage(f"\nretry: {milliseconds}")

    def garbage(self, frame: str | bytes) -> None:
        whole = not self.downward or self.downward[0][0].startswith(b"event: ")
        if self.member is not None and whole:
            data = frame if isinstance(frame, bytes) else frame.encode(errors="surrogatepass")
            self.world.do(ReceivedBytes(self.number, b"data: " + data + b"\n\n"))


class Exchange(Link):
    """A request with a single answer: first the server handles it, then its answer arrives."""

    answer: Answer | None = None

    def __init__(self, world: World, effect: Fetch) -> None:
        super().__init__(world, effect.link)
        self.effect = effect

    def moves(self) -> list[Move]:
        return [self.deal_with if self.answer is None else self.arrive]

    def troubles(self) -> list[Move]:
        if self.answer is None:
            return [partial(self.refuse, answer) for answer in REFUSALS]
        return [partial(self.refuse, Answer(502))]  # by a proxy, though the server has accepted it

    def refuse(self, answer: Answer) -> None:
        self.answer = answer
        self.arrive()

    def portal(self, answer: Answer) -> None:
        self.refuse(answer)

    def deal_with(self) -> None:
        raise NotImplementedError

    def arrive(self) -> None:
        assert self.answer is not None
        self.world.drop(self.number)
        self.world.do(Answered(self.number, self.answer))


class Poll(Exchange):
    """A poll, with at most two messages per page."""

    start = ""

    def moves(self) -> list[Move]:
        if self.answer is None and self.effect.request.query.get("hold", "0") != "0" and not self.news():
            return []
        return super().moves()

    def news(self) -> bool:
        page = self.world.hub.read("lobby", self.effect.request.query.get("after"), 0)
        return bool(page.messages) or page.gap

    def troubles(self) -> list[Move]:
        return super().troubles() + [partial(self.refuse, Answer(status)) for status in (204, 304, 408)]

    def deal_with(self) -> None:
        query = self.effect.request.query
        after, history = query.get("after"), query.get("history")
        page = self.world.hub.read("lobby", after, None if history is None else int(history), 2)
        self.start = page.start
        if page.gap:
            self.answer = serving.unknown_cursor(page.start)
        else:
            self.answer = serving.page(page.start, page.messages, more=page.more)

    def arrive(self) -> None:
        assert self.answer is not None
        if "chat-cursor" in self.answer.headers:
            self.world.stand(self.start, gap=self.answer.status == 410)
        super().arrive()

    def garbage(self, frame: str | bytes) -> None:
        if self.answer is None:
            data = frame if isinstance(frame, bytes) else frame.encode(errors="surrogatepass")
            self.refuse(Answer(200, data))


class Post(Exchange):
    """A request that sends a message, or gets the token for it."""

    @property
    def is_typing(self) -> bool:
        return self.effect.request.path == "/typing"

    def troubles(self) -> list[Move]:
        return [*super().troubles(), self.restart_server]

    def refuse(self, answer: Answer) -> None:
        if self.effect.purpose == "csrf" and answer.status == 200:
            self.fail(Failure("answer", 200, "no token"))  # The driver has sought a token in it.
        else:
            super().refuse(answer)

    def restart_server(self) -> None:
        self.world.token_is_good = False

    def deal_with(self) -> None:
        world, request = self.world, self.effect.request
        if self.effect.purpose == "csrf":
            world.token_is_good = True
            self.answer = Answer(200)
        elif not world.token_is_good:
            self.answer = Answer(403)
        elif self.is_typing:
            self.answer = Answer(204)
        else:
            message = decode_posted(request.body.encode())
            assert isinstance(message, OutgoingMessage)
            if message.client_id in world.refused:
                self.answer = Answer(422)
                return
            result = world.hub.publish(request.query["room"], request.query["sender"], message)
            assert not isinstance(result, Nack), "nobody else knows its id"
            id, outputs = result
            world.spread(outputs)
            self.answer = serving.accepted(message.client_id, id, new=bool(outputs))


class WebSocketWorld(World):
    def config(self) -> AnyConfig:
        return self.websocket()


class GreetingWorld(WebSocketWorld):
    """A world in which a welcome counts once the reader is let in, as nothing is promised before."""

    dialect = GreetingDialect()
    latest = Welcome("e-0")

    def welcomed(self, welcome: Welcome) -> None:
        self.latest = welcome
        if self.machine.status is ConnectionStatus.CONNECTED:
            super().welcomed(welcome)

    def let_in(self) -> None:
        super().welcomed(self.latest)


class SSEWorld(World):
    def config(self) -> AnyConfig:
        return self.sse()


class GreetingSSEWorld(SSEWorld):
    dialect = GreetingDialect()


class ShortPollingWorld(World):
    def config(self) -> AnyConfig:
        return self.short_polling()


class LongPollingWorld(World):
    def config(self) -> AnyConfig:
        return self.long_polling()


class GreetingPollingWorld(LongPollingWorld):
    dialect = GreetingDialect()


class FallbackWorld(World):
    receivers = 2  # the one in use, and a probe

    def config(self) -> AnyConfig:
        return FallbackConfig(
            transports=(self.websocket(), self.sse(), self.long_polling(), self.short_polling()),
            attempts_per_transport=self.choices.attempts_per_transport,
            upgrade_after=1.0,
        )


choices = st.builds(
    Choices,
    outbox=st.builds(
        OutboxConfig,
        max_size=st.sampled_from([5, 3, 2, 1]),
        max_bytes=st.sampled_from([None, None, None, 3, 8]),
        max_age=st.sampled_from([None, None, None, 0.5, 20.0]),
        max_in_flight=st.sampled_from([100, 2, 1]),
        overflow=st.sampled_from(["drop-oldest", "drop-newest", "reject", "wait"]),
    ),
    heartbeat=st.builds(
        HeartbeatConfig,
        enabled=st.sampled_from([True, True, False]),
        interval=st.sampled_from([10.0, 30.0]),
        timeout=st.sampled_from([10.0, 20.0]),
        mode=st.sampled_from([None, "json", "ping"]),
    ),
    reconnect=st.builds(
        ReconnectConfig,
        enabled=st.sampled_from([True] * 7 + [False]),
        max_attempts=st.sampled_from([None, 10, 2]),
        base_delay=st.sampled_from([0.0, 1.0]),
        jitter=st.sampled_from(["seed", "full", "decorrelated"]),
        stable_after=st.sampled_from([0.0, 5.0]),
    ),
    history=st.sampled_from([None, 0, 1, 50]),
    drain_timeout=st.sampled_from([0.0, 0.75]),
    renewable=st.booleans(),
    retain=st.sampled_from([None, None, 2]),
    attempts_per_transport=st.sampled_from([1, 3]),
)


class Story(RuleBasedStateMachine):
    """A test run: actions of people, the network and the clock on one machine."""

    world_type: ClassVar[type[World]]
    world: World

    @initialize(choices=choices, good=st.sampled_from([True, True, True, False]))
    def begin(self, choices: Choices, good: bool) -> None:
        self.world = self.world_type(choices)
        self.world.do(Connect())
        if good:
            self.good_network()

    @rule(choices=st.lists(st.integers(0, 100), min_size=1, max_size=8))
    def network(self, choices: list[int]) -> None:
        for choice in choices:
            self._one_of(self.world.moves(), choice)

    @rule(choice=st.integers(0, 100))
    def trouble(self, choice: int) -> None:
        self._one_of(self.world.troubles(), choice)

    @rule(
        arrived=st.integers(0, 3),
        words=st.integers(0, 2),
        how=st.sampled_from(["the network breaks", "the person leaves", "both"]),
    )
    def break_and_return(self, arrived: int, words: int, how: str) -> None:
        """Deliver some frames, end the connection, send more messages, and repair the network."""
        world = self.world
        for choice in range(arrived):
            self._one_of(world.moves(), choice)
        if how != "the network breaks":
            self.submit(False, 1)
            world.do(Disconnect())
        if how != "the person leaves":
            self._one_of(world.troubles(), 0)
        world.tick()
        for _ in range(words):
            self.submit(False, 1)
        world.do(Connect())
        self._one_of(world.moves(), 0)

    @rule(times=st.integers(1, 6), words=st.integers(0, 2))
    def hard_times(self, times: int, words: int) -> None:
        """Fail all attempts for a while, then let them succeed, and advance the time."""
        world = self.world
        world.do(Connect())
        for _ in range(times):
            world.break_down()
            world.tick()
        self.good_network()
        for _ in range(words):
            self.submit(False, 1)
        world.tick()

    @rule(times=st.integers(1, 6), answer=st.sampled_from(PORTAL), words=st.integers(0, 2))
    def captive_portal(self, times: int, answer: Answer, words: int) -> None:
        """Answer all requests in place of the server; then restore the server."""
        world = self.world
        world.do(Connect())
        for _ in range(words):
            self.submit(False, 1)
        for _ in range(times):
            world.portal(answer)
            world.tick()
        self.good_network()

    @rule(back=st.integers(1, 8))
    def server_repeats(self, back: int) -> None:
        self.world.repeat(back)

    def _one_of(self, moves: list[Move], choice: int) -> None:
        if moves:
            moves[choice % len(moves)]()

    @rule()
    def good_network(self) -> None:
        for act in self.world.heal():
            act()

    @rule(data=st.booleans(), size=st.integers(1, 6))
    def submit(self, data: bool, size: int) -> None:
        id = f"m{len(self.world.ledger)}"
        self.world.submit(OutgoingMessage("" if data else "x" * size, b"x" * size if data else None, id))

    @rule(choice=st.integers(0, 100))
    def submit_again(self, choice: int) -> None:
        if unsettled := self.world.unsettled():
            self.world.submit(OutgoingMessage("again", client_id=unsettled[choice % len(unsettled)]))

    @rule(count=st.integers(1, 4))
    def bob_speaks(self, count: int) -> None:
        world = self.world
        for _ in range(count):
            frame = find_dialect("chatlab").encode(
                WebSocketConfig(url="ws://h/", sender="bob"),
                OutgoingMessage("yo", client_id=f"b{len(world.posts)}"),
            )
            world.hear(BOB, frame)

    @rule(event=st.sampled_from([Connect(), Disconnect(), Typing()]))
    def whim(self, event: Event) -> None:
        self.world.do(event)

    @rule()
    def deadline(self) -> None:
        self.world.tick()

    @rule(wait=st.floats(0, 40) | st.sampled_from([0.0, 1e6]))
    def time_passes(self, wait: float) -> None:
        world = self.world
        end = world.now + wait
        for _ in range(10):
            if world.machine.deadline > end:
                break
            world.tick()
        world.now = max(world.now, end)
        world.do(Tick())

    @rule()
    def early_tick(self) -> None:
        world = self.world
        if world.machine.deadline > world.now:
            before = (world.machine.status, world.machine.deadline)
            assert world.do(Tick()) == []
            assert (world.machine.status, world.machine.deadline) == before

    @rule(choice=st.integers(0, 10_000))
    def stale_news(self, choice: int) -> None:
        world = self.world
        events = world.stale()
        before = told(world.machine)
        assert world.do(events[choice % len(events)]) == []
        assert told(world.machine) == before, "stale news is not inert"

    @rule(frame=st.sampled_from(GARBAGE) | st.text(max_size=20) | st.binary(max_size=20))
    def garbage(self, frame: str | bytes) -> None:
        self.world.garbage(frame)

    @invariant()
    def always(self) -> None:
        self.world.invariants()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.epilogue()


def told(value: Any) -> Any:
    """Return the whole state of a machine as comparable data."""
    kind = type(value)
    if not kind.__module__.startswith("chatlab.transports") or isinstance(value, Struct):
        return repr(value)
    names = [name for base in kind.__mro__ for name in getattr(base, "__slots__", ())]
    given = ("_uniform", "_config", "_dialect", "_http", "_make")
    return kind.__name__, {
        name: told(getattr(value, name))
        for name in [*names, *getattr(value, "__dict__", ())]
        if name not in given
    }


def run_story(world: type[World], full: int) -> None:
    story = type(world.__name__, (Story,), {"world_type": world})
    run_state_machine_as_test(
        story, settings=settings(max_examples=examples(full), stateful_step_count=40, deadline=None)
    )


@pytest.mark.slow
@pytest.mark.sized
def test_websocket() -> None:
    run_story(WebSocketWorld, 400)


@pytest.mark.slow
@pytest.mark.sized
@pytest.mark.parametrize("world", [GreetingWorld, GreetingSSEWorld, GreetingPollingWorld])
def test_a_dialect_that_greets(world: type[World]) -> None:
    run_story(world, 80)


@pytest.mark.slow
@pytest.mark.sized
def test_sse() -> None:
    run_story(SSEWorld, 150)


@pytest.mark.slow
@pytest.mark.sized
def test_short_polling() -> None:
    run_story(ShortPollingWorld, 100)


@pytest.mark.slow
@pytest.mark.sized
def test_long_polling() -> None:
    run_story(LongPollingWorld, 100)


@pytest.mark.slow
@pytest.mark.sized
def test_fallback() -> None:
    run_story(FallbackWorld, 400)


def test_the_hub_speaks_to_the_reader_as_encoded() -> None:
    """Check that a reader decodes posted messages as `World.read` expects them."""
    posted = ChatMessage("e-1", "ada", "hi", "c1", datetime(2026, 11, 23, tzinfo=UTC), b"\0")
    assert find_dialect("chatlab").decode(encode_message(posted)) == (posted,)
