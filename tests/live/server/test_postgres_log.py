"""Nodes on a PostgreSQL database, which may be gone, and its URL, whose password nobody may see."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from chatlab.cli import app
from chatlab.errors import SettingsError
from chatlab.hub import Notice, Person
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.live.server.postgres_log import PostgresLog
from chatlab.live.server.postgres_statements import MAX_NAMES
from chatlab.live.server.store import StoreError
from tests.live.server.members import join
from tests.live.server.test_logs import news
from tests.live.server.visitors import visit
from tests.live.watch import until
from tests.postgres import Postgres, postgres

PASSWORD = "hunter2"


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A server of its own for a test that stops it."""
    server = Postgres()
    yield server
    server.close()


@pytest.mark.requires("postgresql")
@pytest.mark.xdist_group("postgresql")
async def test_servers_on_one_database_are_nodes_of_one_service() -> None:
    url = postgres().new_database()
    async with EmbeddedServer(url) as one, EmbeddedServer(url, node="b") as other:
        async with join(one) as ada, join(other, "bob") as bob, visit(one) as here, visit(other) as there:
            await ada.until(type="presence", state="joined", sender="bob")
            there.token = await here.fetch_token()
            assert (await there.post("m1", "c1")).status_code == 201
            assert (await here.post("m1", "c1")).status_code == 200
            await ada.post("m2")
            await bob.until(type="message", text="m2")
            for member in (ada, bob):
                texts = [frame["text"] for frame in member.seen if frame["type"] == "message"]
                assert texts == ["m1", "m2"]
            await bob.send(type="typing")
            await ada.until(type="typing", sender="bob")
        with pytest.raises(StoreError, match=r"^a node named main runs on the database 'chat\d+' on 127"):
            await EmbeddedServer(url).start()


@pytest.mark.requires("postgresql")
@pytest.mark.xdist_group("postgresql")
async def test_a_database_that_is_gone_is_reported_once_and_comes_back(
    server: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    url = server.new_database()
    async with (
        EmbeddedServer(url) as one,
        EmbeddedServer(url, node="b") as other,
        visit(one) as eve,
        join(one) as ada,
        join(other, "bob") as bob,
    ):
        await ada.until(type="presence", state="joined", sender="bob")
        await eve.say("m1")
        server.stop()
        for _ in range(3):
            answer = await eve.post("m2", "c2")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        await until(lambda: caplog.text.count("is gone") == 2)  # once for each node
        assert caplog.text.count("; messages are refused until it is back") == 2
        server.start()
        await until(lambda: caplog.text.count("is back; ") == 2)
        async with join(other, "cy"):
            await ada.until(type="presence", state="joined", sender="cy")
        assert (await eve.post("m2", "c2")).status_code == 201
        await bob.until(type="message", text="m2")
        await ada.until(type="message", text="m2")
    for member in (ada, bob):
        assert [frame["text"] for frame in member.seen if frame["type"] == "message"] == ["m1", "m2"]


@pytest.mark.requires("postgresql")
@pytest.mark.xdist_group("postgresql")
def test_notices_before_a_list_of_people_do_not_count_twice() -> None:
    url = postgres().new_database()
    one, other = PostgresLog(url, "a", "e"), PostgresLog(url, "b", "e")
    one.tell([Notice("joined", "a", "ada")])  # in the list of people, and its notice is on its way
    assert other.report().people == [Person("a", "a", "ada")]
    one.tell([Notice("left", "a", "ada")])  # comes after the other notice
    assert news(other)[1] == [Notice("left", "a", "ada", "a")]
    one.tell([Notice("joined", "a", "x" * (MAX_NAMES + 1))])  # too long for a notification
    while (report := other.report()).people is None:
        time.sleep(0.001)
    assert [len(person.sender) for person in report.people] == [MAX_NAMES + 1]
    one.close()
    other.close()


@pytest.mark.parametrize(
    "url", [f"postgresql://ada:{PASSWORD}@127.0.0.1:1/chat", f"postgresql://ada:{PASSWORD}/2@h:x/chat"]
)
def test_no_error_shows_the_password(url: str, caplog: pytest.LogCaptureFixture) -> None:
    ended = CliRunner().invoke(app, ["serve", "--port", "0", "--db", url])
    assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith(
        (
            "chatlab serve: the database 'chat' on 127.0.0.1 can't be reached: ",
            "chatlab serve: --db: not a URL",
        )
    )
    assert PASSWORD not in ended.stderr + caplog.text
    server = EmbeddedServer(url)
    assert PASSWORD not in repr(server)


async def test_without_psycopg_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "chatlab.live.server.postgres_log", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(
        SettingsError, match=r"needs psycopg \(.*\); install it with: pip install 'chatlab\[post"
    ):
        await EmbeddedServer("postgresql://h/chat").start()
