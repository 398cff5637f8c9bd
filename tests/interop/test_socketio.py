"""The socket.io dialect against npm's socket.io and python-socketio."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from chatlab.dialects import SocketIODialect
from chatlab.errors import ConnectError
from chatlab.experiment.fault_proxy import FaultProxy
from chatlab.messages import ConnectionStatus, DeliveryState
from chatlab.settings import OutboxConfig, ReconnectConfig
from tests.interop.haproxy import haproxy
from tests.interop.npm import install
from tests.live.watch import PERSISTENT, talking, until
from tests.requirements import find
from tests.sizes import rows

HERE = Path(__file__).parent
_, _, CONNECTED, RECONNECTING, ERROR = ConnectionStatus
MESSAGES = 1000
DIALECT = SocketIODialect(join="join")
both = pytest.mark.parametrize("server", ["npm", "python"], indirect=True)
transports = pytest.mark.parametrize("kind", ["websocket", "long_polling"])
pytestmark = pytest.mark.requires("node")


class SocketIOServer:
    """A chat server in a process of its own, which can be restarted on its port."""

    def __init__(self, name: str, file: Path, *mode: str) -> None:
        self._command = {
            "npm": [str(find("node")), "socketio_server.mjs"],
            "python": [sys.executable, "socketio_server.py"],
        }[name]
        self._arguments = [str(file), *mode]
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        command = [*self._command, str(self._port), *self._arguments]
        self._process = subprocess.Popen(
            command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="session")
def node_modules() -> None:
    install()


@pytest.fixture
def server(request: pytest.FixtureRequest, node_modules: None, tmp_path: Path) -> Iterator[SocketIOServer]:
    running = SocketIOServer(request.param, tmp_path / "said.jsonl")
    yield running
    running.stop()


def url_for(kind: str, url: str) -> str:
    return url.replace("http://", "ws://") if kind == "websocket" else url


def settings(**more: Any) -> dict[str, Any]:
    return {"dialect": DIALECT, "reconnect": PERSISTENT, "error_delay": 0.02, "min_gap": 0.02, **more}


@pytest.mark.proof
@both
@transports
async def test_twenty_first_connections_with_a_message_before_at_once_and_after(
    server: SocketIOServer, kind: str
) -> None:
    async def one(number: int) -> list[ConnectionStatus]:
        with talking(kind, url_for(kind, server.url), **settings(sender=f"s{number}")) as (ada, watch):
            receipts = [ada.submit("before")]
            await ada.connect()
            receipts.append(await ada.send("at once"))
            await asyncio.sleep(0.05)
            receipts.append(await ada.send("after"))
            for receipt in receipts:
                assert await receipt.settled() is DeliveryState.ACKED
            await ada.disconnect()
            return watch.statuses

    for number in range(20):
        assert await one(number) == ["connecting", "connected", "disconnected"]


@pytest.mark.sampled(3)
@both
@transports
async def test_a_server_that_lets_nobody_in_says_why(server: SocketIOServer, kind: str) -> None:
    headers = {"Authorization": "Bearer wrong"}
    with talking(kind, url_for(kind, server.url), **settings(headers=headers)) as (ada, watch):
        with pytest.raises(ConnectError, match="not authorized"):
            await ada.connect()
        assert (await watch.ended()).reason == "refused by the server: not authorized (judged as HTTP 403)"


@pytest.mark.proof
@both
@transports
async def test_a_thousand_messages_survive_resets_and_a_restart(server: SocketIOServer, kind: str) -> None:
    async with FaultProxy(server.url) as proxy:
        url = url_for(kind, proxy.rebase(server.url))
        with (
            talking(kind, url, **settings(sender="ada", outbox=OutboxConfig(overflow="wait"))) as (ada, _),
            talking(kind, url, **settings(sender="bob")) as (bob, watch),
        ):
            await ada.connect()
            await bob.connect()

            async def trouble() -> None:
                for turn in count(1):
                    await asyncio.sleep(0.5)
                    proxy.reset()
                    if turn == 4:
                        server.stop()
                        await asyncio.sleep(0.5)
                        server.start()

            troubled = asyncio.create_task(trouble())
            receipts = []
            for number in range(MESSAGES):
                receipts.append(await ada.send(str(number)))
                await asyncio.sleep(0.01)
            for receipt in receipts:
                assert await receipt.settled() is DeliveryState.ACKED
            troubled.cancel()
            await until(lambda: len(watch.texts) >= MESSAGES)
            assert watch.texts == [str(number) for number in range(MESSAGES)]
            assert watch.statuses.count(RECONNECTING) >= 4
            assert not watch.of("unreadable")


@pytest.mark.parametrize("kind", rows(["websocket", "long_polling"], "websocket"))
async def test_connection_state_recovery_resumes_a_session(
    node_modules: None, tmp_path: Path, kind: str
) -> None:
    server = SocketIOServer("npm", tmp_path / "said.jsonl", "recovery")
    try:
        async with FaultProxy(server.url) as proxy:
            url = url_for(kind, proxy.rebase(server.url))
            with (
                talking(kind, url_for(kind, server.url), **settings(sender="ada")) as (ada, _),
                talking(kind, url, **settings(sender="bob")) as (bob, watch),
            ):
                await ada.connect()
                await bob.connect()
                assert await (await bob.send("zero")).settled() is DeliveryState.ACKED  # He is in the room.
                for text in ("one", "two"):
                    assert await (await ada.send(text)).settled() is DeliveryState.ACKED
                await until(lambda: watch.texts == ["zero", "one", "two"])
                proxy.reset()
                assert await (await ada.send("three")).settled() is DeliveryState.ACKED
                await until(lambda: watch.texts == ["zero", "one", "two", "three"])
                assert not watch.of("resync")
                server.stop()
                server.start()
                await until(lambda: watch.of("resync"))
    finally:
        server.stop()


BALANCED = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 1h
frontend public
    bind 127.0.0.1:PORT
    default_backend chat
backend chat
    balance roundrobin
    cookie NODE insert indirect nocache
    server one ONE cookie one
    server two TWO cookie two
"""


@pytest.mark.requires("haproxy")
@pytest.mark.parametrize("kind", rows(["websocket", "long_polling", "fallback"], "long_polling"))
async def test_a_balancers_cookie_leads_back_to_the_same_server(
    node_modules: None, tmp_path: Path, kind: str
) -> None:
    files = [tmp_path / name for name in ("one.jsonl", "two.jsonl")]
    one, two = (SocketIOServer("npm", file) for file in files)
    try:
        hosts = {"ONE": one.url.removeprefix("http://"), "TWO": two.url.removeprefix("http://")}
        text = BALANCED.replace("ONE", hosts["ONE"]).replace("TWO", hosts["TWO"])
        with haproxy(text) as url, talking(kind, url_for(kind, url), **settings()) as (ada, _):
            for turn in ("first", "second", "third"):
                await ada.connect()
                assert await (await ada.send(turn)).settled() is DeliveryState.ACKED
                await ada.disconnect()
        once = ReconnectConfig(max_attempts=0)
        with (
            haproxy(text.replace("    cookie NODE insert indirect nocache\n", "")) as url,
            talking("long_polling", url, **settings(reconnect=once)) as (bob, _),
            pytest.raises(ConnectError, match="the server doesn't know the session"),
        ):
            await bob.connect()
    finally:
        one.stop()
        two.stop()
    lengths = sorted(len(file.read_text().splitlines()) if file.exists() else 0 for file in files)
    assert lengths == [0, 3]
