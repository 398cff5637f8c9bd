"""The `matrix` dialect against synapse (issue 8). Large to install, so it runs only with `make proof`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatlab.experiment.fault_proxy import FaultProxy
from chatlab.live.client.matrix_login import MatrixLogin
from chatlab.live.client.transport import ChatTransport
from chatlab.messages import ConnectionStatus, DeliveryState, OutgoingMessage
from chatlab.settings import OutboxConfig
from tests.interop.synapse import Synapse
from tests.live.chaos import faults_of
from tests.live.watch import PERSISTENT, Watch, talking, until
from tests.terminal.programs import Piped

_, _, CONNECTED, RECONNECTING, ERROR = ConnectionStatus
POLLS = ("long_polling", "short_polling")
ADA, BOB, EVE = "@ada:localhost", "@bob:localhost", "@eve:localhost"
pytestmark = [pytest.mark.proof, pytest.mark.requires("synapse"), pytest.mark.xdist_group("synapse")]
LONG = 90.0
"""Seconds for steps that may be slow on a busy machine."""


@pytest.fixture(scope="module")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    server = Synapse(tmp_path_factory.mktemp("synapse"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def tokens(synapse: Synapse) -> dict[str, str]:
    return {who: synapse.register(who[1:4], f"pw-{who}") for who in (ADA, BOB, EVE)}


@pytest.fixture
def room(synapse: Synapse, tokens: dict[str, str]) -> str:
    """Create a room with ada, bob and eve in it."""
    made: str = synapse.ask("POST", "createRoom", tokens[ADA], preset="public_chat")["room_id"]
    for who in (BOB, EVE):
        synapse.ask("POST", f"join/{made}", tokens[who])
    return made


@contextlib.contextmanager
def in_room(
    kind: str, url: str, room: str, who: str, token: str, **settings: Any
) -> Iterator[tuple[ChatTransport, Watch]]:
    given: dict[str, Any] = {
        "dialect": "matrix",
        "room": room,
        "reconnect": PERSISTENT,
        "headers": {"Authorization": f"Bearer {token}"},
        "interval": 0.2,
    }
    with talking(kind, url, who, **given | settings) as there:
        yield there


def say(synapse: Synapse, room: str, token: str, txn: str, text: str) -> None:
    """Send a message as a bare client."""
    path = f"rooms/{room}/send/m.room.message/{txn}"
    synapse.ask("PUT", path, token, msgtype="m.text", body=text)


@pytest.mark.parametrize("kind", POLLS)
async def test_two_of_ours_and_a_bare_client_talk(
    synapse: Synapse, tokens: dict[str, str], room: str, kind: str
) -> None:
    say(synapse, room, tokens[EVE], "t0", "earlier")
    with (
        in_room(kind, synapse.url, room, ADA, tokens[ADA]) as (ada, watch),
        in_room(kind, synapse.url, room, BOB, tokens[BOB]) as (bob, other),
    ):
        await ada.connect()
        await bob.connect()
        assert await (await ada.send("héllo")).settled() is DeliveryState.ACKED
        assert await (await bob.send(OutgoingMessage(data=b"\0\xff"))).settled() is DeliveryState.ACKED
        say(synapse, room, tokens[EVE], "t1", "bare")
        expected = [(EVE, "earlier", None), (ADA, "héllo", None), (BOB, "", b"\0\xff"), (EVE, "bare", None)]
        for seen in (watch, other):
            await _read(seen, len(expected))
            messages = [event.message for event in seen.of("message") if event.message]
            assert [(m.sender, m.text, m.data) for m in messages] == expected
            assert not seen.of("resync") + seen.of("unreadable")
        ada.typing()
        await until(lambda: any(event.sender == ADA for event in other.of("typing")))
        await ada.disconnect()
        await bob.disconnect()


def test_the_console_talks_with_a_token_from_a_file(
    synapse: Synapse, tokens: dict[str, str], room: str, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(tokens[ADA], encoding="utf-8")
    token.chmod(0o600)
    say(synapse, room, tokens[EVE], "c0", "earlier")
    where = ("--dialect=matrix", f"--room={room}", f"--name={ADA}", f"--token-file={token}")
    console = Piped(synapse.url, *where)
    console.out.has(f"{EVE}: earlier")
    console.say("héllo")
    console.out.has(f"{ADA}: héllo")
    say(synapse, room, tokens[BOB], "c1", "bare")
    console.out.has(f"{BOB}: bare")
    assert console.end() == 0
    token.write_text("syt_wr0ng", encoding="utf-8")
    refused = Piped(synapse.url, *where)
    assert refused.wait() == 1
    assert "401" in refused.err.text
    shown = console.out.text + console.err.text + refused.out.text + refused.err.text
    assert "wr0ng" not in shown
    assert tokens[ADA] not in shown


async def test_a_password_gets_a_token_and_a_refused_token_is_renewed(
    synapse: Synapse, tokens: dict[str, str], room: str
) -> None:
    login = MatrixLogin(synapse.url, "ada", f"pw-{ADA}", device="D1")
    with in_room("long_polling", synapse.url, room, ADA, "", headers=login) as (ada, watch):
        await ada.connect()
        token = (await login())["Authorization"].removeprefix("Bearer ")
        synapse.ask("POST", "logout", token)
        assert await (await ada.send("again")).settled() is DeliveryState.ACKED
        assert (await login())["Authorization"] != f"Bearer {token}"
        await _read(watch, 1)
        assert token not in repr(ada.config) + repr(login) + repr(watch.changes)
        await ada.disconnect()
    wrong = MatrixLogin(synapse.url, "ada", "wrong")
    with in_room("long_polling", synapse.url, room, ADA, "", headers=wrong) as (ada, watch):
        ada.start()
        change = await watch.ended()
        assert change.status is ERROR
        assert "the login was refused" in change.reason


async def test_more_than_a_timeline_holds_is_a_resync(
    synapse: Synapse, tokens: dict[str, str], room: str
) -> None:
    with in_room("short_polling", synapse.url, room, ADA, tokens[ADA]) as (ada, watch):
        await ada.connect()
        say(synapse, room, tokens[EVE], "first", "first")
        await _read(watch, 1)
        await ada.disconnect()
        for number in range(110):
            say(synapse, room, tokens[EVE], f"x{number}", f"missed {number}")
        await ada.connect()
        await _read(watch, 101)
        kinds = [event.type for event in watch.events if event.type in ("resync", "message")]
        assert kinds == ["message", "resync", *["message"] * 100]
        assert watch.texts[1:] == [f"missed {number}" for number in range(10, 110)]
        await ada.disconnect()


@pytest.mark.parametrize("kind", POLLS)
async def test_nothing_is_lost_or_doubled_when_the_server_is_killed_and_connections_reset(
    synapse: Synapse, tokens: dict[str, str], room: str, kind: str
) -> None:
    sent = {who: [f"{who} {number}" for number in range(100)] for who in (ADA, BOB)}
    patient = OutboxConfig(overflow="wait")
    async with FaultProxy(synapse.url) as proxy:
        url = proxy.rebase(synapse.url)
        with (
            in_room(kind, url, room, ADA, tokens[ADA], outbox=patient) as (ada, watch),
            in_room(kind, url, room, BOB, tokens[BOB], outbox=patient) as (bob, other),
        ):
            people = {ADA: ada, BOB: bob}
            for person in people.values():
                await person.connect()

            async def talk(who: str) -> set[DeliveryState]:
                states = set()
                for number, text in enumerate(sent[who]):
                    receipt = await people[who].send(text)
                    if number % 10 == 5:
                        proxy.reset()
                    states.add(await receipt.settled())
                return states

            async def kill_and_start() -> None:
                await until(lambda: len(watch.texts) >= 50, LONG)
                await asyncio.to_thread(synapse.stop)
                synapse.launch()
                await asyncio.to_thread(synapse.wait)

            first, second, _ = await asyncio.gather(talk(ADA), talk(BOB), kill_and_start())
            assert first | second == {DeliveryState.ACKED}
            say(synapse, room, tokens[EVE], f"end-{kind}", "end")
            for seen in (watch, other):
                await until(lambda: seen.texts[-1:] == ["end"], LONG)  # noqa: B023  # at once
                for who in (ADA, BOB):
                    texts = [
                        e.message.text for e in seen.of("message") if e.message and e.message.sender == who
                    ]
                    assert not any(faults_of(sent[who], texts).values())
                assert not seen.of("resync") + seen.of("unreadable")
                assert seen.statuses.count(RECONNECTING) >= 1
            await ada.disconnect()
            await bob.disconnect()


async def _read(watch: Watch, count: int) -> None:
    """Wait until `count` messages have arrived."""
    await until(lambda: len(watch.of("message")) >= count)
