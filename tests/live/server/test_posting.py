"""`POST /messages`, `POST /typing` and `GET /csrf` on real sockets."""

from __future__ import annotations

import asyncio
import signal
import tracemalloc
from pathlib import Path

import httpx
import msgspec
import pytest

from chatlab.dialects.chatlab import MAX_FRAME_SIZE
from chatlab.hub import HubConfig
from chatlab.live.server.connections import Limits
from chatlab.live.server.csrf import CsrfTokens
from chatlab.live.server.embedded_server import EmbeddedServer
from tests.live.server.members import (
    at,
    get,
    history_of,
    join,
    open_connections,
    raw,
    rest_of,
)
from tests.live.server.visitors import PATIENCE, Visitor, listen, visit
from tests.live.watch import until
from tests.processes import served
from tests.sizes import rows


async def log_of(server: EmbeddedServer) -> list[str]:
    return [message["text"] for message in await history_of(server)]


# Messages


async def test_a_message_is_answered_with_its_id_and_reaches_everybody(server: EmbeddedServer) -> None:
    async with join(server, "bob") as bob, listen(server) as stream, visit(server) as ada:
        answer = await ada.post("hello", client_id="c1")
        expected = {"type": "ack", "client_id": "c1", "id": f"{server.epoch}-1"}
        assert (answer.status_code, answer.json()) == (201, expected)
        assert answer.headers["Cache-Control"] == "no-store"
        echo = await bob.until(type="message")
        assert (echo["sender"], echo["text"], echo["client_id"]) == ("ada", "hello", "c1")
        assert await stream.until(type="message") == echo
        assert await history_of(server) == [echo]


async def test_A92_a_known_id_with_other_content_is_422_and_a_nack(server: EmbeddedServer) -> None:
    """Use another client's id under its name: nothing is acked, and no message is swallowed."""
    async with join(server, "ada") as ada, visit(server, "ada") as eve:
        await ada.post("hello", client_id="c1")
        answer = await eve.post("forged", client_id="c1")
        assert (answer.status_code, answer.json()["client_id"]) == (422, "c1")
        assert "client_id" in answer.json()["error"]
        assert (await eve.post("next", client_id="c2")).status_code == 201
        await ada.send(type="message", text="mine", client_id="c2")
        nack = await ada.until(type="nack")
        assert (nack["client_id"], nack["status"]) == ("c2", 422)
        assert await log_of(server) == ["hello", "next"]


async def test_a50_a_duplicate_is_answered_with_the_first_result(server: EmbeddedServer) -> None:
    async with join(server, "bob") as bob, visit(server) as ada, visit(server, "zoe") as zoe:
        first = await ada.post("hello", client_id="c1")
        await ada.post("between")
        again = await ada.post("hello", client_id="c1")
        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json() == first.json()
        other = await zoe.post("mine", client_id="c1")  # ids of another sender are separate
        assert (other.status_code, other.json()["id"]) == (201, f"{server.epoch}-3")
        async with visit(server, room="attic") as elsewhere:  # and so are those of another room
            assert (await elsewhere.post("hello", client_id="c1")).status_code == 201
        await bob.until(text="mine")
        assert [frame["text"] for frame in bob.seen if frame["type"] == "message"] == [
            "hello",
            "between",
            "mine",
        ]
        await bob.send(type="message", text="over", client_id="c9")
        await bob.until(text="over")
    async with visit(server, "bob") as bob_posts:  # first by WebSocket, then again by POST
        again = await bob_posts.post("over", client_id="c9")
        assert (again.status_code, again.json()["id"]) == (200, f"{server.epoch}-4")
    assert await log_of(server) == ["hello", "between", "mine", "over"]


async def test_a50_the_same_message_many_times_at_once_is_there_once(server: EmbeddedServer) -> None:
    async with visit(server) as ada:
        await ada.fetch_token()
        answers = await asyncio.gather(*(ada.post("hello", client_id="c1") for _ in range(30)))
    assert sorted(answer.status_code for answer in answers) == [200] * 29 + [201]
    assert len({answer.text for answer in answers}) == 1
    assert await log_of(server) == ["hello"]


async def test_a53_the_echo_may_come_before_the_answer_and_bears_the_client_id(
    server: EmbeddedServer,
) -> None:
    async with listen(server, "ada") as stream, visit(server) as ada:
        await ada.fetch_token()
        body = b'{"text":"hello","client_id":"c1"}'
        async with raw(server) as (reader, writer):
            writer.write(head(ada, len(body)) + body)
            echo = await stream.until(type="message")  # with the answer still unread
            assert echo["client_id"] == "c1"
            answer = await reader.readuntil(b"}")
            assert answer.startswith(b"HTTP/1.1 201 ")
            assert f'"id":"{echo["id"]}"'.encode() in answer


def head(visitor: Visitor, length: int, more: str = "") -> bytes:
    return (
        f"POST /messages?room=lobby&sender={visitor.sender} HTTP/1.1\r\nHost: localhost\r\n"
        f"X-CSRF-Token: {visitor.token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n{more}\r\n"
    ).encode()


@pytest.mark.proof
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
async def test_a50_acked_messages_survive_the_process_and_are_known_afterwards(
    tmp_path: Path, kind: signal.Signals
) -> None:
    options = ("--port", "0", "--db", str(tmp_path / "chat.db"))
    acked: dict[str, str] = {}
    sent: list[str] = []
    with served(*options) as (process, url):
        server = at(url)
        async with visit(server) as ada:

            async def post() -> None:
                while True:
                    sent.append(f"c{len(sent)}")
                    answer = await ada.post(sent[-1], client_id=sent[-1])
                    assert answer.status_code == 201
                    acked[sent[-1]] = answer.json()["id"]
                    if len(acked) == 50:
                        process.send_signal(kind)

            with pytest.raises(httpx.TransportError):
                async with asyncio.timeout(PATIENCE):
                    await post()
            process.wait(PATIENCE)
            stale = ada.token
    with served("--port", str(server.port), *options[2:]):
        kept = {message["client_id"]: message["id"] for message in await history_of(server)}
        assert list(kept) == sent[: len(kept)]
        assert acked.items() <= kept.items()
        async with visit(server) as ada:
            ada.token = stale
            assert (await ada.post("x", client_id="c0")).status_code == 403  # A48: a restart makes it stale
            await ada.fetch_token()
            for client_id in sent:
                answer = await ada.post(client_id, client_id=client_id)
                assert answer.status_code == (200 if client_id in kept else 201)
                assert answer.json()["id"] == kept.get(client_id, answer.json()["id"])
        assert [message["client_id"] for message in await history_of(server)] == sent


@pytest.mark.proof
async def test_a_message_that_cannot_be_kept_is_not_acked(tmp_path: Path) -> None:
    options = ("--port", "0", "--db", str(tmp_path / "chat.db"))
    with served(*options, limit_file_size=512 * 1024) as (_, url):
        server = at(url)
        async with visit(server) as ada:
            acked: list[str] = []
            while True:
                answer = await ada.post("x" * 60_000, client_id=f"c{len(acked)}")
                if answer.status_code != 201:
                    break
                acked.append(answer.json()["id"])
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
            assert "history" in answer.json()["error"]
            assert 0 < len(acked) < 100
            assert (await ada.post("x" * 60_000, client_id=f"c{len(acked)}")).status_code == 503
            assert [message["id"] for message in await history_of(server)] == acked
    with served(*options) as (_, url):
        async with visit(at(url)) as ada:
            assert (await ada.post("x" * 60_000, client_id=f"c{len(acked)}")).status_code == 201


# Refusals


@pytest.mark.parametrize(
    ("content", "client_id"),
    [
        (b"", None),
        (b"not json", None),
        (b"null", None),
        (b"[]", None),
        (b"{}", None),
        (b'{"type":"typing","text":"x"}', None),
        (b'{"text":7}', None),
        (b'{"text":""}', None),
        (b'{"text":"x","data":"not base64"}', None),
        (b'{"text":"\xff"}', None),
        (b'{"text":"\\ud800"}', None),
        (b'{"text":"x"} trailing', None),
        (b"[" * 100_000, None),
        (b'{"text":7,"client_id":"c1"}', "c1"),
        (b'{"client_id":"c1"}', "c1"),
        (b'{"text":"x","client_id":7}', None),
    ],
    ids=lambda value: repr(value[:30]) if value else "",
)
async def test_a51_an_invalid_message_is_422_with_its_id_if_readable(
    server: EmbeddedServer, content: bytes, client_id: str | None
) -> None:
    async with visit(server) as ada:
        answer = await ada.send(content)
        assert answer.status_code == 422
        assert 0 < len(answer.json()["error"]) < 300
        assert answer.json().get("client_id") == client_id
        assert (await ada.post("still here")).status_code == 201


async def test_a51_a81_content_above_64_kib_is_413_and_the_most_that_a_message_may_hold_is_not(
    server: EmbeddedServer,
) -> None:
    async with visit(server) as ada:
        for more in ({"text": "x" * 65_537}, {"text": "é" * 32_769}, {"text": "", "data": b"x" * 65_537}):
            answer = await ada.send(msgspec.json.encode({"client_id": "c1", **more}))
            assert (answer.status_code, answer.json()["client_id"]) == (413, "c1")
            assert "65,536" in answer.json()["error"]
        most = msgspec.json.encode({"client_id": "c2", "data": b"x" * 65_536})
        text = b'"text":"' + b"\\u0078" * 65_536 + b'",'
        largest = b"{" + text + most[1:]
        assert len(largest) < MAX_FRAME_SIZE
        assert (await ada.send(largest)).status_code == 201
        assert (
            await ada.send(largest[:-1] + b" " * (MAX_FRAME_SIZE - len(largest)) + b"}")
        ).status_code == 200
        assert (
            await ada.send(largest[:-1] + b" " * (MAX_FRAME_SIZE - len(largest) + 1) + b"}")
        ).status_code == 413


@pytest.mark.parametrize("framing", ["Content-Length: 1000000000\r\n", "Transfer-Encoding: chunked\r\n"])
async def test_a81_a_body_without_end_is_refused_and_not_held(server: EmbeddedServer, framing: str) -> None:
    async with visit(server) as ada, raw(server) as (reader, writer):
        await ada.fetch_token()
        request = head(ada, 0).replace(b"Content-Length: 0\r\n", framing.encode())
        writer.write(request)
        piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n" if "chunked" in framing else b"x" * 65_536
        tracemalloc.start()
        try:
            for _ in range(400):
                writer.write(piece)
                await writer.drain()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 413 ")
        assert peak < 8 * MAX_FRAME_SIZE
        assert await log_of(server) == []


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "",
    ],
)
async def test_a51_a78_another_content_type_is_415(server: EmbeddedServer, kind: str) -> None:
    async with visit(server) as ada:
        answer = await ada.send(b'{"text":"x"}', Content_Type=kind)
        assert (answer.status_code, "application/json" in answer.json()["error"]) == (415, True)
        assert await log_of(server) == []
        assert (
            await ada.send(b'{"text":"x"}', Content_Type="Application/JSON; charset=utf-8")
        ).status_code == 201


async def test_a52_a81_too_many_are_429_and_say_when_to_come_back() -> None:
    async with EmbeddedServer(config=HubConfig(rate=0.4, burst=3)) as server, visit(server) as ada:
        answers = [await ada.post(f"m{number}", client_id=f"c{number}") for number in range(5)]
        assert [answer.status_code for answer in answers] == [201] * 3 + [429] * 2
        assert answers[-1].headers["Retry-After"] in {"1", "2", "3"}
        assert (await ada.send(b"{}", "/typing")).status_code == 429
        async with visit(server, "zoe") as zoe, visit(server, room="attic") as elsewhere:
            assert (await zoe.post("x")).status_code == (await elsewhere.post("x")).status_code == 201
        assert await log_of(server) == ["m0", "m1", "m2", "x"]


async def test_a81_a_body_must_arrive_in_time_and_an_incomplete_one_posts_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with EmbeddedServer(limits=Limits(request_timeout=0.2)) as server, visit(server) as ada:
        await ada.fetch_token()
        async with raw(server) as (reader, writer):
            writer.write(head(ada, 100) + b'{"text":"x"}')
            assert await rest_of(reader) == b""
        async with raw(server) as (_, writer):
            writer.write(head(ada, 100) + b'{"text":"x"}')
            await writer.drain()
            writer.transport.abort()
        await until(lambda: open_connections(server) == 1)
        assert await log_of(server) == []
        assert not [record for record in caplog.records if record.name.startswith("chatlab")]


async def test_a_body_is_waited_for_when_the_client_asks_first(server: EmbeddedServer) -> None:
    async with visit(server) as ada, raw(server) as (reader, writer):
        await ada.fetch_token()
        writer.write(head(ada, 12, "Expect: 100-continue\r\n"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b'{"text":"x"}')
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 201 ")
    async with raw(server) as (reader, writer):
        ada.token = "wrong"
        writer.write(head(ada, 12, "Expect: 100-continue\r\n"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 403 ")


async def test_malformed_names_and_other_methods_are_refused(server: EmbeddedServer) -> None:
    async with visit(server, "a\nb") as ada:
        for path in ("/messages", "/typing"):
            assert (await ada.send(b'{"text":"x"}', path)).status_code == 400
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = await ada.client.request(method, "/messages")
            assert (answer.status_code, answer.json()["error"]) == (405, "this path allows only GET and POST")
        assert (await ada.client.get("/typing")).status_code == 405


# Access


@pytest.mark.parametrize("path", rows(["/messages", "/typing"], "/messages"))
@pytest.mark.parametrize(
    "headers",
    [
        {"X_CSRF_Token": ""},
        {"X_CSRF_Token": "wrong"},
        {"X_CSRF_Token": "\xff"},
        pytest.param({"X_CSRF_Token": CsrfTokens().new()}, id="another server's token"),
        {"X_CSRF_Token": "", "Content_Type": "text/plain"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "Cross-Site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
    ids=str,
)
async def test_a76_a78_a_post_from_elsewhere_is_403_and_changes_nothing(
    server: EmbeddedServer, path: str, headers: dict[str, str]
) -> None:
    async with join(server, "bob") as bob, visit(server) as ada:
        await ada.fetch_token()
        given = {"X-CSRF-Token": ada.token, "Content-Type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        encoded = {name.encode(): value.encode("latin-1") for name, value in given.items()}
        url = f"{path}?room=lobby&sender=ada"
        answer = await ada.client.post(url, content=b'{"text":"x"}', headers=encoded)
        assert (answer.status_code, bool(answer.json()["error"])) == (403, True)
        assert ada.token not in answer.text
        await bob.post("end")
        assert [frame["type"] for frame in bob.seen] == ["welcome", "presence", "message"]
        assert await log_of(server) == ["end"]


async def test_a77_a_post_to_another_host_is_421(server: EmbeddedServer) -> None:
    async with visit(server) as ada:
        assert (await ada.send(b'{"text":"x"}', Host="evil.example")).status_code == 421
        assert await log_of(server) == []


async def test_a78_pages_of_the_same_site_may_post(server: EmbeddedServer) -> None:
    async with visit(server) as ada:
        for site in ("same-origin", "none"):
            answer = await ada.send(b'{"text":"x"}', Sec_Fetch_Site=site, Origin=server.url)
            assert answer.status_code == 201


async def test_a78_no_get_posts(server: EmbeddedServer) -> None:
    async with visit(server) as ada:
        token = await ada.fetch_token()
        for path in ("/messages", "/messages/poll"):
            request = ada.client.build_request(
                "GET",
                f"{path}?room=lobby&sender=ada&text=x&hold=0",
                content=b'{"text":"x"}',
                headers={"X-CSRF-Token": token},
            )
            answer = await ada.client.send(request)
            assert (answer.status_code, answer.json()) == (200, [])


async def test_a48_a_token_lasts_until_the_server_restarts(server: EmbeddedServer) -> None:
    async with visit(server) as ada:
        first, second = await ada.fetch_token(), await ada.fetch_token()
        assert first != second
        for token in (first, second, first):
            ada.token = token
            assert (await ada.post("x")).status_code == 201
        await server.stop()
        await server.start()
        assert (await ada.post("y", client_id="c1")).status_code == 403
        await ada.fetch_token()
        assert (await ada.post("y", client_id="c1")).status_code == 201


async def test_a_token_is_not_for_other_pages(server: EmbeddedServer) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = await get(server, "/csrf", **headers)
        assert (answer.status_code, "token" in answer.json()) == (403, False)
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_a78_only_whole_tokens_of_this_server_run_are_accepted() -> None:
    tokens = CsrfTokens()
    token = tokens.new()
    number, _, signature = token.partition(".")
    assert tokens.accepts(token)
    for wrong in (
        "",
        ".",
        number,
        signature,
        f"{number}.",
        f".{signature}",
        f"x{token}",
        f"{token}x",
        token[:-1],
    ):
        assert not tokens.accepts(wrong)
    assert not tokens.accepts(f"{CsrfTokens().new().partition('.')[0]}.{signature}")


async def test_a81_rates_ignore_names_and_each_client_of_a_proxy_has_its_own() -> None:
    config, body = HubConfig(rate=0.001, burst=1), b'{"text":"x"}'
    async with EmbeddedServer(config=config, trusted_proxies=["127.0.0.1"]) as server, visit(server) as ada:
        codes = []
        for name in ("ada", "bob", "eve"):
            ada.sender = ada.room = name
            codes.append((await ada.send(body)).status_code)
        assert codes == [201, 429, 429]
        for address in ("10.0.0.1", "10.0.0.2"):  # of clients that share one connection of a proxy
            answers = [await ada.send(body, X_Forwarded_For=address) for _ in range(21)]
            assert [answer.status_code for answer in answers] == [201] * 20 + [429]


# Typing


async def test_typing_reaches_the_others_in_the_room(server: EmbeddedServer) -> None:
    async with (
        join(server, "bob") as bob,
        listen(server, "ada") as own,
        listen(server, room="attic") as attic,
    ):
        async with visit(server) as ada, visit(server, room="nowhere") as nowhere:
            for visitor in (ada, nowhere):
                answer = await visitor.send(b"{}", "/typing")
                assert (answer.status_code, answer.content) == (204, b"")
            await ada.say("end")
        async with visit(server, room="attic") as zoe:
            await zoe.say("end")
        assert await bob.until(type="typing") == {"type": "typing", "sender": "ada"}
        for stream in (own, attic):
            await stream.until(type="message")
            assert not [event for event in stream.events if event.type == "typing"]
