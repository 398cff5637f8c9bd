"""HOSTILE: the effect of rude or missing servers on the live transports over HTTP, row by row.

The rows of event streams alone are in `test_hostile_sse`, those of polls in `test_hostile_polling`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import ssl
from collections.abc import Callable
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import trustme

from chatlab.errors import ConnectError
from chatlab.messages import ChatEvent, ConnectionStatus, DeliveryState
from chatlab.settings import OutboxConfig
from chatlab.trace import Step
from chatlab.transports.machine import Fetch
from tests.live.misbehave import Misbehaving, Peer, Request, silence
from tests.live.misbehave_http import (
    JSON,
    Route,
    Site,
    accept,
    accepts,
    after,
    delays,
    event,
    hang_up,
    leave,
    message,
    never,
    raw,
    respond,
    says,
)
from tests.live.watch import OVER_HTTP, PATIENCE, PERSISTENT, QUICK, talking, until

DISCONNECTED, CONNECTING, CONNECTED, RECONNECTING, ERROR = ConnectionStatus
ACKED, FAILED, SENT, DROPPED = (
    DeliveryState.ACKED,
    DeliveryState.FAILED,
    DeliveryState.SENT,
    DeliveryState.DROPPED,
)
SECRET = "s3cr3t-t0ken"
ONE, TWO, THREE = message("1"), message("2"), message("3")


@pytest.fixture(params=OVER_HTTP)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def attempts(steps: list[Step]) -> int:
    """Return the number of requests to receive."""
    return sum(
        isinstance(effect, Fetch) and effect.purpose in ("stream", "poll")
        for step in steps
        for effect in step.effects
    )


# Failures of the first request


@pytest.mark.parametrize("wish", ["100", "1000000000", "-5", "soon"])
async def test_A20_retry_after_is_a_floor_up_to_a_cap_and_junk_is_ignored(kind: str, wish: str) -> None:
    steps: list[Step] = []
    reconnect = QUICK.replace(max_retry_after=300.0)
    site = Site(receive=[respond(503, ("Retry-After", wish))])
    async with Misbehaving(site) as server:
        with talking(kind, server.url, reconnect=reconnect, record=steps.append) as (transport, _):
            transport.start()
            await until(lambda: delays(steps))
    assert delays(steps)[0] == pytest.approx({"100": 100.0, "1000000000": 300.0}.get(wish, 0.01))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_A21_A39_a_redirect_to_another_origin_takes_no_credentials_along(
    kind: str, status: int
) -> None:
    headers = {"Authorization": SECRET, "Cookie": SECRET, "X-Api-Key": SECRET}
    away = Site(receive=[says(ONE)])
    async with Misbehaving(away) as other:
        site = Site(receive=[respond(status, ("Location", f"{other.url}/stream"))])
        async with Misbehaving(site) as server:
            with talking(kind, f"{server.url}/?token={SECRET}", headers=headers) as (transport, watch):
                transport.start()
                await until(lambda: watch.texts or kind != "sse")
                await until(lambda: away.asked["receive"])
                assert SECRET in str(site.asked["receive"])
                assert SECRET not in str(away.asked)
                assert set(away.asked["receive"][0].headers) <= {
                    "host", "accept", "accept-encoding", "cache-control", "connection", "user-agent",
                }  # fmt: skip


async def test_A21_A39_a_loop_of_redirects_is_final(kind: str) -> None:
    site = Site(receive=[respond(302, ("Location", "/messages"))])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, _):
            with pytest.raises(ConnectError, match="more than 5 redirects"):
                await transport.connect()
            assert len(site.asked["receive"]) == 6
            await until(lambda: not server.open)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"\x00\x01\x02" * 99,
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    ],
    ids=["SSH", "no text", "no number", "bad header"],
)
async def test_A22_garbage_is_final(kind: str, data: bytes) -> None:
    site = Site(receive=[raw(data)])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, watch):
            with pytest.raises(ConnectError, match=r"^protocol: "):
                await transport.connect()
            assert watch.statuses == [CONNECTING, ERROR]
            assert len(site.asked["receive"]) == 1


@pytest.mark.parametrize(
    "answer", [never, hang_up, raw(b"HTTP/1.1 20")], ids=["nothing", "FIN", "half a line"]
)
async def test_A22_no_answer_is_tried_again(kind: str, answer: Route) -> None:
    site = Site(receive=[answer, answer, says(ONE)])
    patience: dict[str, Any] = {"request_timeout": 0.5, "connect_timeout": 0.5}
    patience |= {"timeout": 0.5} if kind == "long_polling" else {}
    async with Misbehaving(site) as server:
        with talking(kind, server.url, **patience) as (transport, watch):
            await transport.connect()
            await until(lambda: watch.texts)
            assert ERROR not in watch.statuses
            assert site.cursors[:3] == [None] * 3


async def test_A23_an_unknown_authority_is_final_and_nothing_is_sent(kind: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with Misbehaving(Site(), tls=context) as server:
        with talking(kind, server.url, headers={"Authorization": SECRET}) as (transport, watch):
            with pytest.raises(ConnectError, match=r"^tls: "):
                await transport.connect()
            assert watch.statuses == [CONNECTING, ERROR]
        assert server.requests == []


async def test_A23_tls_works_if_the_authority_is_known_and_is_never_left(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with Misbehaving(silence) as plain:
        site = Site(receive=[says(ONE, then="leave"), respond(302, ("Location", f"{plain.url}/x"))])
        async with Misbehaving(site, tls=context) as server:
            with talking(kind, server.url) as (transport, watch):
                transport.start()
                end = await watch.ended()
                assert watch.texts == ["1"]
                assert end.status is ERROR
                assert "without TLS" in end.reason
        assert plain.accepted == 0


async def test_A23_plaintext_on_a_tls_port_and_tls_on_a_plaintext_port_never_connect(kind: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with Misbehaving(Site(), tls=context) as server:
        with (
            talking(kind, server.url.replace("https", "http")) as (transport, _),
            pytest.raises(ConnectError),
        ):
            await transport.connect()
        assert server.requests == []

    async def http(peer: Peer) -> None:
        await peer.receive(5)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.gone()

    async with Misbehaving(http) as server:
        with (
            talking(kind, server.url.replace("http", "https")) as (transport, _),
            pytest.raises(ConnectError, match=r"^tls: the server doesn't speak TLS: try ws:// or http://"),
        ):
            await transport.connect()
        assert server.accepted == 1


async def test_A24_refused_connections_are_counted_right(kind: str) -> None:
    steps: list[Step] = []
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        reconnect = QUICK.replace(max_attempts=10, base_delay=0.001, max_delay=0.002)
        with talking(kind, url, reconnect=reconnect, record=steps.append) as (transport, watch):
            with pytest.raises(ConnectError, match="gave up after 10 retries: refused: nobody accepts"):
                await transport.connect()
            assert attempts(steps) == 11
            assert [change.attempt for change in watch.changes if change.retry_at is not None] == list(
                range(1, 11)
            )


async def test_A24_an_unknown_name_is_retried(kind: str) -> None:
    patience: dict[str, Any] = {"connect_timeout": 60.0, "request_timeout": 60.0}
    patience["reconnect"] = QUICK.replace(max_attempts=1)
    with (
        talking(kind, "http://nobody.invalid", **patience) as (transport, _),
        pytest.raises(ConnectError, match=r"gave up after 1 retry: dns: the host's name can't"),
    ):
        await transport.connect()


async def test_A26_a_crowd_that_loses_its_server_at_once_comes_back_spread_out(kind: str) -> None:
    """Full jitter spreads the first delays of forty clients, even if the server sets the time to come
    back."""
    reconnect = QUICK.replace(jitter="full", base_delay=10.0, max_delay=10.0)
    settings: dict[str, Any] = {"error_delay": 10.0} if kind == "long_polling" else {}
    steps: list[Step] = []
    async with Misbehaving(Site(receive=[respond(503, ("Retry-After", "20"))])) as server:
        for _ in range(40):
            with talking(kind, server.url, reconnect=reconnect, record=steps.append, **settings) as (
                transport,
                watch,
            ):
                transport.start()
                await until(lambda watch=watch: RECONNECTING in watch.statuses)  # type: ignore[misc]
    waits = delays(steps)
    assert len(waits) == 40
    assert all(20.0 <= wait <= 30.0 for wait in waits)
    assert max(waits) - min(waits) > 5.0
    assert len({round(wait, 1) for wait in waits}) > 15


async def test_A31_nothing_is_requested_after_disconnect(kind: str) -> None:
    site = Site()
    async with Misbehaving(site) as server:
        with (
            talking(kind, server.url, idle_timeout=0.1) if kind == "sse" else talking(kind, server.url) as (
                transport,
                _,
            )
        ):
            await transport.connect()
            await (await transport.send("hello")).settled()
            await transport.disconnect()
            asked = len(server.requests)
            start = monotonic()
            await until(lambda: monotonic() - start > 0.3)
            assert len(server.requests) == asked
            assert server.open == 0
            assert transport._driver._timer.armed_at == inf


async def test_A32_a_day_asleep_means_one_reconnect_at_most(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    asleep = 0.0
    monkeypatch.setattr(loop, "time", lambda: monotonic() + asleep)
    site = Site(receive=[says(ONE), says()])
    async with Misbehaving(site) as server:
        with talking(kind, server.url, loop="current") as (transport, watch):
            await transport.connect()
            await until(lambda: watch.texts)
            asked = len(site.asked["receive"])
            asleep = 86_400.0
            assert await (await transport.send("good morning")).settled() is ACKED
            assert watch.statuses.count(RECONNECTING) <= 2  # It is lost, and one attempt follows.
            await until(lambda: transport.status is CONNECTED)
            assert kind != "sse" or len(site.asked["receive"]) <= asked + 1
            await transport.disconnect()


# Sending


async def posted(kind: str, texts: list[str], site: Site, **settings: Any) -> list[DeliveryState]:
    """Send these texts at once; return their final states."""
    async with Misbehaving(site) as server:
        with talking(kind, server.url, **settings) as (transport, watch):
            await transport.connect()
            receipts = [await transport.send(text) for text in texts]
            states = [await receipt.settled() for receipt in receipts]
            assert watch.statuses == [CONNECTING, CONNECTED]  # A POST never ends the receiving connection.
            assert transport.unsettled() == []
            await transport.disconnect()
    return states


async def test_A48_a_stale_csrf_token_is_fetched_again_once_for_the_same_message(kind: str) -> None:
    tokens = [respond(200, JSON, body=f'{{"token": "{token}"}}'.encode()) for token in ("old", "new")]
    site = Site(csrf=tokens, post=[respond(403), accept])
    assert await posted(kind, ["hello", "again"], site) == [ACKED, ACKED]
    assert [request.headers["x-csrf-token"] for request in site.asked["post"]] == ["old", "new", "new"]
    assert site.posted == ["hello", "hello", "again"]
    assert len(set(site.client_ids[:2])) == 1
    assert len(site.asked["csrf"]) == 2


async def test_A48_a_message_that_is_forbidden_fails_alone(kind: str) -> None:
    site = Site(post=[respond(403), respond(403), accept])
    assert await posted(kind, ["bad", "good"], site) == [FAILED, ACKED]
    assert site.posted == ["bad", "bad", "good"]


@pytest.mark.parametrize(
    "token", [b"{}", b"<html>", b'{"token": 5}', b'{"token": "a\\r\\nX: y"}', b"[" * 99_999]
)
async def test_A48_a_token_that_makes_no_sense_fails_the_message_and_injects_nothing(token: bytes) -> None:
    site = Site(csrf=[respond(200, JSON, body=token)])
    assert await posted("sse", ["bad"], site) == [FAILED]
    assert site.asked["post"] == []


async def test_A48_a_token_that_can_not_be_had_now_is_asked_for_again(kind: str) -> None:
    token = respond(200, JSON, body=b'{"token": "t"}')
    site = Site(csrf=[respond(503), hang_up, raw(b"HTTP/1.1 2"), token])
    assert await posted(kind, ["hello", "again"], site) == [ACKED, ACKED]
    assert site.posted == ["hello", "again"]


async def test_A48_a_401_asks_once_for_new_headers_for_the_same_message(kind: str) -> None:
    told: list[int | None] = []

    def headers(failure: Any) -> dict[str, str]:
        told.append(failure and failure.code)
        return {"Authorization": f"Bearer {'new' if 401 in told else 'old'}"}

    site = Site(post=[respond(401), accept, respond(401), respond(401), accept])
    assert await posted(kind, ["0", "1", "2"], site, headers=headers) == [ACKED, FAILED, ACKED]
    assert site.posted == ["0", "0", "1", "1", "2"]
    assert told.count(401) == 2
    assert [request.headers["authorization"][-3:] for request in site.asked["post"]] == ["old"] + ["new"] * 4


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_A49_A90_a_redirect_that_would_make_a_get_acks_nothing(kind: str, status: int) -> None:
    site = Site(post=[respond(status, ("Location", "/elsewhere")), accept])
    assert await posted(kind, ["once", "good"], site) == [ACKED, ACKED]
    assert site.posted == ["once", "once", "good"]
    assert "/elsewhere" not in [request.path for request in site.asked["receive"]]


@pytest.mark.parametrize("status", [307, 308])
async def test_A49_a_redirect_that_keeps_the_method_keeps_body_and_token(kind: str, status: int) -> None:
    site = Site(post=[respond(status, ("Location", "/elsewhere")), accept])
    assert await posted(kind, ["hello"], site) == [ACKED]
    first, second = site.asked["post"]
    assert (second.path, second.body) == ("/elsewhere", first.body)
    assert second.headers["x-csrf-token"] == first.headers["x-csrf-token"] == "t"


async def test_A49_a_post_never_goes_to_another_origin(kind: str) -> None:
    async with Misbehaving(Site()) as other:
        site = Site(post=[respond(307, ("Location", f"{other.url}/messages")), accept])
        assert await posted(kind, ["once", "good"], site) == [ACKED, ACKED]
        assert (site.posted, other.accepted) == (["once", "once", "good"], 0)


PAGE = b"<!doctype html><title>Hotel Wi-Fi</title>Please accept our terms"
HTML = ("Content-Type", "text/html")
NO_ACKS: dict[str, Route] = {
    "page": respond(200, HTML, body=PAGE),
    "page and no type": respond(200, body=PAGE),
    "zipped page": respond(200, HTML, ("Content-Encoding", "gzip"), body=gzip.compress(PAGE)),
    "redirect": respond(302, ("Location", "/login"), HTML, body=PAGE),
    "redirect elsewhere": respond(307, ("Location", "http://login.invalid/?back=/messages")),
    "204": respond(204),
    "empty JSON": respond(200, JSON, body=b"{}"),
    "list": respond(200, JSON, body=b"[]"),
    "ack for another": respond(201, JSON, body=b'{"type":"ack","client_id":"x","id":"1"}'),
    "nack": respond(200, JSON, body=b'{"type":"nack","client_id":"x","status":422,"reason":"no"}'),
    "junk for gzip": respond(200, ("Content-Encoding", "gzip"), body=b"junk"),
    "encoding": respond(200, ("Content-Encoding", "br"), body=b"junk"),
    "garbage": raw(b"\x00\xff garbage\r\n\r\n"),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("portal", NO_ACKS.values(), ids=NO_ACKS)
async def test_A90_an_answer_other_than_an_ack_acks_nothing(kind: str, portal: Route) -> None:
    """Answer neither the token request nor the message with an ack: the message is sent again with its id
    until it is acked."""
    token = respond(200, JSON, body=b'{"token": "t"}')
    site = Site(csrf=[portal, token], post=[portal, portal, accept])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, watch):
            await transport.connect()
            receipt = await transport.send("once")
            assert await receipt.settled() is ACKED
            assert server.heard == ["once"], "and not before"
            assert len(site.asked["csrf"]) == 2
            assert len(set(site.client_ids)) == 1
            assert watch.statuses == [CONNECTING, CONNECTED]
            await transport.disconnect()


async def test_A90_a_permanent_portal_fails_the_message_with_its_text(kind: str) -> None:
    site = Site(post=[respond(200, HTML, body=PAGE)])
    async with Misbehaving(site) as server:
        with talking(kind, server.url, reconnect=QUICK.replace(max_attempts=2)) as (transport, _):
            await transport.connect()
            receipt = await transport.send("never")
            assert await receipt.settled() is FAILED
            assert "unexpected answer (HTTP 200, text/html: Hotel Wi-Fi)" in str(receipt.error)
            assert getattr(receipt.error, "status", None) == 200
            assert len(site.asked["post"]) == 3
            await transport.disconnect()


async def test_A90_an_answer_without_end_acks_nothing(kind: str) -> None:
    async def flood(peer: Peer, request: Request) -> None:
        await peer.begin(200, (JSON,))
        for _ in range(64):  # until the client closes, which ends this script
            await peer.send(b'"' * (1 << 20))
        leave()

    site = Site(post=[flood, accept])
    assert await posted(kind, ["once"], site) == [ACKED]
    assert len(site.asked["post"]) == 2


async def test_A46_A94_an_id_too_long_to_send_is_reported_and_ends_nothing(kind: str) -> None:
    """Send an id so long that every server would refuse a request line or header with it."""
    huge = message("x" * (1 << 19), "huge")
    site = Site(receive=[says(huge, then="leave"), says(huge, TWO)])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, watch):
            transport.start()
            await until(lambda: watch.texts == ["huge", "2"])
            (resync,) = watch.of("resync")
            assert "too long" in resync.reason
            assert watch.statuses.count(ERROR) == 0
            await transport.disconnect()
    assert site.cursors[:2] == [None, None]
    assert max(len(str(request.query)) for request in site.asked["receive"]) < 500


async def stored_without_answer(peer: Peer, request: Request) -> None:
    peer.server.heard.append(json.loads(request.body)["text"])
    await peer.gone()
    leave()


async def stored_and_hung_up(peer: Peer, request: Request) -> None:
    peer.server.heard.append(json.loads(request.body)["text"])
    leave()


@pytest.mark.parametrize("lost", [stored_without_answer, stored_and_hung_up])
@pytest.mark.parametrize("second", [accept, accepts(200), accepts(409)], ids=["201", "200", "409"])
async def test_A50_a_post_without_an_answer_is_sent_again_with_the_same_id(
    kind: str, lost: Route, second: Route
) -> None:
    site = Site(post=[lost, second, accept])
    assert await posted(kind, ["once", "next"], site, request_timeout=0.5) == [ACKED, ACKED]
    assert site.posted == ["once", "once", "next"]
    assert site.client_ids[0] == site.client_ids[1] != site.client_ids[2]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        *(("sse", status) for status in (400, 404, 405, 410, 411, 413, 415, 422, 451)),
        ("long_polling", 413),
        ("short_polling", 422),
    ],
    indirect=["kind"],
)
async def test_A51_a_message_that_is_refused_fails_for_good_and_the_next_goes_on(
    kind: str, status: int
) -> None:
    site = Site(post=[respond(status, body=b'{"error": "too loud"}'), accept])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, watch):
            await transport.connect()
            bad, good = await transport.send("bad"), await transport.send("good")
            assert (await bad.settled(), await good.settled()) == (FAILED, ACKED)
            assert getattr(bad.error, "status", None) == status
            assert "too loud" in str(bad.error)
            assert watch.states.count(("bad", FAILED)) == 1
            await transport.disconnect()
    assert site.posted == ["bad", "good"]


@pytest.mark.parametrize(
    ("kind", "status"), [("sse", 503), ("long_polling", 429), ("short_polling", 429)], indirect=["kind"]
)
async def test_A52_retry_after_holds_up_the_whole_queue_in_order(kind: str, status: int) -> None:
    site = Site(post=[accept, respond(status, ("Retry-After", "1")), accept])
    assert await posted(kind, ["0", "1", "2", "3"], site) == [ACKED] * 4
    assert site.posted == ["0", "1", "1", "2", "3"]
    times = site.asked_at["post"]
    assert times[2] - times[1] >= 0.95
    assert len(set(site.client_ids)) == 4


@pytest.mark.parametrize(
    "failure",
    [respond(500), respond(502), hang_up, raw(b"HTTP/1.1 2")],
    ids=["500", "502", "hangs up", "half a line"],
)
async def test_A52_no_message_overtakes_one_that_is_tried_again(kind: str, failure: Route) -> None:
    site = Site(post=[failure, failure, accept, failure, accept])
    assert await posted(kind, ["0", "1", "2"], site) == [ACKED] * 3
    assert site.posted == ["0", "0", "0", "1", "1", "2"]


async def test_A52_a_server_that_is_overloaded_for_good_fails_the_message_after_the_last_attempt(
    kind: str,
) -> None:
    site = Site(post=[*[respond(503)] * 4, accept])
    assert await posted(kind, ["bad", "good"], site) == [FAILED, ACKED]
    assert site.posted == ["bad"] * 4 + ["good"]


async def test_A53_an_echo_that_comes_before_the_answer_is_one_bubble(kind: str) -> None:
    """Deliver ada's own message on the receiving side first; answer the POST only then."""
    posts: list[dict[str, Any]] = []
    echoed = asyncio.Event()

    async def slow(peer: Peer, request: Request) -> None:
        posts.append(json.loads(request.body))
        await echoed.wait()
        await accept(peer, request)

    async def echo(peer: Peer, request: Request) -> None:
        if request.path == "/stream":
            await peer.begin(200, (("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")))
            await until(lambda: posts)
            await peer.chunk(event(mine()) + event(mine()))
            await peer.gone()
            leave()
        await says(*([mine()] if posts else []))(peer, request)

    def mine() -> dict[str, Any]:
        return message("7", posts[0]["text"], sender="ada", client_id=posts[0]["client_id"])

    site = Site(receive=[echo], post=[slow])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, watch):
            await transport.connect()
            receipt = await transport.send("hello")
            await until(lambda: watch.texts)
            assert await receipt.settled() is ACKED
            assert len(server.heard) == 0
            echoed.set()
            assert await (await transport.send("next")).settled() is ACKED
            assert watch.texts == ["hello"]
            assert watch.states.count(("hello", ACKED)) == 1
            (bubble,) = [event.message for event in watch.of("message")]
            assert bubble is not None
            assert bubble.client_id == receipt.message.client_id
            await transport.disconnect()
    assert site.posted == ["hello", "next"]


# Ids


async def test_A62_a_message_that_arrives_twice_is_shown_once(kind: str) -> None:
    site = Site(
        receive=[says(ONE, ONE, TWO, then="leave"), says(ONE, TWO, TWO, THREE, then="leave"), says(ONE)]
    )
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, watch):
            transport.start()
            await until(lambda: len(site.asked["receive"]) >= 3 and len(watch.texts) >= 3)
            await transport.disconnect()
            assert watch.texts == ["1", "2", "3"]


async def test_A63_ids_are_opaque(kind: str) -> None:
    ids = ["9", "10", "3", "18446744073709551616", "00", "0", "z", "A", "a"]
    rest: list[dict[str, Any]] = [{"type": "message", "id": 11, "text": "a number is no id"}, message("end")]
    site = Site(receive=[says(*map(message, ids), then="leave"), says(*rest, then="leave"), says()])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, watch):
            transport.start()
            await until(lambda: len(site.asked["receive"]) >= 3)
            assert watch.texts == [*ids, "end"]
            assert len(watch.of("unreadable")) == 1
            assert site.cursors[:3] == [None, "a", "end"]


# The application


async def test_A64_messages_sent_before_there_is_a_connection_wait_in_order(kind: str) -> None:
    site = Site(receive=[respond(503), respond(503), says()])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, _):
            receipts = [await transport.send("offline")]
            assert receipts[0].state is DeliveryState.QUEUED
            assert receipts[0].message.client_id
            transport.start()
            receipts += [await transport.send(text) for text in ("connecting", "still")]
            assert {await receipt.settled() for receipt in receipts} == {ACKED}
            await transport.disconnect()
    assert site.posted == ["offline", "connecting", "still"]


@pytest.mark.sampled(3)
async def test_A65_ten_thousand_messages_for_a_hundred_places_are_accounted_for(kind: str) -> None:
    site = Site(post=[after(0.05, accept), accept])
    async with Misbehaving(site) as server:
        with talking(kind, server.url, outbox=OutboxConfig(max_size=100)) as (transport, watch):
            await transport.connect()
            receipts = [transport.submit(f"{number}") for number in range(10_000)]
            states = [await receipt.settled() for receipt in receipts]
            assert set(states) == {ACKED, DROPPED}
            assert states.count(DROPPED) + states.count(ACKED) == 10_000
            assert states[-100:] == [ACKED] * 100
            acked = [receipt.message.text for receipt in receipts if receipt.state is ACKED]
            assert site.posted == acked
            assert len([state for _, state in watch.states if state is DROPPED]) == states.count(DROPPED)
            await transport.disconnect()


async def test_A66_a_server_that_dies_within_the_flush_gets_the_unacknowledged_again_and_no_other(
    kind: str,
) -> None:
    site = Site(post=[accept, stored_and_hung_up, accept])
    assert await posted(kind, [f"{number}" for number in range(5)], site) == [ACKED] * 5
    assert site.posted == ["0", "1", "1", "2", "3", "4"]
    assert len(set(site.client_ids)) == 5


async def in_connecting(transport: Any, site: Site) -> None:
    await until(lambda: site.asked["receive"])


async def in_backoff(transport: Any, site: Site) -> None:
    await until(lambda: transport.status is RECONNECTING)


async def in_flush(transport: Any, site: Site) -> None:
    await transport.send("hello")
    await until(lambda: site.asked["post"])


async def in_csrf(transport: Any, site: Site) -> None:
    await transport.send("hello")
    await until(lambda: site.asked["csrf"])


PHASES: dict[str, tuple[Callable[[Any, Site], Any], dict[str, list[Route]]]] = {
    "connecting": (in_connecting, {"receive": [never]}),
    "backoff": (in_backoff, {"receive": [respond(503, ("Retry-After", "100"))]}),
    "flush": (in_flush, {"post": [never]}),
    "csrf": (in_csrf, {"csrf": [never]}),
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("drain", [0.0, 0.2])
async def test_A67_disconnect_ends_it_in_any_phase(kind: str, phase: str, drain: float) -> None:
    reached, routes = PHASES[phase]
    site = Site(**routes)
    async with Misbehaving(site) as server:
        with talking(kind, server.url, drain_timeout=drain) as (transport, watch):
            transport.start()
            await reached(transport, site)
            async with asyncio.timeout(PATIENCE):
                await transport.disconnect()
                await transport.disconnect()
            assert transport.status is DISCONNECTED
            assert watch.statuses.count(DISCONNECTED) == 1
            told, asked = len(watch.events), len(server.requests)
            await until(lambda: not server.open)
            assert (len(watch.events), len(server.requests)) == (told, asked)
            assert transport._driver._tasks == set()


async def test_A67_disconnect_from_a_handler(kind: str) -> None:
    site = Site(receive=[says(ONE, TWO, THREE)])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, watch):
            transport.on_message(lambda event: transport.stop() if event.type == "message" else None)
            transport.start()
            end = await watch.ended()
            assert end.status is DISCONNECTED
            await until(lambda: not server.open)
            assert watch.texts[0] == "1"


async def test_A68_connecting_twice_is_connecting_once(kind: str) -> None:
    site = Site(receive=[after(0.05, says(ONE)), says()])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, watch):
            await asyncio.gather(*(transport.connect() for _ in range(5)))
            await transport.connect()
            await until(lambda: watch.texts)
            assert watch.statuses == [CONNECTING, CONNECTED]
            assert site.most_under_way == 1
            await transport.disconnect()


async def test_A68_connect_works_again_after_an_error_with_the_queue_and_the_cursor(kind: str) -> None:
    site = Site(receive=[says(ONE, then="leave"), respond(404), says(TWO), says()])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, watch):
            transport.start()
            assert (await watch.ended()).status is ERROR
            receipt = await transport.send("kept")
            await transport.connect()
            await until(lambda: watch.texts == ["1", "2"])
            assert await receipt.settled() is ACKED
            assert site.cursors[2] == "1"
            await transport.disconnect()


async def test_A68_a_cancelled_connect_cleans_up(kind: str) -> None:
    async with Misbehaving(Site(receive=[never])) as server:
        with talking(kind, server.url) as (transport, _):
            connecting = asyncio.create_task(transport.connect())
            await until(lambda: server.open)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            await until(lambda: transport.status is DISCONNECTED and not server.open)
            await until(lambda: not transport._driver._tasks)


async def test_A69_handlers_that_raise_or_are_slow_break_nothing(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    import time

    def broken(what: object) -> None:
        raise RuntimeError("handler's own fault")

    def slow(event: ChatEvent) -> None:
        if event.message is not None and event.message.text == "1":
            time.sleep(0.5)

    caplog.set_level(logging.ERROR)
    site = Site(receive=[says(ONE, TWO), says(THREE)])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, watch):
            transport.on_message(broken)
            transport.on_message(slow)
            transport.on_status_change(broken)
            transport.on_receipt(broken)
            await transport.connect()
            receipt = await transport.send("hello")
            assert await receipt.settled() is ACKED
            await until(lambda: len(watch.texts) == (2 if kind == "sse" else 3))
            assert watch.statuses == [CONNECTING, CONNECTED]
            await transport.disconnect()
    raised = [record for record in caplog.records if record.exc_text]
    assert len(raised) >= 5
    assert all("a handler of chat events raised" in record.getMessage() for record in raised)


async def test_A79_a_token_is_shown_to_the_server_only(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    steps: list[Step] = []
    csrf = respond(200, JSON, body=json.dumps({"token": f"{SECRET}-csrf"}).encode())
    site = Site(receive=[respond(503), says(ONE)], csrf=[csrf], post=[respond(503), accept])
    headers = {"Authorization": f"Bearer {SECRET}"}
    async with Misbehaving(site) as server:
        with talking(kind, f"{server.url}/?token={SECRET}", headers=headers, record=steps.append) as (
            transport,
            watch,
        ):
            await transport.connect()
            assert await (await transport.send("hello")).settled() is ACKED
            await transport.disconnect()
            assert all(request.headers["authorization"].endswith(SECRET) for request in server.requests)
            told = [
                repr(transport),
                repr(transport.config),
                str(watch.changes),
                str(watch.events),
                str(steps),
            ]
    assert not [text for text in (*told, caplog.text, *map(repr, caplog.records)) if SECRET in text]
    assert site.asked["post"][0].headers["x-csrf-token"] == f"{SECRET}-csrf"


async def test_A70_a_thousand_large_messages_arrive_once_and_in_order(kind: str) -> None:
    texts = [f"{number} " + "x" * 60_000 for number in range(100)]
    pages = [message(f"{number}", text) for number, text in enumerate(texts)]
    site = Site(receive=[says(*pages), says()])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, watch):
            transport.start()
            await until(lambda: len(watch.texts) >= 100)
            assert watch.texts == texts
            await transport.disconnect()


async def test_A66_persistent_trouble_with_posts_leaves_the_receiving_alone(kind: str) -> None:
    site = Site(receive=[says(ONE), says(TWO), says()], post=[hang_up])
    async with Misbehaving(site) as server:
        with talking(kind, server.url, reconnect=PERSISTENT, drain_timeout=0.0) as (transport, watch):
            await transport.connect()
            receipt = await transport.send("hello")
            await until(lambda: len(site.asked["post"]) >= 5)
            assert receipt.state is SENT
            assert watch.statuses == [CONNECTING, CONNECTED]
            assert set(site.posted) == {"hello"}
            await transport.disconnect()
            assert [message.text for message in transport.unsettled()] == ["hello"]
