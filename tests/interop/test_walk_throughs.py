"""The dialects that docs/dialects.md writes out, against graphql-ws and prosody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chatlab.dialects import Dialect
from chatlab.messages import ConnectionStatus, DeliveryState
from chatlab.settings import HeartbeatConfig
from tests.docs.blocks import ROOT, blocks
from tests.interop.delivery import first_connections
from tests.interop.npm import install, port_of, program
from tests.interop.prosody import Prosody
from tests.live.watch import PERSISTENT, talking, until

pytestmark = pytest.mark.proof
_, _, CONNECTED, RECONNECTING, ERROR = ConnectionStatus
BEATS = HeartbeatConfig(interval=0.05, timeout=10.0)


def from_page(name: str, dialect: str) -> type[Dialect]:
    """Return the dialect of the page's block that begins with this file's name."""
    page = (ROOT / "docs" / "dialects.md").read_text(encoding="utf-8")
    [text] = [block.text for block in blocks(page) if block.text.startswith(f"# {name}.py\n")]
    names: dict[str, Any] = {}
    exec(compile(text, name, "exec"), names)
    found: type[Dialect] = names[dialect]
    return found


async def talk(url: str, dialect: type[Dialect], ada: Any, bob: Any, room: str) -> None:
    """Connect two people, each with their headers, and send messages both ways."""
    settings: dict[str, Any] = {"room": room, "reconnect": PERSISTENT, "heartbeat": BEATS}
    with (
        talking("websocket", url, "ada", dialect=dialect(), headers=ada, **settings) as (one, watch),
        talking("websocket", url, "bob", dialect=dialect(), headers=bob, **settings) as (two, other),
    ):
        early = one.submit("early & <bold>")
        await one.connect()
        await two.connect()
        assert (await early.settled()) is DeliveryState.ACKED
        for chat in (one, two):
            receipt = await chat.send(f"héllo from {chat.config.sender}")
            assert (await receipt.settled()) is DeliveryState.ACKED
        talk = ["héllo from ada", "héllo from bob"]
        await until(lambda: watch.texts[-2:] == other.texts[-2:] == talk)
        assert [event.sender for event in watch.of("message")][-2:] == ["ada", "bob"]
        await until(lambda: one.rtt is not None)
        assert not watch.of("unreadable") + other.of("unreadable")
        await one.disconnect()
        await two.disconnect()


async def refused(url: str, dialect: type[Dialect], headers: Any) -> str:
    """Return why a connection with these headers ends."""
    with talking("websocket", url, "eve", dialect=dialect(), headers=headers) as (eve, watch):
        eve.start()
        change = await watch.ended()
        assert change.status is ERROR
        return change.reason


@pytest.mark.requires("node")
async def test_graphql_subscriptions() -> None:
    install()
    dialect, token = from_page("graphql_dialect", "GraphQLDialect"), {"token": "sesame"}
    with program("graphql_server.mjs") as server:
        url = f"ws://127.0.0.1:{port_of(server)}"
        await talk(url, dialect, token, token, "attic")
        assert "Forbidden" in await refused(url, dialect, {"token": "wrong"})
        with talking("websocket", url, "ada", dialect=dialect(), headers=token, room="den") as (ada, _):
            await ada.connect()
            assert (await (await ada.send("forbidden")).settled()) is DeliveryState.FAILED
            await ada.disconnect()
        settings: dict[str, Any] = {"dialect": dialect(), "headers": token, "room": "attic"}
        assert not await first_connections("websocket", url, 20, **settings)


@pytest.mark.requires("prosody")
async def test_xmpp_rooms(tmp_path: Path) -> None:
    dialect = from_page("xmpp_dialect", "XmppDialect")
    server = Prosody(tmp_path, ada="pw-a", bob="pw-b")
    server.start()
    try:
        ada, bob = ({"username": name, "password": f"pw-{name[0]}"} for name in ("ada", "bob"))
        await talk(server.url, dialect, ada, bob, "attic")
        wrong = await refused(server.url, dialect, {"username": "ada", "password": "pw-b"})
        assert "the user name or password is wrong" in wrong
        settings: dict[str, Any] = {"dialect": dialect(), "headers": ada, "room": "den"}
        assert not await first_connections("websocket", server.url, 20, **settings)
    finally:
        server.stop()
