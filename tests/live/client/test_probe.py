"""A probe says which transports and dialects answer, what is in between, and what to use."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner
from websockets.asyncio.server import ServerConnection, serve

from chatlab import Probe, SettingsError, WebSocketConfig, probe
from chatlab.cli import app
from chatlab.dialects import PhoenixDialect
from chatlab.experiment.fault_proxy import FaultProxy
from chatlab.faults import Buffering
from chatlab.live.client.probe_requests import MAX_REQUESTS
from chatlab.live.server.embedded_server import EmbeddedServer
from tests.live.misbehave import Misbehaving, Peer
from tests.processes import free_port

HTML = {"Content-Type": "text/html"}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait only half a second for what never comes."""
    monkeypatch.setattr("chatlab.live.client.probe_requests.PATIENCE", 0.5)


def rows(result: Probe) -> dict[str, bool]:
    return {row.transport: row.works for row in result.findings}


@asynccontextmanager
async def answering(script: object) -> AsyncIterator[Misbehaving]:
    async with Misbehaving(script) as server:  # type: ignore[arg-type]
        yield server


async def test_a_server_of_chatlab_has_every_transport_and_its_command() -> None:
    async with EmbeddedServer() as server:
        for url in (server.url, server.ws_url):
            result = await probe(url)
            assert rows(result) == dict.fromkeys(("websocket", "sse", "long_polling", "short_polling"), True)
            assert result.dialect == "chatlab"
            assert result.advice == f"It speaks chatlab. Use: chatlab chat {server.url}"
            assert isinstance(result.config, WebSocketConfig)
            assert result.config.url == server.ws_url
            assert result.requests == 7
        assert str(result).splitlines()[1].startswith("  websocket      works: greeted after ")
        assert repr(result) == str(result)


async def test_a_proxy_that_buffers_streams_is_found() -> None:
    async with EmbeddedServer() as server, FaultProxy(server.url) as proxy:
        proxy.inject(Buffering(at=0.0, duration=60.0))
        result = await probe(proxy.rebase(server.url))
    assert rows(result) == {"websocket": True, "sse": False, "long_polling": True, "short_polling": True}
    (stream,) = [row.note for row in result.findings if row.transport == "sse"]
    assert "a proxy buffers the stream; turn its buffering off" in stream


async def no_upgrade(peer: Peer) -> None:
    """Answer as a server of chatlab behind a proxy that drops the Upgrade header does."""
    while True:
        request = await peer.request()
        cursor = {"Chat-Cursor": "1-0", "Server": "proxy/1", "Via": "1.1 edge"}
        if request.path in ("/messages", "/messages/poll"):
            await peer.respond(200, cursor | {"Set-Cookie": "LB=7; Path=/"}, b"[]")
        elif request.path == "/ws":
            await peer.respond(
                426, {"Content-Type": "application/json"}, b'{"error": "this path is a WebSocket"}'
            )
        else:
            await peer.respond(404)


async def test_a_proxy_that_drops_the_upgrade_header_is_found() -> None:
    async with Misbehaving(no_upgrade) as server:
        result = await probe(server.url)
        assert len(server.requests) == result.requests <= MAX_REQUESTS
    assert rows(result) == {"websocket": False, "sse": False, "long_polling": True, "short_polling": True}
    assert "drops the Upgrade header: make it forward WebSockets" in result.findings[0].note
    assert "instead of being held for 1 s" in result.findings[2].note
    assert result.notes == (
        "Answers come from proxy/1.",
        "They came through 1.1 edge.",
        "A cookie is set (LB), perhaps by a balancer; transports send it back.",
    )
    assert result.advice.endswith(f"chatlab chat {server.url} --transport long_polling")
    assert type(result.config).__name__ == "LongPollingConfig"


async def page(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.respond(200, HTML, b"<title>Welcome</title>")


async def moved(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.respond(301, {"Location": "https://chat.example/"})


async def closed_gate(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.respond(401)


async def no_upstream(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.respond(502, HTML, b"<title>502 Bad Gateway</title>")


@pytest.mark.parametrize(
    ("script", "note", "says"),
    [
        (page, "HTTP 200: Welcome", "Every address answers with a web page"),
        (moved, "it redirects to https://chat.example/", "It redirects to https://chat.example/: give that"),
        (
            closed_gate,
            "HTTP 401",
            "Some requests need credentials (HTTP 401): give --header or --token-file.",
        ),
        (no_upstream, "HTTP 502: 502 Bad Gateway", "A proxy answers, but can't reach the server behind it."),
    ],
)
async def test_what_is_no_chat_server_is_said(script: object, note: str, says: str) -> None:
    async with answering(script) as server:
        result = await probe(server.url)
        assert len(server.requests) == result.requests <= MAX_REQUESTS
    assert result.dialect == ""
    assert result.config is None
    assert note in result.findings[0].note
    assert any(says in sentence for sentence in result.notes)
    assert result.advice == ("No dialect that chatlab knows answers there. Check the address and its path.")


async def engine_io(peer: Peer) -> None:
    """Answer as Engine.IO does behind a proxy that drops the Upgrade header."""
    while True:
        request = await peer.request()
        if request.path == "/socket.io/" and request.query["transport"] == "polling":
            await peer.respond(200, {}, b'0{"sid":"x","upgrades":["websocket"],"pingInterval":25000}')
        elif request.path == "/socket.io/":
            await peer.respond(400, {}, b'{"code":3,"message":"Bad request"}')
        else:
            await peer.respond(404)


async def test_engine_io_is_known_by_its_session() -> None:
    async with Misbehaving(engine_io) as server:
        result = await probe(server.url)
    assert rows(result) == {"websocket": False, "long_polling": True}
    assert {row.dialect for row in result.findings} == {"socket.io"}
    assert result.advice.startswith("It speaks socket.io")


async def homeserver(peer: Peer) -> None:
    while True:
        request = await peer.request()
        known = request.path == "/_matrix/client/versions"
        await peer.respond(200 if known else 404, {}, json.dumps({"versions": ["v1.11"]}).encode())


async def test_a_homeserver_is_known_by_its_versions() -> None:
    async with Misbehaving(homeserver) as server:
        result = await probe(server.url)
    assert rows(result) == {"long_polling": True, "short_polling": True}
    assert "--dialect matrix --room '!ID:SERVER' --name @YOU:SERVER --token-file FILE" in result.advice


async def channels(peer: Peer) -> None:
    while True:
        request = await peer.request()
        if request.path.startswith("/sub/"):
            await peer.begin(200, {"Content-Type": "text/event-stream"})
            await peer.gone()
        await peer.respond(404)


async def test_nchan_and_plain_event_streams_are_known(hasty: None) -> None:
    async with Misbehaving(channels) as server:
        result = await probe(server.url)
    assert (result.dialect, rows(result)) == ("nchan", {"sse": True})

    async def stream(peer: Peer) -> None:
        request = await peer.request()
        if request.path == "/" and "upgrade" not in request.headers:
            await peer.begin(200, {"Content-Type": "text/event-stream"})
            await peer.send(b": hello\n\n")
            await peer.gone()
        await peer.respond(404, {"Connection": "close"})

    async with Misbehaving(stream) as server:
        result = await probe(server.url)
    assert (result.dialect, rows(result)) == ("text", {"sse": True})
    assert "If messages are bare text, use: " in result.advice


async def echo(connection: ServerConnection) -> None:
    async for frame in connection:
        await connection.send(frame)


async def phoenix(connection: ServerConnection) -> None:
    async for frame in connection:
        _, ref, topic, _, _ = json.loads(frame)
        await connection.send(json.dumps([None, ref, topic, "phx_reply", {"status": "ok", "response": {}}]))


@pytest.mark.parametrize(
    ("greeting", "dialect"),
    [('{"type":"hello"}', ""), ("<hello/>", ""), (b"\x01\x02", ""), ("hello there", "text")],
)
async def test_a_greeting_in_an_unknown_protocol_is_no_bare_text(
    hasty: None, greeting: str | bytes, dialect: str
) -> None:
    async def greet(connection: ServerConnection) -> None:
        await connection.send(greeting)
        await connection.wait_closed()

    async with serve(greet, "127.0.0.1", 0) as server:
        result = await probe(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
    assert result.dialect == dialect
    assert result.findings[0].note.startswith("a WebSocket opens, and greets with ")
    if not dialect:
        assert result.advice.startswith(
            "A WebSocket is there, in a protocol that chatlab doesn't know: docs/"
        )
        assert result.config is None


async def test_a_dialect_that_is_given_connects_once_by_each_of_its_transports() -> None:
    secret = {"Authorization": "Bearer s3cret-t0ken"}
    async with EmbeddedServer() as server:
        result = await probe(server.url, dialect="chatlab", headers=secret)
        assert rows(result) == dict.fromkeys(("websocket", "sse", "long_polling", "short_polling"), True)
        assert (
            result.advice == f"The dialect chatlab connects. Use: chatlab chat {server.url} --dialect chatlab"
        )
        assert isinstance(result.config, WebSocketConfig)
        assert 4 <= result.requests <= MAX_REQUESTS
        result = await probe(server.url, dialect=PhoenixDialect())
        assert rows(result) == {"websocket": False}
        assert "HTTP 404" in result.findings[0].note
        assert result.advice == "The dialect phoenix can't connect there, for the reasons above."
        assert (result.config, result.requests) == (None, 1)
    async with answering(no_upgrade) as other:
        result = await probe(other.url, dialect="chatlab", timeout=2.0)
        assert result.advice.endswith(" --dialect chatlab --transport long_polling")
        with pytest.raises(SettingsError, match="there is no 'morse'"):
            await probe(other.url, dialect="morse")


@pytest.mark.parametrize(
    ("handler", "protocols", "dialect", "says"),
    [
        (echo, None, "text", "a WebSocket opens, and greets with nothing"),
        (echo, ["mqtt"], "mqtt", "the server chose mqtt"),
        (echo, ["xmpp"], "XMPP", "the server chose xmpp"),
        (phoenix, None, "phoenix", "its heartbeat was answered after "),
    ],
    ids=["echo", "mqtt", "xmpp", "phoenix"],
)
async def test_a_websocket_is_known_by_its_sub_protocol_or_its_answer(
    hasty: None, handler: object, protocols: list[str] | None, dialect: str, says: str
) -> None:
    async with serve(handler, "127.0.0.1", 0, subprotocols=protocols) as server:  # type: ignore[arg-type]
        port = next(iter(server.sockets)).getsockname()[1]
        result = await probe(f"ws://127.0.0.1:{port}")
    assert result.dialect == dialect
    assert result.findings[0].note.startswith(says)
    assert result.requests <= MAX_REQUESTS


async def test_a_place_where_nobody_is_costs_one_request() -> None:
    result = await probe(f"http://127.0.0.1:{(port := free_port())}")
    assert (result.advice, result.requests) == (
        f"Nothing listens at 127.0.0.1:{port}: start the server, or correct the port.",
        1,
    )


async def mute(peer: Peer) -> None:
    await peer.gone()


async def test_a_server_that_answers_nothing_costs_no_more_requests_than_it_takes_to_know() -> None:
    async with Misbehaving(mute) as server:
        place = server.url.removeprefix("http://")
        result = await probe(server.url, timeout=0.3)
        assert result.advice.startswith(f"{place} accepts connections, and answers nothing")
        assert (result.requests, result.findings) == (5, ())


async def test_a_server_that_answers_nothing_at_its_root_is_asked_on() -> None:
    """As npm's socket.io on a bare server does."""

    async def bare(peer: Peer) -> None:
        request = await peer.request()
        if request.path == "/socket.io/" and request.query["transport"] == "polling":
            await peer.respond(200, {}, b'0{"sid":"x","upgrades":["websocket"],"pingInterval":25000}')
        await peer.gone()

    async with Misbehaving(bare) as server:
        result = await probe(server.url, timeout=1.0)
    assert result.dialect == "socket.io"


async def test_a_host_that_drops_packets_costs_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr("chatlab.live.client.http_client.open_stream", never)
    result = await probe("http://127.0.0.1:9", timeout=0.2)
    assert result.advice.startswith("127.0.0.1:9 gives no answer within 0.2 s: a firewall may drop")
    assert result.requests == 1


async def test_something_else_than_http_is_said() -> None:
    async def other(peer: Peer) -> None:
        await peer.send(b"220 mail.example ESMTP\r\n\r\n")
        await peer.gone()

    async with Misbehaving(other) as server:
        result = await probe(server.url)
        assert "something other than HTTP" in result.findings[0].note
        result = await probe(server.url.replace("http", "https"))
        assert result.advice.startswith("TLS with 127.0.0.1:")


async def test_credentials_are_sent_only_if_they_are_given_and_never_shown() -> None:
    secret = "s3cret-t0ken"

    async def quoting(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.respond(403, {}, f"you sent {request.headers.get('authorization')}".encode())

    async with Misbehaving(quoting) as server:
        await probe(server.url)
        assert not any("authorization" in request.headers for request in server.requests)
        server.requests.clear()
        result = await probe(server.url, headers={"Authorization": f"Bearer {secret}"})
        assert all(request.headers["authorization"] == f"Bearer {secret}" for request in server.requests)
        assert len(server.requests) == result.requests
        assert "you sent" in str(result)
        assert secret not in str(result)
        result = await probe(server.url, headers={"two words": "x"})
        assert result.advice == "The headers can't be used: the headers have an invalid name."


async def test_the_command_prints_it_and_its_exit_code_says_whether_a_dialect_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EmbeddedServer() as server:
        done = await asyncio.to_thread(CliRunner().invoke, app, ["probe", server.url])
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1] == f"It speaks chatlab. Use: chatlab chat {server.url}"
    done = await asyncio.to_thread(CliRunner().invoke, app, ["probe", f"http://127.0.0.1:{free_port()}"])
    assert (done.exit_code, done.stderr) == (1, "")
    assert "Nothing listens" in done.stdout
    (tmp_path / "board_of_a_probe.py").write_text("from chatlab.dialects import TextDialect as Board")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", sys.path[:])
    where = f"ws://127.0.0.1:{free_port()}"
    command = ["probe", where, "--dialect", "board_of_a_probe:Board"]
    done = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert done.exit_code == 1
    assert "no: refused: nobody accepts connections there" in done.stdout
    done = await asyncio.to_thread(CliRunner().invoke, app, ["probe", "localhost"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("chatlab probe: url: give one that starts with http://")
