"""Several servers on one history: what happens at one node reaches the people at all others."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chatlab.cli import app
from chatlab.errors import SettingsError
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.live.server.store import StoreError
from tests.live.server.members import Frame, Member, at, join
from tests.live.server.visitors import visit
from tests.live.watch import ALL, talking, until
from tests.processes import served


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[tuple[EmbeddedServer, EmbeddedServer]]:
    db = tmp_path / "chat.db"
    async with EmbeddedServer(db, node="a") as one, EmbeddedServer(db, node="b") as other:
        yield one, other


async def messages(member: Member, count: int) -> list[Frame]:
    """Read up to this number of messages, counted from the first."""
    while len(seen := [frame for frame in member.seen if frame["type"] == "message"]) < count:
        await member.read()
    return seen


async def test_the_members_of_all_nodes_get_the_same_messages_in_the_same_order(
    nodes: tuple[EmbeddedServer, EmbeddedServer],
) -> None:
    one, other = nodes
    async with join(one) as ada, join(other, "bob") as bob, visit(other, "cy") as cy:
        for number in range(1, 31):
            if number % 3 == 0:
                await cy.say(f"m{number}")
            else:  # The next message is sent before this one can have reached the other node.
                await (ada if number % 3 == 1 else bob).send(
                    type="message", text=f"m{number}", client_id=f"c{number}"
                )
        here, there = await messages(ada, 30), await messages(bob, 30)
        assert here == there
        assert [frame["id"] for frame in here] == [f"{one.epoch}-{number}" for number in range(1, 31)]
        assert sorted(frame["text"] for frame in here) == sorted(f"m{number}" for number in range(1, 31))
        for sender in ("ada", "bob", "cy"):
            own = [int(frame["text"][1:]) for frame in here if frame["sender"] == sender]
            assert own == sorted(own)


async def test_a_message_wakes_the_readers_of_another_node_whatever_their_transport(
    nodes: tuple[EmbeddedServer, EmbeddedServer],
) -> None:
    one, other = nodes
    async with visit(one, "eve") as eve:
        for kind in ALL:
            with talking(kind, other.url, room=kind) as (ada, watch):
                await ada.connect()
                eve.room = kind
                await eve.say("m1", "m2")
                await until(lambda watch=watch: watch.texts == ["m1", "m2"])  # type: ignore[misc]
                await ada.disconnect()


async def test_a_token_and_a_client_id_count_at_every_node(
    nodes: tuple[EmbeddedServer, EmbeddedServer],
) -> None:
    one, other = nodes
    assert one.epoch == other.epoch
    async with visit(one) as here, visit(other) as there:
        there.token = await here.fetch_token()
        first, again = await here.post("m1", "c1"), await there.post("m1", "c1")
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json() == again.json()
        assert (await there.post("m2", "c1")).status_code == 422
        assert [message["text"] for message in (await there.get("/messages")).json()] == ["m1"]


async def test_people_see_and_hear_each_other_across_nodes(
    nodes: tuple[EmbeddedServer, EmbeddedServer],
) -> None:
    one, other = nodes
    async with join(one) as ada, join(other, "bob") as bob:
        await ada.until(type="presence", state="joined", sender="bob")
        async with join(other, "cy") as cy:
            here = await cy.until(type="presence", state="here")
            assert sorted(here["people"]) == ["ada", "bob", "cy"]
            await cy.send(type="typing")
            await ada.until(type="typing", sender="cy")
        await ada.until(type="presence", state="left", sender="cy")
        await bob.until(type="presence", state="left", sender="cy")
        await other.stop()
        await ada.until(type="presence", state="left", sender="bob")


async def test_a_node_that_dies_blocks_nobody_and_its_people_leave(tmp_path: Path) -> None:
    db = tmp_path / "chat.db"
    async with EmbeddedServer(db, node="a") as one, join(one) as ada:
        with served("--port", "0", "--db", str(db), "--node", "b") as (process, url):
            other = at(url)
            async with join(other, "bob") as bob:
                await ada.until(type="presence", state="joined", sender="bob")
                await bob.post("m1")
                process.send_signal(signal.SIGKILL)
                await bob.closed()
        await ada.post("m2")
        await ada.until(type="presence", state="left", sender="bob")
        async with EmbeddedServer(db, node="b") as again, join(again, "bob") as bob:
            assert [frame["text"] for frame in await messages(bob, 2)] == ["m1", "m2"]


async def test_two_nodes_of_one_name_and_a_server_without_one_are_refused(tmp_path: Path) -> None:
    db = tmp_path / "chat.db"
    async with EmbeddedServer(db, node="a"):
        ended = await asyncio.to_thread(
            CliRunner().invoke, app, ["serve", "--port", "0", "--db", str(db), "--node", "a"]
        )
        assert (ended.exit_code, ended.stdout) == (1, "")
        assert ended.stderr == (
            f"chatlab serve: a node named a runs on {db} already; give each node a name of its own\n"
        )
        with pytest.raises(
            StoreError, match="in use by another server; choose another file, or let them share"
        ):
            await EmbeddedServer(db).start()
    async with EmbeddedServer(db):
        with pytest.raises(StoreError, match="in use by a server that isn't a node"):
            await EmbeddedServer(db, node="a").start()


@pytest.mark.parametrize("name", ["", "a b", "../a", ".a", "x" * 41, "a\n"])
def test_a_name_that_could_not_be_part_of_a_files_name_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"^node: .* is no name of a node; give 1 to 40 letters"):
        EmbeddedServer("chat.db", node=name)


def test_a_node_without_a_history_to_share_is_refused() -> None:
    ended = CliRunner().invoke(app, ["serve", "--port", "0", "--node", "a"])
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert (
        ended.stderr == "chatlab serve: --node: nodes share one history; give its file or URL, too, as db\n"
    )


async def test_an_error_in_the_exchange_is_logged_and_not_its_end(
    nodes: tuple[EmbeddedServer, EmbeddedServer],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, other = nodes
    monkeypatch.setattr("chatlab.live.server.node_driver.BURY_INTERVAL", 0.01)
    async with join(one) as ada, join(other, "bob") as bob:
        await bob.until(type="presence", state="here")
        with monkeypatch.context() as broken:
            broken.setattr("chatlab.live.server.node_store.NodeStore.report", lambda store: 1 / 0)
            await until(lambda: "the exchange with the other nodes failed" in caplog.text)
            await ada.send(type="message", text="m1")
        await bob.until(type="message", text="m1")
    await asyncio.sleep(0)


async def test_a_file_that_is_locked_for_a_while_delays_notices_only(
    nodes: tuple[EmbeddedServer, EmbeddedServer], tmp_path: Path
) -> None:
    import sqlite3

    one, other = nodes
    async with join(one) as ada:
        locked = sqlite3.connect(tmp_path / "chat.db", isolation_level=None)
        locked.execute("BEGIN IMMEDIATE")
        async with join(other, "bob"), visit(other) as cy:
            assert (await cy.get("/messages")).json() == []
            await until(lambda: other._runtime and other._runtime.driver.hub.notices)  # type: ignore[attr-defined]
            locked.execute("ROLLBACK")
            locked.close()
            await ada.until(type="presence", state="joined", sender="bob")
