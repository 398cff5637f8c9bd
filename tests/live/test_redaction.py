"""Others' texts quote the secrets of our settings, and none is shown."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from html import escape
from urllib.parse import quote

import pytest

from chatlab.errors import TryAgain
from chatlab.live.redaction import MAX_LEARNT, Redaction
from chatlab.messages import ChatEvent, ChatMessage
from chatlab.settings import WebSocketConfig
from chatlab.trace import Step
from chatlab.transports.machine import Deliver, Received, Tick
from tests.live.misbehave import Misbehaving, Peer
from tests.live.misbehave_http import JSON, Route, Site, respond, says
from tests.live.watch import ALL, OVER_HTTP, Watch, talking, until

PASSWORD = "hush-hush"
QUERY = "q<1>/2+3"
TOKEN = 'tok"en&<4>'
KEY = "k3y-5"
COOKIE = "c00kie"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "X-Api-Key": KEY, "Cookie": f"theme=dark; sid={COOKIE}"}
HTML = ("Content-Type", "text/html")


def address(url: str) -> str:
    return url.replace("://", f"://ada:{PASSWORD}@") + f"?sig={quote(QUERY, safe='')}"


def quoted(spelt: Callable[[str], str] = str) -> str:
    """Return a server's text that quotes the given secrets."""
    return " ".join(map(spelt, ("no", KEY, QUERY, TOKEN, COOKIE, PASSWORD)))


def refuses(status: int, *headers: tuple[str, str], spelt: Callable[[str], str] = str) -> Route:
    return respond(status, *headers, body=quoted(spelt).encode())


def told(watch: Watch, steps: list[Step]) -> str:
    """Return everything that was reported to an application or recorded."""
    return f"{watch.changes} {watch.events} {steps} {watch.transport!r}"


def assert_hidden(text: str) -> None:
    for secret in (PASSWORD, QUERY, TOKEN, KEY, COOKIE):
        for spelling in {secret, escape(secret), quote(secret, safe=""), json.dumps(secret)[1:-1]}:
            assert spelling not in text
            assert repr(spelling)[1:-1] not in text


@pytest.mark.parametrize(
    "spelt", [str, escape, lambda word: quote(word, safe="")], ids=["raw", "page", "url"]
)
@pytest.mark.parametrize("kind", ALL)
async def test_A79_a_refusal_quotes_no_secret(
    kind: str, spelt: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    steps: list[Step] = []
    async with Misbehaving(Site(receive=[refuses(503, spelt=spelt), refuses(403, spelt=spelt)])) as server:
        with talking(kind, address(server.url), headers=HEADERS, record=steps.append) as (transport, watch):
            transport.start()
            change = await watch.ended()
            assert "no *** *** *** *** ***" in change.reason
    assert_hidden(told(watch, steps) + caplog.text)


@pytest.mark.parametrize("kind", OVER_HTTP)
@pytest.mark.parametrize(
    "route",
    [
        refuses(422),
        respond(200, JSON, body=json.dumps({"error": quoted()}).encode()),
        respond(200, HTML, body=f"<title>{escape(quoted())}</title>".encode()),
        respond(302, ("Location", f"http://{quote(KEY)}.example/{quote(TOKEN)}")),
    ],
    ids=["refusal", "nonsense", "title", "redirect"],
)
async def test_A79_no_receipt_quotes_a_secret(kind: str, route: Route) -> None:
    steps: list[Step] = []
    async with Misbehaving(Site(post=[route])) as server:
        with talking(kind, address(server.url), headers=HEADERS, record=steps.append) as (transport, watch):
            await transport.connect()
            receipt = await transport.send("hello")
            assert await receipt.settled() == "failed"
            assert receipt.error is not None
            await transport.disconnect()
    assert_hidden(told(watch, steps) + str(receipt.error))


async def test_A79_no_close_reason_nack_or_unreadable_frame_quotes_a_secret() -> None:
    steps: list[Step] = []

    async def refuse(peer: Peer) -> None:
        await peer.upgrade()
        await peer.say(type="welcome")
        await peer.say(type="message", id=7, reason=quoted())
        client_id = json.loads((await peer.frame())[1])["client_id"]
        await peer.say(type="nack", client_id=client_id, status=403, reason=quoted())
        await peer.close(4401, quoted())

    async with Misbehaving(refuse) as server:
        url = address(server.ws_url)
        with talking("websocket", url, headers=HEADERS, record=steps.append) as (transport, watch):
            await transport.connect()
            receipt = await transport.send("hello")
            assert await receipt.settled() == "failed"
            change = await watch.ended()
    assert "no *** ***" in str(receipt.error)
    assert "no *** ***" in change.reason
    assert watch.of("unreadable")
    assert_hidden(told(watch, steps) + str(receipt.error))


@pytest.mark.parametrize("kind", ALL)
async def test_A79_a_headers_function_quotes_no_secret_that_it_gave_before(kind: str) -> None:
    calls = 0

    async def headers() -> dict[str, str]:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise TryAgain(quoted())
        return HEADERS

    async with Misbehaving(Site(receive=[respond(503)])) as server:
        with talking(kind, address(server.url), headers=headers) as (transport, watch):
            transport.start()
            change = await watch.ended()
    assert "asks to try again: no ***" in change.reason
    assert_hidden(told(watch, []))


async def test_A79_no_proxy_that_refuses_quotes_a_secret() -> None:
    words = f"{quoted()} {b64encode(f'eve:{PASSWORD}'.encode()).decode()}"

    async def refuse(peer: Peer) -> None:
        await peer.request()
        await peer.begin(403, (), words)

    async with Misbehaving(refuse) as server:
        proxy = server.url.replace("://", f"://eve:{PASSWORD}@")
        with talking("websocket", address("ws://h.example/ws"), headers=HEADERS, proxy=proxy) as (_, watch):
            watch.transport.start()
            change = await watch.ended()
    assert "refuses: no *** ***" in change.reason
    assert_hidden(told(watch, []))
    assert words.rpartition(" ")[2] not in change.reason


@pytest.mark.parametrize("kind", OVER_HTTP)
async def test_A79_a_csrf_token_is_a_secret_too(kind: str) -> None:
    csrf = respond(200, JSON, body=json.dumps({"token": KEY}).encode())
    refusal = respond(422, body=f"not {KEY}".encode())
    async with Misbehaving(Site(csrf=[csrf], post=[refusal])) as server:
        with talking(kind, server.url) as (transport, _):
            await transport.connect()
            receipt = await transport.send("hello")
            await until(lambda: receipt.final)
            assert str(receipt.error).endswith("not ***")
            await transport.disconnect()


async def test_A79_messages_pass_as_they_are() -> None:
    text = f"it was {TOKEN}, {KEY}"
    site = Site(receive=[says({"type": "message", "id": "1", "sender": "bob", "text": text})])
    async with Misbehaving(site) as server:
        with talking("websocket", address(server.ws_url), headers=HEADERS) as (transport, watch):
            await transport.connect()
            await until(lambda: watch.texts)
            await transport.disconnect()
    assert watch.texts == [text]


def test_A79_without_secrets_nothing_is_copied() -> None:
    redaction = Redaction([WebSocketConfig(url="ws://h/ws")])
    redaction.learn({"User-Agent": "mine/1.0", "X": "abc"})
    effects = [Deliver(ChatEvent("presence", reason="mine/1.0 joined"))]
    step = Step(0.0, "ada", Received(1, "abc"), ())
    assert redaction.effects(effects) is effects
    assert redaction.step(step) is step
    redaction.learn({"X": "abcd"})
    effects = [Deliver(ChatEvent("message", message=ChatMessage(id="1", text="abcd")))]
    assert redaction.effects(effects) == effects
    assert redaction.step(step := Step(0.0, "ada", Tick(), ())) is step
    assert repr(redaction) == "Redaction(hidden)"


def test_A79_the_latest_tokens_are_redacted_and_their_number_is_bounded() -> None:
    redaction = Redaction([WebSocketConfig(url="ws://h/ws?t=sesame")])
    redaction.learn({"Authorization": "basic ZXZlOnNlY3JldA=="})
    assert redaction.text("secret ZXZlOnNlY3JldA==") == "*** ***"
    for number in range(MAX_LEARNT):
        redaction.learn({"X-Key": "everlasting", "Authorization": f"token{number:04}"})
    assert redaction.text("secret token0000 sesame everlasting token0255") == "secret token0000 *** *** ***"


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_A79_a_proxy_of_the_environment_has_secrets_too(
    name: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, f"{scheme}eve:{PASSWORD}@proxy:3128")
    assert Redaction([WebSocketConfig(url="ws://h/ws")]).text(f"no {PASSWORD}") == "no ***"
