"""One world for all machines: a lossy network, the real hub behind it, and what must hold whatever happens.

hypothesis chooses what people and the network do; after every step the invariants are checked, and at the end
the world heals and everything must have come to its end. A further machine is a further `World`: it says how
effects reach the hub (`carry_out`), what its network can do next (`moves`, `troubles`), and how it heals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from math import inf
from random import Random
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec import Struct

from chatlab.dialects import find_dialect
from chatlab.dialects.base import Nack, ServerPing, Welcome
from chatlab.dialects.chatlab import decode_client_frame, encode_frame, encode_message
from chatlab.hub import Expel, Hub, HubConfig, Keep, Output, Reply
from chatlab.messages import ChatMessage, ConnectionStatus, DeliveryState, OutgoingMessage
from chatlab.settings import HeartbeatConfig, OutboxConfig, ReconnectConfig, WebSocketConfig
from chatlab.transports.machine import (
    Close,
    Closed,
    Connect,
    Deliver,
    Disconnect,
    Effect,
    Event,
    Failure,
    Machine,
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
from chatlab.transports.websocket import WebSocketMachine

QUEUED, SENT, ACKED, DROPPED, EXPIRED, FAILED = DeliveryState
LEGAL = {QUEUED: {SENT, DROPPED, EXPIRED}, SENT: {SENT, ACKED, EXPIRED, FAILED}}
"""SPEC §1: queued → sent → acked, or dropped, expired or failed. What is resent is sent once more."""

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
    *(Failure("http", code) for code in (200, 401, 403, 500)),
    Failure("http", 503, "busy", retry_after=20.0),
    Failure("http", 429, "junk", retry_after=-1e300),
]


class Choices(Struct, frozen=True):
    """The settings that matter here, chosen by hypothesis."""

    outbox: OutboxConfig
    heartbeat: HeartbeatConfig
    reconnect: ReconnectConfig
    history: int | None
    drain_timeout: float
    renewable: bool
    retain: int | None  # of the hub; None: it forgets nothing


Move = Callable[[], None]


class World:
    """A machine, its application, the hub, and other people. The network is a subclass's."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.now = 0.0
        self.hub = Hub(
            HubConfig(retain=choices.retain or 10_000, rate=1e9),
            epoch="e",
            utc=lambda: datetime(2026, 11, 23, tzinfo=UTC),
        )
        self.posts: list[ChatMessage] = []  # all that the hub ever kept
        self.shown: list[ChatMessage] = []
        self.accepted: list[str] = []
        self.ledger: dict[str, DeliveryState] = {}
        self.stands_at: int | None = None  # how many of the posts came before what may be delivered next
        self.wants = False  # to be connected
        self.members = BOB
        self.machine = self.make_machine()
        self.spread(self.hub.join(BOB, "lobby", "bob", 0.0))

    # A subclass's

    def make_machine(self) -> Machine:
        raise NotImplementedError

    def carry_out(self, effect: Effect) -> None:
        """Carry out an effect on the network."""
        raise NotImplementedError

    def moves(self) -> list[Move]:
        """What a good network and server can do next."""
        raise NotImplementedError

    def troubles(self) -> list[Move]:
        """What can go wrong next."""
        raise NotImplementedError

    def down(self, member: int, frame: str | bytes) -> None:
        """Let the server send a member's connection a frame."""
        raise NotImplementedError

    def heal(self) -> Iterator[Move]:
        """Yield what makes the network good again and then lets everything that is under way arrive."""
        raise NotImplementedError

    def stale(self) -> list[Event]:
        """News of links that the machine has done with."""
        raise NotImplementedError

    def check(self) -> None:
        """Check the invariants that are the network's."""

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
                case Notify():
                    assert self.machine.status == changes_of(effects)[-1]
                case Refuse():
                    pass
                case _:
                    self.carry_out(effect)
        return effects

    def read(self, message: ChatMessage) -> None:
        """Whatever is shown comes in the log's order, once, and without a silent gap."""
        place = next(place for place, post in enumerate(self.posts) if post.id == message.id)
        assert message == self.posts[place]
        assert self.stands_at is not None, "a message before a welcome"
        assert place == self.stands_at, f"{message.id} is not what came next"
        self.stands_at = place + 1
        self.shown.append(message)

    def submit(self, message: OutgoingMessage) -> None:
        fits = self.machine.accepts(message)
        unsettled = message.client_id in self.ledger and self.ledger[message.client_id] in (QUEUED, SENT)
        if not unsettled and fits:
            self.accepted.append(message.client_id)
            self.ledger[message.client_id] = QUEUED
        refusals = [effect for effect in self.do(Submit(message)) if isinstance(effect, Refuse)]
        expected = [Refuse(message.client_id, "duplicate")] if unsettled else []
        assert refusals == (expected or ([] if fits else [Refuse(message.client_id, "full")]))

    # The server

    def join(self, query: dict[str, str]) -> int:
        """Let the person's new connection in; return its member number."""
        self.members += 1
        history = int(query["history"]) if "history" in query else None
        outputs = self.hub.join(
            self.members, query["room"], query["sender"], self.now, after=query.get("after"), history=history
        )
        self.spread(outputs)
        return self.members

    def hear(self, member: int, frame: str | bytes) -> None:
        self.spread(self.hub.receive(member, frame, self.now))

    def repeat(self, back: int) -> None:
        """Let the server say again what it has said."""
        for post in self.shown[-back:]:
            self.down(self.members, encode_message(post))

    def spread(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Keep():
                    self.posts.append(output.message)
                case Reply():
                    for member in output.members:
                        if member != BOB:
                            self.down(member, output.frame)
                case Expel():
                    raise AssertionError(f"expelled: {output.reason}")

    def welcomed(self, frame: str | bytes) -> None:
        """Follow the cursor that a welcome gives to whom has none, or has one that the hub no longer
        knows."""
        for item in find_dialect("chatlab").decode(frame):
            if isinstance(item, Welcome) and (item.resync or self.stands_at is None):
                assert item.cursor is not None
                self.stands_at = int(item.cursor.removeprefix("e-"))

    # What must always hold

    def unsettled(self) -> list[str]:
        return [id for id, state in self.ledger.items() if state in (QUEUED, SENT)]

    def invariants(self) -> None:
        machine = self.machine
        if machine.status in (ConnectionStatus.CONNECTING, ConnectionStatus.RECONNECTING):
            assert machine.deadline < inf, "stuck"
            assert self.wants, "nobody asked it to"
        if machine.status == ConnectionStatus.CONNECTED and self.choices.heartbeat.enabled:
            assert machine.deadline < inf, "deaf"
        assert list(self.ledger.values()).count(QUEUED) <= self.choices.outbox.max_size
        keys = [(post.sender, post.client_id) for post in self.posts]
        if self.choices.retain is None:
            assert len(keys) == len(set(keys)), "posted twice"
            mine = [post.client_id for post in self.posts if post.sender == "ada"]
            assert mine == [id for id in self.accepted if id in mine], "out of order"
        assert {id for id, state in self.ledger.items() if state == ACKED} <= {
            client_id for _, client_id in keys
        }
        self.check()

    def tick(self) -> None:
        """Go to the deadline. A machine may want several ticks at one time, but not for ever."""
        if self.machine.deadline == inf:
            return
        self.now = max(self.now, self.machine.deadline)
        for _ in range(5):
            self.do(Tick())
            if self.machine.deadline > self.now:
                return
        raise AssertionError("it spins")

    def epilogue(self) -> None:
        """The world heals: then everything accepted must settle, and everything posted must be shown."""
        for _ in range(60):
            if (
                self.machine.status in (ConnectionStatus.DISCONNECTED, ConnectionStatus.ERROR)
                or not self.wants
            ):
                self.do(Connect())
            for act in self.heal():
                act()
                self.invariants()
            if self.machine.status == ConnectionStatus.CONNECTED and not self.unsettled():
                break
            self.tick()
        assert self.machine.status == ConnectionStatus.CONNECTED
        assert self.unsettled() == []
        assert self.stands_at == len(self.posts), "something was never shown"
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


class Wire:
    """A WebSocket: what is on its way in both directions."""

    def __init__(self, link: int, query: dict[str, str]) -> None:
        self.link = link
        self.query = query
        self.member: int | None = None  # None: the handshake isn't done
        self.up: deque[str | bytes | Ping] = deque()
        self.downward: deque[str | bytes | Pong] = deque()
        self.cut = False  # half-open: nothing arrives any more, and nobody is told


class WebSocketWorld(World):
    """WebSockets that are refused, cut, closed, or fall silent at any time."""

    def make_machine(self) -> Machine:
        choices = self.choices
        self.wires: dict[int, Wire] = {}  # that the machine counts on
        self.ended: list[int] = []
        self.by_member: dict[int, Wire] = {}
        config = WebSocketConfig(
            url="ws://h/",
            sender="ada",
            history=choices.history,
            drain_timeout=choices.drain_timeout,
            headers=(lambda failure: {}) if choices.renewable else None,
            outbox=choices.outbox,
            heartbeat=choices.heartbeat,
            reconnect=choices.reconnect,
        )
        return WebSocketMachine(config, find_dialect("chatlab"), Random(0).random)

    def carry_out(self, effect: Effect) -> None:
        match effect:
            case OpenWebSocket():
                assert effect.link not in self.ended
                self.wires[effect.link] = Wire(effect.link, effect.query)
                assert len(self.wires) == 1, "two live links"
            case Send() | SendBytes() | Ping():
                wire = self.wires[effect.link]
                assert wire.member is not None, "a frame before the handshake"
                wire.up.append(effect if isinstance(effect, Ping) else effect.data)
            case Close():
                self.drop(effect.link)
            case _:
                raise AssertionError(f"a WebSocket has no {effect}")

    def drop(self, link: int) -> Wire:
        wire = self.wires.pop(link)
        self.ended.append(link)
        if wire.member is not None:
            del self.by_member[wire.member]
            self.hub.leave(wire.member)
        return wire

    def down(self, member: int, frame: str | bytes) -> None:
        if member in self.by_member:
            self.by_member[member].downward.append(frame)

    def check(self) -> None:
        idle = self.machine.status in (ConnectionStatus.DISCONNECTED, ConnectionStatus.ERROR)
        assert not (idle and self.wires), "a link nobody wants"

    def stale(self) -> list[Event]:
        links = [0, *self.ended, max(self.ended, default=0) + 100]
        return [
            event
            for link in links
            for event in (
                Opened(link),
                Received(link, '{"type":"message","id":"e-1"}'),
                Received(link, '{"type":"ack","client_id":"m0"}'),
                Received(link, '{"type":"welcome","cursor":"e-0","resync":true}'),
                ReceivedBytes(link, b"\xc1"),
                Pong(link, 1),
                Closed(link, Failure("reset")),
                Closed(link, Failure("close", 1000)),
            )
        ]

    # What the network does

    def moves(self) -> list[Move]:
        moves: list[Move] = []
        for wire in self.wires.values():
            if wire.cut:
                continue
            if wire.member is None:
                moves.append(self.accepting(wire))
            if wire.up:
                moves.append(self.upward(wire))
            if wire.downward:
                moves.append(self.arriving(wire))
        return moves

    def troubles(self) -> list[Move]:
        troubles: list[Move] = []
        for wire in self.wires.values():
            troubles += [self.failing(wire, failure) for failure in FAILURES]
            if wire.member is not None and not wire.cut:
                troubles += [self.cutting(wire), self.pinging(wire)] * 4
                if wire.up:
                    troubles += [self.refusing(wire)] * 4
        return troubles

    def accepting(self, wire: Wire) -> Move:
        def act() -> None:
            wire.member = self.members + 1
            self.by_member[wire.member] = wire
            assert self.join(wire.query) == wire.member
            self.do(Opened(wire.link))

        return act

    def failing(self, wire: Wire, failure: Failure) -> Move:
        def act() -> None:
            self.drop(wire.link)
            self.do(Closed(wire.link, failure))

        return act

    def cutting(self, wire: Wire) -> Move:
        def act() -> None:
            wire.cut = True

        return act

    def pinging(self, wire: Wire) -> Move:
        return lambda: wire.downward.append(encode_frame(ServerPing(5)))

    def upward(self, wire: Wire) -> Move:
        def act() -> None:
            frame = wire.up.popleft()
            if isinstance(frame, Ping):
                wire.downward.append(Pong(wire.link, frame.id))
            else:
                assert wire.member is not None
                self.hear(wire.member, frame)

        return act

    def refusing(self, wire: Wire) -> Move:
        def act() -> None:
            frame = wire.up.popleft()
            said = None if isinstance(frame, Ping) else decode_client_frame(frame)
            if isinstance(said, OutgoingMessage):
                wire.downward.append(encode_frame(Nack(said.client_id, 422, "no")))

        return act

    def arriving(self, wire: Wire) -> Move:
        def act() -> None:
            frame = wire.downward.popleft()
            if isinstance(frame, Pong):
                self.do(frame)
                return
            self.welcomed(frame)
            self.do(Received(wire.link, frame) if isinstance(frame, str) else ReceivedBytes(wire.link, frame))

        return act

    def heal(self) -> Iterator[Move]:
        for wire in list(self.wires.values()):
            if wire.cut:
                yield self.failing(wire, Failure("reset"))
                continue
            if wire.member is None:
                yield self.accepting(wire)
            while wire.link in self.wires and (wire.up or wire.downward):
                yield self.upward(wire) if wire.up else self.arriving(wire)

    def garbage(self, frame: str | bytes) -> None:
        """Whatever the server says, the machine must bear it."""
        for wire in list(self.wires.values()):
            if wire.member is not None and not wire.cut:
                self.do(
                    Received(wire.link, frame) if isinstance(frame, str) else ReceivedBytes(wire.link, frame)
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
)


class Story(RuleBasedStateMachine):
    """What people, the network and the clock do to one machine."""

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
        """Some frames arrive, the connection ends, the person writes on, and the network is back."""
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
            frame = find_dialect("chatlab").encode(OutgoingMessage("yo", client_id=f"b{len(world.posts)}"))
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

    @precondition(lambda self: isinstance(self.world, WebSocketWorld))
    @rule(frame=st.sampled_from(GARBAGE) | st.text(max_size=20) | st.binary(max_size=20))
    def garbage(self, frame: str | bytes) -> None:
        assert isinstance(self.world, WebSocketWorld)
        self.world.garbage(frame)

    @invariant()
    def always(self) -> None:
        self.world.invariants()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.epilogue()


def told(value: Any) -> Any:
    """All that a machine remembers, as comparable data."""
    kind = type(value)
    if not kind.__module__.startswith("chatlab.transports") or isinstance(value, Struct):
        return repr(value)
    names = [name for base in kind.__mro__ for name in getattr(base, "__slots__", ())]
    return kind.__name__, {
        name: told(getattr(value, name)) for name in names if name not in ("_uniform", "_config", "_dialect")
    }


def run_story(world: type[World], examples: int) -> None:
    story = type(world.__name__, (Story,), {"world_type": world})
    run_state_machine_as_test(
        story, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None)
    )


def test_websocket() -> None:
    run_story(WebSocketWorld, 400)


def test_the_hub_speaks_to_the_reader_as_encoded() -> None:
    """What `World.read` compares is what was posted, not what the test made of it."""
    posted = ChatMessage("e-1", "ada", "hi", "c1", datetime(2026, 11, 23, tzinfo=UTC), b"\0")
    assert find_dialect("chatlab").decode(encode_message(posted)) == (posted,)
