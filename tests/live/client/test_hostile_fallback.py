"""HOSTILE: the effect of proxies and rude servers on a live fallback, whose transports meet them one by one.

The modules beside this one have their effect on a single transport. This one checks whether the next
transport takes over with the cursor and the outbox, and whether a working one is kept.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from chatlab.errors import ConnectError
from chatlab.messages import ChatEvent, ConnectionStatus, DeliveryState
from chatlab.settings import HeartbeatConfig
from chatlab.trace import Step
from tests.live.misbehave import Misbehaving, Peer, Request
from tests.live.misbehave_http import (
    CHUNKED,
    EVENT_STREAM,
    Route,
    Site,
    accept,
    delays,
    hang_up,
    leave,
    message,
    never,
    raw,
    respond,
    says,
    stream,
)
from tests.live.watch import PATIENCE, PERSISTENT, QUICK, talking, until

DISCONNECTED, CONNECTING, CONNECTED, RECONNECTING, ERROR = ConnectionStatus
ACKED = DeliveryState.ACKED
ONE, TWO, THREE = message("1"), message("2"), message("3")
PATHS = {"/ws": "websocket", "/stream": "sse", "/messages/poll": "long_polling", "/messages": "short_polling"}
PORTAL = respond(200, ("Content-Type", "text/html"), body=b"<html>Please log in</html>")
PATIENT: dict[str, Any] = {
    "reconnect": PERSISTENT,
    "attempts_per_transport": 2,
    "connect_timeout": 0.3,
    "request_timeout": 5.0,
    "idle_timeout": 0.3,
    "hold": 0.1,
    "timeout": 0.3,
}
"""Settings of a fallback with short time-outs and unlimited attempts."""
UNHURRIED = dict.fromkeys(("connect_timeout", "idle_timeout", "timeout"), PATIENCE)
"""Settings if every request is answered at once: long time-outs, so that a busy machine isn't taken for
silence."""


def paths(**routes: list[Route]) -> Route:
    """Answer each transport by its own routes, one after the other and the last without end; others with
    403."""
    asked: Counter[str] = Counter()

    async def route(peer: Peer, request: Request) -> None:
        kind = PATHS[request.path]
        turn, own = asked[kind], routes.get(kind, [respond(403)])
        asked[kind] += 1
        await own[min(turn, len(own) - 1)](peer, request)

    return route


def order(site: Site) -> list[str]:
    """Return the transports in the order in which they were first tried."""
    return list(dict.fromkeys(PATHS[request.path] for request in site.asked["receive"]))


async def chats(site: Site, *texts: str, **settings: Any) -> list[ChatEvent]:
    """Connect, receive exactly these texts, send a message over the transport that works, and return all
    events."""
    async with Misbehaving(site) as server:
        with talking("fallback", server.url, **PATIENT | settings) as (transport, watch):
            early = await transport.send("early")
            transport.start()
            assert await asyncio.wait_for(early.settled(), PATIENCE) is ACKED
            await until(lambda: len(watch.texts) >= len(texts))
            late = await transport.send("late")
            assert await asyncio.wait_for(late.settled(), PATIENCE) is ACKED
            assert watch.texts == list(texts)
            assert ERROR not in watch.statuses
            await asyncio.wait_for(transport.disconnect(), PATIENCE)
            # On a busy machine a message may have been sent again, with the same id.
            assert list(dict.fromkeys(server.heard)) == ["early", "late"]
            await until(lambda: not server.open)
            return watch.events


async def swallow(peer: Peer, request: Request) -> None:
    """Open a WebSocket, and drop everything from then on (half-open)."""
    await peer.switch(request)
    await peer.gone()


async def buffer(peer: Peer, request: Request) -> None:
    """Open an event stream and hold back its content, as a buffering proxy does."""
    await peer.begin(200, (EVENT_STREAM, CHUNKED))
    await peer.gone()
    leave()


BLOCKED: dict[str, Route] = {
    "captive portal": PORTAL,
    "403": respond(403),
    "404": respond(404),
    "407": respond(407),
    "426 for ever": respond(426),
    "502": respond(502),
    "503, come back": respond(503, ("Retry-After", "0")),
    "garbage": raw(b"\x00\xff garbage\r\n\r\n"),
    "hangs up": hang_up,
    "no answer": never,
    "half-open": swallow,
    "redirect to a log-in page": respond(302, ("Location", "http://login.invalid/")),
}


@pytest.mark.parametrize("answer", BLOCKED.values(), ids=BLOCKED)
async def test_A19_A20_A22_A27_a_websocket_that_a_proxy_blocks_makes_way(answer: Route) -> None:
    beat = HeartbeatConfig(interval=0.1, timeout=0.05)
    site = Site(receive=[paths(websocket=[answer], sse=[says(ONE, TWO)])])
    await chats(site, "1", "2", heartbeat=beat)
    assert order(site) == ["websocket", "sse"]


STOPPED: dict[str, Route] = {
    "buffers": buffer,
    "captive portal": PORTAL,
    "strips the type": stream(b"data: x\n\n", ("Content-Type", "text/plain")),
    "504 after a while": respond(504),
    "cuts it at once": stream(b"", then="reset"),
    "no answer": never,
}


@pytest.mark.parametrize("answer", STOPPED.values(), ids=STOPPED)
async def test_A35_A37_A44_A83_an_event_stream_that_a_proxy_spoils_makes_way(answer: Route) -> None:
    site = Site(receive=[paths(sse=[answer], long_polling=[says(ONE), says(TWO), says()])])
    await chats(site, "1", "2")
    assert order(site)[:3] == ["websocket", "sse", "long_polling"]


async def test_A56_A83_long_polls_that_a_proxy_cuts_off_make_way_for_short_ones() -> None:
    """End every request that isn't answered within the proxy's idle timeout."""
    site = Site(receive=[paths(long_polling=[respond(504)], short_polling=[says(ONE), says(TWO), says()])])
    await chats(site, "1", "2")
    assert order(site) == ["websocket", "sse", "long_polling", "short_polling"]


@pytest.mark.parametrize("kind", PATHS.values())
async def test_A35_A55_A91_a_captive_portal_loses_nothing_once_it_opens(kind: str) -> None:
    """Answer every request with a log-in page, POSTs too, until the user has logged in."""
    requests = Counter[str]()

    def behind(then: Route) -> Route:
        async def portal(peer: Peer, request: Request) -> None:
            requests[request.method] += 1
            await (PORTAL if requests.total() <= 12 or not requests["POST"] else then)(peer, request)

        return portal

    opened = paths(**{kind: [says(ONE), says(TWO), says()] if "poll" in kind else [says(ONE, TWO)]})
    token = respond(404)
    site = Site(receive=[behind(opened)], post=[behind(accept)], csrf=[token])
    await chats(site, "1", "2", **UNHURRIED)
    assert requests["POST"]


async def test_A27_A66_a_websocket_that_falls_silent_makes_way_with_cursor_and_outbox() -> None:
    """Check that lost messages are sent again with the same id, and none is received twice."""

    async def dies(peer: Peer, request: Request) -> None:
        await peer.switch(request)
        await peer.say(type="welcome")
        await peer.say(**ONE)
        await peer.gone()

    beat = HeartbeatConfig(interval=0.1, timeout=0.05)
    site = Site(receive=[paths(websocket=[dies, never], sse=[says(TWO)])])
    async with Misbehaving(site) as server:
        with talking("fallback", server.url, heartbeat=beat, **PATIENT) as (transport, watch):
            await transport.connect()
            await until(lambda: watch.texts == ["1"])
            receipts = [await transport.send(text) for text in ("a", "b")]
            ids = [receipt.message.client_id for receipt in receipts]
            assert {await receipt.settled() for receipt in receipts} == {ACKED}
            await until(lambda: watch.texts == ["1", "2"])
            assert (site.posted, site.client_ids) == (["a", "b"], ids)
            assert 4000 in watch.codes(RECONNECTING)
    first, *others = site.cursors
    assert (first, set(others)) == (None, {"1"})


async def test_A50_A66_a_message_without_its_ack_is_sent_again_by_the_next_transport() -> None:
    heard: list[str] = []

    async def unthankful(peer: Peer, request: Request) -> None:
        await peer.switch(request)
        await peer.say(type="welcome")
        heard.append((await peer.hear("message"))["client_id"])
        peer.reset()

    site = Site(receive=[paths(websocket=[unthankful, respond(403)], sse=[says(ONE)])])
    async with Misbehaving(site) as server:
        with talking("fallback", server.url, **PATIENT) as (transport, watch):
            receipts = [await transport.send(text) for text in ("a", "b")]
            await transport.connect()
            assert {await receipt.settled() for receipt in receipts} == {ACKED}
            await until(lambda: watch.texts == ["1"])
    assert heard == site.client_ids[:1]
    assert site.posted == ["a", "b"]


async def test_A66_a_transport_that_makes_way_leaves_no_request_behind() -> None:
    """Silence a stream while the answer to a POST is outstanding; that request must end too."""
    abandoned: list[str] = []

    async def unanswered(peer: Peer, request: Request) -> None:
        await peer.gone()
        abandoned.append(request.path)
        leave()

    site = Site(
        receive=[paths(sse=[says(ONE), buffer], long_polling=[says(TWO), says()])],
        post=[unanswered, accept],
    )
    async with Misbehaving(site) as server:
        settings = PATIENT | {"request_timeout": 60.0, "idle_timeout": 0.2, "attempts_per_transport": 1}
        with talking("fallback", server.url, **settings) as (transport, watch):
            await transport.connect()
            receipt = await transport.send("x")
            assert await asyncio.wait_for(receipt.settled(), PATIENCE) is ACKED
            await until(lambda: abandoned == ["/messages"])
            await until(lambda: watch.texts == ["1", "2"])
            assert transport.status is CONNECTED
    assert site.client_ids == [receipt.message.client_id] * 2


async def test_A60_a_next_transport_whose_server_has_lost_the_cursor_reports_the_gap() -> None:
    polls = [respond(410, ("Chat-Cursor", "7")), says(ONE, TWO), says()]
    site = Site(receive=[paths(websocket=[says(ONE, then="leave"), respond(403)], long_polling=polls)])
    events = await chats(site, "1", "2")
    assert len([event for event in events if event.type == "resync"]) == 1


async def says_goodbye(peer: Peer, request: Request) -> None:
    await peer.switch(request)
    await peer.say(type="welcome")
    await peer.close(1000, "bye")


@pytest.mark.parametrize("goodbye", [says_goodbye, respond(204)], ids=["close 1000", "204"])
async def test_A12_A34_a_normal_end_by_the_server_ends_the_fallback(goodbye: Route) -> None:
    site = Site(receive=[paths(websocket=[goodbye] if goodbye is says_goodbye else [PORTAL], sse=[goodbye])])
    async with Misbehaving(site) as server:
        with talking("fallback", server.url, **PATIENT) as (transport, watch):
            transport.start()
            end = await watch.ended()
            assert end.status is DISCONNECTED
            await until(lambda: not server.open)
    assert order(site) == ["websocket", "sse"][: 1 if goodbye is says_goodbye else 2]


async def test_A25_a_websocket_that_ends_again_and_again_is_backed_off_from_and_then_left() -> None:
    """Send something before each end: the transport works, but never long enough to count as stable."""
    reconnect = QUICK.replace(max_attempts=4, max_delay=10.0)
    steps: list[Step] = []
    site = Site(receive=[paths(websocket=[says(then="leave")], sse=[says(ONE)])])
    async with Misbehaving(site) as server:
        settings = PATIENT | {"reconnect": reconnect, "record": steps.append}
        with talking("fallback", server.url, **settings) as (transport, watch):
            transport.start()
            await until(lambda: watch.texts == ["1"])
            assert delays(steps)[:4] == pytest.approx([0.01, 0.02, 0.04, 0.08])
            assert transport.status is CONNECTED
    assert order(site) == ["websocket", "sse"]


async def test_A83_a_better_transport_that_opens_and_says_nothing_is_not_preferred() -> None:
    """Open the WebSocket again and drop its data; pass it on later."""
    site = Site(
        receive=[paths(websocket=[respond(403), swallow, respond(403), swallow, says(TWO)], sse=[says(ONE)])]
    )
    beat = HeartbeatConfig(interval=0.4, timeout=0.35)
    async with Misbehaving(site) as server:
        settings = PATIENT | {"idle_timeout": PATIENCE, "upgrade_after": 0.05, "heartbeat": beat}
        with talking("fallback", server.url, **settings) as (transport, watch):
            await transport.connect()
            await until(lambda: watch.texts == ["1", "2"])
            assert watch.statuses[:2] == [CONNECTING, RECONNECTING]  # the 403
            assert set(watch.statuses[2:]) == {CONNECTED}
            assert await (await transport.send("x")).settled() is ACKED
            assert (server.heard, site.posted) == (["x"], [])
    assert site.cursors[-1] == "1"


async def test_A24_A38_if_nothing_works_it_gives_up_after_the_last_round() -> None:
    rounds = 4
    reconnect = QUICK.replace(max_attempts=rounds - 1)
    steps: list[Step] = []
    site = Site(receive=[respond(403, body=b"not today")])
    async with Misbehaving(site) as server:
        settings = PATIENT | {"reconnect": reconnect, "record": steps.append}
        with talking("fallback", server.url, **settings) as (transport, _):
            receipt = await transport.send("waits")
            with pytest.raises(ConnectError, match=r"ShortPolling doesn't work \(HTTP 403: not today\)"):
                await asyncio.wait_for(transport.connect(), PATIENCE)
            assert transport.status is ERROR
            assert not receipt.state.final
            await until(lambda: not server.open)
    assert len(site.asked["receive"]) == len(PATHS) * rounds
    assert len(delays(steps)) == rounds - 1


PHASES: dict[str, Route] = {
    "a WebSocket without an answer": paths(websocket=[never]),
    "a half-open WebSocket": paths(websocket=[swallow]),
    "an event stream that is buffered": paths(sse=[buffer]),
    "a long poll without an answer": paths(long_polling=[never]),
    "a pause after all": respond(403),
}


@pytest.mark.parametrize("phase", PHASES)
async def test_A67_disconnect_ends_it_in_any_phase(phase: str) -> None:
    site = Site(receive=[PHASES[phase]])
    slow = PATIENT | {"connect_timeout": 60.0, "request_timeout": 60.0, "idle_timeout": 60.0}
    pause = PERSISTENT.replace(base_delay=60.0, max_delay=60.0, jitter="none")
    async with Misbehaving(site) as server:
        settings = slow | {"timeout": 60.0, "reconnect": pause, "attempts_per_transport": 1}
        with talking("fallback", server.url, loop="current", **settings) as (transport, watch):
            transport.start()
            last = {"a WebSocket": 1, "a half-open": 1, "an event": 2, "a long": 3, "a pause": 4}
            wanted = next(count for words, count in last.items() if phase.startswith(words))
            await until(lambda: len(site.asked["receive"]) == wanted)
            if wanted == 4:
                await until(lambda: watch.waits)
            await asyncio.wait_for(transport.disconnect(), PATIENCE)
            assert watch.statuses[-1] is DISCONNECTED
            assert not transport._driver._tasks
            await until(lambda: not server.open)
            assert len(site.asked["receive"]) == wanted
