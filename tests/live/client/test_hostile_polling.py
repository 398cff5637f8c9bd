"""HOSTILE: the effect of rude answers on live short and long polling, row by row."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from time import monotonic
from typing import Any

import pytest

from chatlab.errors import ConnectError
from chatlab.messages import ConnectionStatus
from chatlab.settings import LongPollingConfig
from chatlab.trace import Step
from tests.live.misbehave import Misbehaving, Peer, Request
from tests.live.misbehave_http import (
    CHUNKED,
    JSON,
    Route,
    Site,
    after,
    delays,
    hang_up,
    leave,
    message,
    never,
    raw,
    respond,
    says,
)
from tests.live.watch import PERSISTENT, QUICK, talking, until

DISCONNECTED, CONNECTING, CONNECTED, RECONNECTING, ERROR = ConnectionStatus
ONE, TWO, THREE = message("1"), message("2"), message("3")


@pytest.fixture(params=["long_polling", "short_polling"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def page(content: bytes, *headers: tuple[str, str], status: int = 200) -> Route:
    return respond(status, *(headers or (JSON,)), body=content)


async def heard(kind: str, *routes: Route, count: int, **settings: Any) -> tuple[Site, list[str], Any]:
    """Answer one poll after the other by the routes, until `count` messages have arrived."""
    site = Site(receive=[*routes, says()])
    async with Misbehaving(site) as server:
        with talking(kind, server.url, **{"reconnect": PERSISTENT} | settings) as (transport, watch):
            transport.start()
            await until(lambda: len(watch.texts) >= count)
            further = len(site.asked["receive"]) + 2
            await until(lambda: len(site.asked["receive"]) >= further)
            assert transport.status is CONNECTED
            assert ERROR not in watch.statuses
    return site, watch.texts, watch


async def asked_in_a_second(kind: str, route: Route, **settings: Any) -> float:
    """Return the number of requests that a transport makes in a second, measured with eight."""
    site = Site(receive=[route])
    async with Misbehaving(site) as server:
        with talking(kind, server.url, **settings) as (transport, _):
            start = monotonic()
            transport.start()
            await until(lambda: len(site.asked["receive"]) >= 8)
            return (len(site.asked["receive"]) - 3) / (monotonic() - start)


async def test_A54_a_slow_answer_delays_the_next_request(kind: str) -> None:
    """Answer after five times the interval: no request overlaps another."""
    site = Site(receive=[after(0.1, says(ONE)), after(0.1, says(TWO)), after(0.1, says(THREE)), says()])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, watch):
            transport.start()
            await until(lambda: watch.texts == ["1", "2", "3"])
    assert site.most_under_way == 1
    assert all(later - earlier >= 0.09 for earlier, later in pairwise(site.asked_at["receive"][:4]))


GOOD = json.dumps(TWO).encode()
MIXED = {
    "wrong shape": b'[{"type":"message","id":true,"text":"x"},%s]' % GOOD,
    "null": b"[null,%s]" % GOOD,
    "number": b"[%s,3]" % GOOD,
    "string": b'["x",%s,{}]' % GOOD,
    "wrong text": b'[%s,{"type":"message","id":"3","text":5}]' % GOOD,
}


@pytest.mark.parametrize("body", MIXED.values(), ids=MIXED)
async def test_A55_a_wrong_element_spoils_no_good_one(kind: str, body: bytes) -> None:
    site, texts, watch = await heard(kind, says(ONE), page(body), count=2)
    assert texts == ["1", "2"]
    assert watch.of("unreadable")
    last = "3" if b'"3"' in body else "2"  # An unreadable message with an id is skipped by its id.
    assert site.cursors[:2] == [None, "1"]
    assert set(site.cursors[2:]) == {last}
    assert RECONNECTING not in watch.statuses


SENSELESS = {
    "object": b"{}",
    "null": b"null",
    "HTML": b"<html>login</html>",
    "empty": b"",
    "half": b'[{"type":"message","id":"2","text":"x"',
    "NaN": b'[{"type":"message","id":"2","text":"x","n":NaN}]',
    "brackets": b"[" * 100_000,
    "no text": b"\xff\xfe",
}


@pytest.mark.parametrize("body", SENSELESS.values(), ids=SENSELESS)
async def test_A04_A05_A55_a_malformed_answer_is_reported_and_the_cursor_stays(
    kind: str, body: bytes
) -> None:
    site, texts, watch = await heard(kind, says(ONE), page(body), says(TWO), count=2)
    assert texts == ["1", "2"]
    assert site.cursors[:4] == [None, "1", "1", "2"]
    assert RECONNECTING in watch.statuses  # An answer that can't be understood counts as none.
    (unreadable,) = watch.of("unreadable")
    assert unreadable.payload.isprintable()
    assert len(unreadable.payload) <= 1000


async def test_A55_a_page_that_stays_malformed_is_not_fetched_in_a_hot_loop() -> None:
    patient: dict[str, Any] = {"reconnect": PERSISTENT.replace(jitter="none")}
    counts = await asyncio.gather(
        *(
            asked_in_a_second(kind, page(body), **patient | {name: 0.1})
            for kind, name in (("long_polling", "min_gap"), ("short_polling", "interval"))
            for body in (b"{}", b'[{"type":"message","id":true}]')
        )
    )
    assert all(2 <= count <= 25 for count in counts)


EMPTY = {
    "204": respond(204),
    "304": respond(304),
    "408": respond(408),
    "200 []": page(b"[]"),
    "200 [] chunked": raw(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n"
    ),
}


@pytest.mark.parametrize("answer", EMPTY.values(), ids=EMPTY)
async def test_A56_an_idle_end_means_nothing_new(kind: str, answer: Route) -> None:
    site, texts, watch = await heard(kind, says(ONE), answer, answer, says(TWO), count=2)
    assert texts == ["1", "2"]
    assert site.cursors[:5] == [None, "1", "1", "1", "2"]
    assert watch.statuses[:2] == [CONNECTING, CONNECTED]
    assert RECONNECTING not in watch.statuses


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 425])
async def test_A56_a_proxys_error_is_waited_out_and_loses_nothing(kind: str, status: int) -> None:
    site, texts, watch = await heard(kind, says(ONE), respond(status), says(TWO), count=2)
    assert texts == ["1", "2"]
    assert site.cursors[:3] == [None, "1", "1"]
    assert watch.codes(RECONNECTING) == [status]


async def test_A56_A57_instant_answers_make_no_hot_loop() -> None:
    """Repeat the same full page too: the next one is fetched at once only while the cursor moves."""
    assert LongPollingConfig(url="http://127.0.0.1").min_gap == 0.1
    full = page(json.dumps([ONE, TWO]).encode(), JSON, ("Chat-More", "1"))
    counts = await asyncio.gather(
        asked_in_a_second("long_polling", says(), min_gap=0.1),
        asked_in_a_second("long_polling", respond(204), min_gap=0.1),
        asked_in_a_second("long_polling", full, min_gap=0.1),
        asked_in_a_second("short_polling", full, interval=0.1),
    )
    assert all(count <= 1 / 0.1 for count in counts)


async def test_A58_each_poll_sends_its_cursor(kind: str) -> None:
    site, texts, _ = await heard(kind, says(ONE), says(), says(TWO, THREE), says(), count=3)
    assert texts == ["1", "2", "3"]
    assert site.cursors[:5] == [None, "1", "1", "3", "3"]
    assert site.asked["receive"][0].query["history"] == "50"
    assert "history" not in site.asked["receive"][1].query


async def test_A59_an_answer_that_comes_too_late_is_fetched_again_and_shown_once(kind: str) -> None:
    """Time out when half of the answer has arrived."""

    async def late(peer: Peer, request: Request) -> None:
        body = json.dumps([TWO, THREE]).encode()
        await peer.begin(200, (JSON, ("Content-Length", str(len(body)))))
        await peer.send(body[:-5])
        await peer.gone()
        leave()

    patience: dict[str, Any] = {"timeout": 0.6} if kind == "long_polling" else {"request_timeout": 0.6}
    site, texts, watch = await heard(kind, says(ONE), late, says(TWO, THREE), count=3, **patience)
    assert texts == ["1", "2", "3"]
    assert site.cursors[:4] == [None, "1", "1", "3"]
    assert (RECONNECTING in watch.statuses) is (kind == "short_polling")  # A long poll counts it as idle.


@pytest.mark.parametrize("answer", [never, hang_up], ids=["silence", "hangs up"])
async def test_A59_no_answer_is_asked_for_again(kind: str, answer: Route) -> None:
    patience: dict[str, Any] = {"timeout": 0.6} if kind == "long_polling" else {"request_timeout": 0.6}
    site, texts, _ = await heard(kind, says(ONE), answer, answer, says(TWO), count=2, **patience)
    assert texts == ["1", "2"]
    assert site.cursors[:4] == [None, "1", "1", "1"]


CUTS = {
    "truncated chunk": (CHUNKED, b"fff\r\n" + json.dumps([TWO]).encode()),
    "no last chunk": (CHUNKED, b"2\r\n[]\r\n"),
    "short Content-Length": (("Content-Length", "9999"), json.dumps([TWO]).encode()),
}


@pytest.mark.parametrize(("header", "data"), CUTS.values(), ids=CUTS)
async def test_A40_a_truncated_answer_counts_as_none(kind: str, header: tuple[str, str], data: bytes) -> None:
    async def cut(peer: Peer, request: Request) -> None:
        await peer.begin(200, (JSON, header))
        await peer.send(data)
        leave()

    site, texts, watch = await heard(kind, says(ONE), cut, says(THREE), count=2)
    assert texts == ["1", "3"]
    assert site.cursors[:3] == [None, "1", "1"]
    assert RECONNECTING in watch.statuses


async def test_A60_a_304_is_nothing_even_with_a_body_or_another_etag(kind: str) -> None:
    async def unchanged(peer: Peer, request: Request) -> None:
        await peer.begin(304, (("ETag", '"2"'), JSON))
        await peer.send(json.dumps([TWO]).encode())
        leave()

    tagged = page(json.dumps([ONE]).encode(), JSON, ("ETag", '"1"'))
    retagged = page(json.dumps([ONE]).encode(), JSON, ("ETag", '"3"'))
    site, texts, _ = await heard(kind, tagged, unchanged, retagged, says(THREE), count=2)
    assert texts == ["1", "3"]
    assert set(site.cursors[1:4]) == {"1"}
    assert not [request for request in site.asked["receive"] if "if-none-match" in request.headers]


async def test_A60_an_unknown_cursor_is_reported_and_the_history_is_read_again(kind: str) -> None:
    site, texts, watch = await heard(
        kind, says(ONE), respond(410, ("Chat-Cursor", "")), says(ONE, TWO), count=2
    )
    assert texts == ["1", "2"]
    (resync,) = watch.of("resync")
    assert resync.reason
    assert RECONNECTING not in watch.statuses
    assert len(site.asked["receive"]) >= 4


@pytest.mark.parametrize("status", [404, 409, 416])
async def test_A60_other_refusals_of_a_cursor_are_final(kind: str, status: int) -> None:
    """Only 410 means that a cursor is too old; another 4xx may mean anything."""
    site = Site(receive=[says(ONE), respond(status)])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, watch):
            transport.start()
            end = await watch.ended()
            assert (end.status, end.code) == (ERROR, status)
            assert len(site.asked["receive"]) == 2


async def test_A60_a_server_that_knows_no_cursor_at_all_makes_no_hot_loop(kind: str) -> None:
    site = Site(receive=[respond(410)])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, _):
            with pytest.raises(ConnectError):
                await transport.connect()
            assert len(site.asked["receive"]) == 1


@pytest.mark.parametrize(
    "id", ["a&b=c#d", "100%", "1+1", "a/b?c", "two words", "line\nend", "\r\nX: y", "é✓𝄞", "\x00"]
)
async def test_A61_any_id_is_a_safe_cursor(kind: str, id: str) -> None:
    site, texts, _ = await heard(kind, says(message(id, "odd")), says(TWO), count=2)
    assert texts == ["odd", "2"]
    assert site.cursors[1] == id
    assert site.asked["receive"][1].path in ("/messages", "/messages/poll")
    assert site.asked["receive"][1].query["room"] == "lobby"


@pytest.mark.parametrize("status", [400, 401, 403, 405, 451])
async def test_A38_a_refusal_is_final(kind: str, status: int) -> None:
    site = Site(receive=[respond(status, body=b"no")])
    async with Misbehaving(site) as server:
        with talking(kind, server.url) as (transport, _):
            with pytest.raises(ConnectError) as caught:
                await transport.connect()
            assert str(caught.value).startswith(f"HTTP {status}: no")
            await asyncio.sleep(0)
            assert len(site.asked["receive"]) == 1


async def test_A25_a_server_that_answers_every_second_time_is_backed_off_from(kind: str) -> None:
    reconnect = QUICK.replace(max_attempts=5, max_delay=10.0)
    site = Site(receive=[says(), respond(503)] * 6)
    steps: list[Step] = []
    async with Misbehaving(site) as server:
        with talking(kind, server.url, reconnect=reconnect, record=steps.append) as (transport, watch):
            transport.start()
            end = await watch.ended()
            assert end.reason.startswith("gave up after 5 retries: HTTP 503")
    assert delays(steps) == pytest.approx([0.01, 0.02, 0.04, 0.08, 0.16])
