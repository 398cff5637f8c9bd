"""The contract of every log that outlives its server, and of those that several nodes share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatlab.hub import Log, LogLimits, MemoryLog, Notice, Page, Person, SharedLog
from chatlab.hub.log import OVERHEAD
from chatlab.hub.nodes import Report
from chatlab.live.server.node_store import NodeStore
from chatlab.live.server.postgres_log import PostgresLog
from chatlab.live.server.store import Store, StoreError
from chatlab.messages import ChatMessage, OutgoingMessage
from tests.postgres import postgres

PATIENCE = 5.0
AT = datetime(2026, 11, 23, 12, 0, 0, 123456, UTC)


class Place(Protocol):
    """The place of one kind of log, which can be opened again."""

    def log(self, node: str = "a", epoch: str = "e1", **limits: Any) -> Any:
        """Open the log as a node."""


class InFile:
    """An SQLite file, for one server or for nodes."""

    def __init__(self, folder: Path, *, shared: bool) -> None:
        self.path = folder / "chat.db"
        self._shared = shared

    def log(self, node: str = "a", epoch: str = "e1", **limits: Any) -> Any:
        if self._shared:
            return NodeStore(self.path, node, epoch, LogLimits(**limits))
        return Store(self.path, epoch, LogLimits(**limits))


class InDatabase:
    """A PostgreSQL database."""

    def __init__(self, url: str) -> None:
        self.url = url

    def log(self, node: str = "a", epoch: str = "e1", **limits: Any) -> Any:
        return PostgresLog(self.url, node, epoch, LogLimits(**limits))


PLACES: dict[str, Callable[[Path], Place]] = {
    "file": lambda folder: InFile(folder, shared=False),
    "shared file": lambda folder: InFile(folder, shared=True),
    "database": lambda folder: InDatabase(postgres().new_database()),
}
KINDS = [
    pytest.param(
        name,
        marks=[pytest.mark.requires("postgresql"), pytest.mark.xdist_group("postgresql")]
        if name == "database"
        else [],
    )
    for name in PLACES
]
SHARED = KINDS[1:]


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return PLACES[request.param](tmp_path)


@pytest.fixture(params=SHARED)
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return PLACES[request.param](tmp_path)


@pytest.fixture
def nodes(shared: Place) -> Iterator[tuple[Any, Any]]:
    """Two nodes that have heard of each other."""
    one, other = shared.log("a"), shared.log("b")
    one.report()
    other.report()
    yield one, other
    one.close()
    other.close()


def posted(number: int, **fields: Any) -> ChatMessage:
    given: dict[str, Any] = {"sender": "ada", "text": f"m{number}", "posted_at": AT} | fields
    return ChatMessage(id=f"e1-{number}", **given)


def add(log: Log, text: str = "hi", room: str = "a", **fields: Any) -> ChatMessage:
    return log.append(room, "ada", OutgoingMessage(text, **fields), AT).message


def all_of(log: Log, room: str = "a") -> list[ChatMessage]:
    return list(log.latest(room, None).messages)


def plain(page: Page) -> tuple[str, list[ChatMessage], bool, bool]:
    return page.start, list(page.messages), page.more, page.gap


def pages(log: Log, room: str, history: int | None, limit: int) -> list[Any]:
    page = log.latest(room, history, limit)
    told = [plain(page)]
    while page.more:
        page = log.after(room, page.end, limit)
        told.append(plain(page))
    return told


# Every log


def test_stored_messages_are_read_unchanged(place: Place) -> None:
    strange: list[dict[str, Any]] = [
        {"client_id": "c-1"},
        {"text": '"\0\r\n\u2028 😀 '},
        {"text": "", "data": b"\0\xff"},
        {"text": "with data", "data": b""},
    ]
    store = place.log()
    kept = [add(store, **{"text": "m", **fields}) for fields in strange]
    assert kept == [posted(number, **{"text": "m", **fields}) for number, fields in enumerate(strange, 1)]
    kept.append(store.append("a", "ada", OutgoingMessage("timeless"), None).message)
    add(store, "m1", "räum '; --")
    store.close()
    store = place.log(epoch="another")
    assert store.epoch == "e1"
    assert (all_of(store), all_of(store, "räum '; --")) == (kept, [posted(1)])
    assert add(store).id == "e1-6"
    store.close()


def test_a_client_id_is_known_for_as_long_as_its_message_is_kept(place: Place) -> None:
    store = place.log()
    first = store.append("a", "ada", OutgoingMessage("one", client_id="c1"), AT)
    assert first.new
    store.close()
    store = place.log(epoch="another", retain=2)
    again = store.append("a", "ada", OutgoingMessage("other", client_id="c1"), None)
    assert again == (first.message, False)
    assert store.append("a", "bob", OutgoingMessage("one", client_id="c1"), AT).new
    assert store.append("b", "ada", OutgoingMessage("one", client_id="c1"), AT).new
    add(store)
    assert store.append("a", "ada", OutgoingMessage("one", client_id="c1"), AT) == (
        posted(4, text="one", client_id="c1"), True,
    )  # fmt: skip
    store.close()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(
    sizes=st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 9)), max_size=20),
    retain=st.integers(1, 8),
    retain_size=st.integers(1, 20).map(lambda size: size + 3 * OVERHEAD),
    limit=st.integers(1, 9),
    restart=st.integers(0, 20),
)
def test_a_log_gives_its_readers_the_same_as_one_in_memory(
    kind: str, sizes: list[tuple[str, int]], retain: int, retain_size: int, limit: int, restart: int
) -> None:
    bounds: dict[str, Any] = {"retain": retain, "retain_size": retain_size}
    with TemporaryDirectory() as folder:
        place = PLACES[kind](Path(folder))
        store = place.log(epoch="e", **bounds)
        memory = MemoryLog("e", LogLimits(**bounds))
        for index, (room, size) in enumerate(sizes):
            if index == restart:
                store.close()
                store = place.log(**bounds)
            text, client_id = "é" * size, f"c{index}"
            if index % 3 == 0:
                assert pages(store, room, 2, limit) == pages(memory, room, 2, limit)
            assert add(store, text, room, client_id=client_id) == add(memory, text, room, client_id=client_id)
        for room in "ab":
            for history in (None, 0, 3):
                assert pages(store, room, history, limit) == pages(memory, room, history, limit)
            for number in range(22):
                assert plain(store.after(room, f"e-{number}")) == plain(memory.after(room, f"e-{number}"))
        store.close()


# Logs that nodes share


def test_nodes_share_epoch_secret_and_order(nodes: tuple[Any, Any]) -> None:
    one, other = nodes
    assert (one.epoch, one.csrf_secret) == (other.epoch, other.csrf_secret)
    assert len(one.csrf_secret) >= 32
    for number in range(1, 7):
        assert add(one if number % 3 else other, f"m{number}") == posted(number)
    assert all_of(one) == all_of(other) == [posted(number) for number in range(1, 7)]


def test_a_client_id_is_known_at_every_node(nodes: tuple[Any, Any]) -> None:
    one, other = nodes
    first = one.append("a", "ada", OutgoingMessage("m1", client_id="c1"), AT)
    again = other.append("a", "ada", OutgoingMessage("changed", client_id="c1"), None)
    assert (first.new, again) == (True, (first.message, False))


def test_every_node_drops_what_is_beyond_the_limits(shared: Place) -> None:
    limits: dict[str, Any] = {"retain": 3, "retain_size": 2 * OVERHEAD + 5}
    one, other = shared.log("a", **limits), shared.log("b", **limits)
    memory = MemoryLog("e1", LogLimits(**limits))
    for number, size in enumerate([1, 3, 1, 4, 9, 1, 1, 1], 1):
        for log in (one if number % 2 else other, memory):
            add(log, "x" * size)
        for log in (one, other):
            assert plain(log.latest("a", None)) == plain(memory.latest("a", None))
            assert plain(log.after("a", "e1-1")) == plain(memory.after("a", "e1-1"))
    one.close()
    other.close()


def test_many_nodes_that_begin_together_begin_one_log_and_give_each_number_once(shared: Place) -> None:
    count = 12  # So few that none waits for BUSY_TIMEOUT, also on a slow disk.

    def live(node: str) -> tuple[str, bytes, list[str]]:
        log = shared.log(node, epoch=node)
        ids = [add(log, f"{node} {number}").id for number in range(count)]
        log.close()
        return log.epoch, log.csrf_secret, ids

    names = ["a", "b", "c", "d"]
    with ThreadPoolExecutor(len(names)) as pool:
        lives = list(pool.map(live, names))
    (epoch,) = {epoch for epoch, _, _ in lives}
    assert len({secret for _, secret, _ in lives}) == 1
    assert sorted(int(id.rpartition("-")[2]) for *_, ids in lives for id in ids) == [
        *range(1, len(names) * count + 1)
    ]
    log = shared.log("e")
    messages = log.latest("a", None, 1000).messages
    assert [message.id for message in messages] == [
        f"{epoch}-{number + 1}" for number in range(len(names) * count)
    ]
    for name, (*_, ids) in zip(names, lives, strict=True):
        assert [message.id for message in messages if message.text.startswith(name)] == ids
    log.close()


def news(log: SharedLog) -> tuple[Sequence[str], list[Notice]]:
    """Return what is reported at the next change: PostgreSQL's notifications take a moment."""
    until = time.monotonic() + PATIENCE
    while (report := log.report()) == Report() and time.monotonic() < until:
        time.sleep(0.001)
    assert report.people is None
    return report.rooms, list(report.notices)


def test_a_node_reports_what_others_did_once(nodes: tuple[Any, Any]) -> None:
    one, other = nodes
    add(one)
    one.tell([Notice("joined", "a", "ada"), Notice("typing", "b", "bob"), Notice("left", "a", "ada")])
    found = [news(other)]
    if not all(found[0]):  # Asked between two notifications of PostgreSQL, it reports the second one next.
        found.append(news(other))
    assert [room for rooms, _ in found for room in rooms] == ["a"]
    assert [notice for _, notices in found for notice in notices] == [
        Notice("joined", "a", "ada", "a"), Notice("typing", "b", "bob", "a"), Notice("left", "a", "ada", "a"),
    ]  # fmt: skip
    assert other.report() == Report()
    assert list(one.report().notices) == []


def test_a_new_node_is_told_all_people_of_the_others(shared: Place) -> None:
    one = shared.log("a")
    one.tell([Notice("joined", "a", name) for name in ("ada", "bob", "ada", "eve")])
    one.tell([Notice("left", "a", name) for name in ("eve", "nobody", "ada")])
    other = shared.log("b")
    report = other.report()
    assert sorted(report.people) == [Person("a", "a", "ada"), Person("a", "a", "bob")]
    assert sorted(one.report().people) == sorted(report.people)
    one.close()
    left = sorted(news(other)[1], key=lambda notice: notice.sender)
    assert left == [Notice("left", "a", "ada", "a"), Notice("left", "a", "bob", "a")]
    other.close()


def test_the_people_of_a_dead_node_have_left_and_those_of_a_living_one_have_not(shared: Place) -> None:
    one, other = shared.log("a"), shared.log("b")
    other.report()
    one.tell([Notice("joined", "a", "ada")])
    other.bury()
    assert news(other)[1] == [Notice("joined", "a", "ada", "a")]
    die(one)
    until = time.monotonic() + PATIENCE
    while (report := other.report()) == Report() and time.monotonic() < until:
        other.bury()  # PostgreSQL notices a moment later that a connection has ended.
    assert list(report.notices) == [Notice("left", "a", "ada", "a")]
    other.tell([Notice("joined", "a", "bob")])
    die(other)
    again = shared.log("b")  # It finds its own people of before, and removes them.
    assert again.report().people == []
    last = shared.log("c")
    assert last.report().people == []
    again.close()
    last.close()


def die(log: Any) -> None:
    """Release what the system releases when a node's process dies."""
    own = getattr(log, "_database", log)._connection
    for connection in (own, getattr(log, "_notices", None), getattr(log, "_lock", None)):
        if connection is not None:
            connection.close()
    log._notices = None


def test_a_name_belongs_to_one_node_at_a_time(shared: Place) -> None:
    one = shared.log("a")
    with pytest.raises(
        StoreError, match=r"a node named a runs on .* already; give each node a name of its own"
    ):
        shared.log("a")
    one.close()
    one.close()
    shared.log("a").close()
