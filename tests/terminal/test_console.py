"""A console and its commands against a real server, through a real proxy."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from chatlab import Scenario, run
from chatlab.errors import InvalidMessage, OutboxFull, SettingsError
from chatlab.live.client.kinds import TITLES
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import ConnectionStatus
from chatlab.settings import HeaderSource, HeartbeatConfig, OutboxConfig, ReconnectConfig
from chatlab.terminal import targets
from chatlab.terminal.commands import COMMANDS, EXCERPT, CommandError, run_command
from chatlab.terminal.console import Console
from chatlab.terminal.lines import ConsoleLine
from chatlab.terminal.targets import Target
from tests.live.watch import until

HARM = "\x1b[2J\u202e\x07"
SHOWN = "⟨ESC⟩[2J⟨RLO⟩⟨BEL⟩"
QUICK = ReconnectConfig(max_attempts=None, base_delay=0.02, max_delay=0.05, jitter="full")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"heartbeat": HeartbeatConfig(interval=0.6, timeout=0.5), "reconnect": QUICK}
    monkeypatch.setattr(targets, "SETTINGS", settings)


class Talk:
    """A console, and all lines that it has shown."""

    def __init__(self, url: str, name: str = "ada", **settings: Any) -> None:
        self.lines: list[ConsoleLine] = []
        self.console = Console(
            Target(url=url, name=name, **settings),
            "websocket",
            self.lines.append,
            hint="/connect tries again.",
        )

    def texts(self, kind: str) -> list[str]:
        return [line.text for line in self.lines if line.kind == kind]

    async def connected(self) -> None:
        await until(lambda: self.console.transport.status is ConnectionStatus.CONNECTED)

    async def do(self, command: str) -> str:
        return await run_command(self.console, command)


@asynccontextmanager
async def talk(url: str, name: str = "ada", **settings: Any) -> AsyncIterator[Talk]:
    talk = Talk(url, name, **settings)
    talk.console.start()
    try:
        yield talk
    finally:
        await talk.console.leave()


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Talk, Talk, EmbeddedServer]]:
    """Yield ada and bob, connected, and their server."""
    async with EmbeddedServer() as server, talk(server.url) as ada, talk(server.url, "bob") as bob:
        await ada.connected()
        await bob.connected()
        yield ada, bob, server


async def test_a_message_is_shown_once_to_sender_and_receiver() -> None:
    async with two() as (ada, bob, _):
        ada.console.submit("hi")
        await until(lambda: bob.texts("message") == ["hi"])
        await until(lambda: ada.texts("delivered") == ["hi"])
        assert ada.texts("message") == [], "its echo is no second message"
        (accepted,) = (line for line in ada.lines if line.kind == "accepted")
        assert (accepted.mark, accepted.name) == ("✓", "ada")
        (delivered,) = (line for line in ada.lines if line.kind == "delivered")
        assert not delivered.waited
        assert ada.console.rtt is not None
        assert bob.lines[-1].name == "ada"
    assert ada.console.lost == 0
    assert bob.texts("warning") == ada.texts("warning") == []


async def test_own_messages_of_before_are_shown_as_history() -> None:
    async with two() as (ada, bob, server):
        ada.console.submit("hi")
        await until(lambda: bob.texts("message") == ["hi"])
        async with talk(server.url) as again:
            await until(lambda: again.texts("message") == ["hi"])


async def test_typing_and_presence() -> None:
    async with two() as (ada, bob, _):
        ada.console.typing()
        await until(lambda: bob.console.status_line().typing == ("ada",))
        ada.console.submit("hi")
        await until(lambda: bob.texts("message") == ["hi"])
        assert bob.console.status_line().typing == ()
        ada.console.typing()
        await until(lambda: bob.console.status_line().typing == ("ada",))
        await ada.console.leave()
        await until(lambda: "ada left." in bob.texts("notice"))
        assert bob.console.status_line().typing == ()
        assert not any("bob" in text for text in bob.texts("notice")), "one knows about oneself"


async def test_A60_a_server_that_is_killed_and_comes_back_loses_nothing(tmp_path: Any) -> None:
    async with (
        EmbeddedServer(db=tmp_path / "db") as server,
        talk(server.url) as ada,
        talk(server.url, "bob") as bob,
    ):
        ada.console.submit("before")
        await until(lambda: bob.texts("message") == ["before"])
        await server.stop(abrupt=True)
        await until(lambda: ada.console.transport.status is ConnectionStatus.RECONNECTING)
        for n in range(20):
            ada.console.submit(f"{n}")
        assert ada.console.status_line().outbox == 20
        assert [line.mark for line in ada.lines if line.kind == "accepted"][-1] == "◷"
        await server.start()
        await until(lambda: len(bob.texts("message")) == 21)
        assert bob.texts("message") == ["before", *(f"{n}" for n in range(20))]
        await until(lambda: len(ada.texts("delivered")) == 21)
        assert all(line.waited for line in ada.lines if line.kind == "delivered" and line.text != "before")
        (warning,) = ada.texts("warning")
        assert warning.startswith("The connection was lost (")
        assert any(text.startswith("Connected again after ") for text in ada.texts("notice"))


# Commands


async def test_drop_resets_the_connection_and_nothing_is_lost_or_shown_twice() -> None:
    async with two() as (ada, bob, _):
        bob.console.submit("1")
        await until(lambda: ada.texts("message") == ["1"])
        for n in range(2, 5):
            assert await ada.do("/drop") == "The connection was reset."
            await until(lambda: len(ada.texts("warning")) == len(ada.texts("message")))
            bob.console.submit(f"{n}")
            await ada.connected()
            await until(lambda: len(ada.texts("message")) == len(bob.texts("accepted")))
        ada.console.submit("mine")
        await until(lambda: bob.texts("message") == ["mine"])
        assert ada.texts("message") == ["1", "2", "3", "4"]
        assert len(ada.texts("warning")) == 3
        assert [text for text in ada.texts("notice") if "through a fault proxy" in text] != []


async def test_going_through_the_proxy_shows_no_history_again() -> None:
    async with two() as (ada, bob, server):
        for n in range(60):
            bob.console.submit(f"{n}")
        await until(lambda: len(ada.texts("message")) == 60)
        async with talk(server.url, "zoë", history=2) as zoe:
            await until(lambda: zoe.texts("message") == ["58", "59"])
            await zoe.do("/latency 0.01")
            bob.console.submit("new")
            await until(lambda: zoe.texts("message") == ["58", "59", "new"])


async def test_A62_another_transport_asks_for_all_that_came_meanwhile() -> None:
    async with two() as (_, bob, server), talk(server.url, "zoë", history=2) as zoe:
        bob.console.submit("before")
        await until(lambda: zoe.texts("message") == ["before"])
        await zoe.do("/down")
        texts = [f"{n}" for n in range(10)]
        for text in texts:
            bob.console.submit(text)
        await until(lambda: bob.texts("delivered") == ["before", *texts])
        await zoe.do("/transport sse")
        await zoe.do("/up")
        await until(lambda: len(zoe.texts("message")) == 11)
        assert zoe.texts("message") == ["before", *texts], "though the history would be two"


async def test_the_wait_for_a_connection_is_no_round_trip() -> None:
    targets.SETTINGS["heartbeat"] = HeartbeatConfig(enabled=False)
    async with two() as (ada, _, _):
        await ada.do("/down")
        ada.console.submit("later")
        await ada.do("/up")
        await until(lambda: ada.texts("delivered") == ["later"])
        assert ada.console.rtt is None
        ada.console.submit("now")
        await until(lambda: ada.texts("delivered") == ["later", "now"])
        assert ada.console.rtt is not None


async def test_A71_a_command_that_is_under_way_when_one_leaves_is_not_left_half_done() -> None:
    async with two() as (ada, _, _):
        command = asyncio.create_task(ada.do("/latency 0.01"))
        while ada.console.proxy is None:  # noqa: ASYNC110  # to be there in the middle of it
            await asyncio.sleep(0)
        command.cancel()
        late = asyncio.create_task(ada.do("/down"))
        await ada.console.leave()
        assert any("through a fault proxy" in text for text in ada.texts("notice"))
        with pytest.raises(EOFError):
            await late
        (port,) = re.findall(r"proxy on 127\.0\.0\.1:(\d+)", "".join(ada.texts("notice")))
        assert f":{port}/" in repr(ada.console.transport.config), "and it leads through the proxy"
        assert ada.console.status_line().status is ConnectionStatus.DISCONNECTED


async def test_latency_goes_both_ways_and_ends() -> None:
    async with two() as (ada, _, _):
        assert await ada.do("/latency 0") == "There is no added latency."
        assert ada.console.proxy is None, "for nothing no proxy is needed"
        assert await ada.do("/latency 0.05") == "Added latency: 50 ms each way."
        assert ada.console.status_line().faults == ("latency 0.05",)
        ada.console.submit("slow")
        await until(lambda: "slow" in ada.texts("delivered"))
        assert ada.console.rtt is not None
        assert ada.console.rtt >= 0.1
        assert await ada.do("/ping") == f"The latest round trip took {ada.console.rtt:.2g} s."
        assert await ada.do("/latency 0") == "There is no added latency."
        assert ada.console.status_line().faults == ()


async def test_down_and_up() -> None:
    async with two() as (ada, bob, _):
        assert await ada.do("/up") == "There is no fault."
        await ada.do("/down")
        assert ada.console.status_line().faults == ("server down",)
        await until(lambda: ada.console.status_line().attempt >= 2)
        status_line = ada.console.status_line()
        assert status_line.status is ConnectionStatus.RECONNECTING
        assert "reconnecting" in await ada.do("/status")
        ada.console.submit("later")
        with pytest.raises(CommandError, match="no connection to reset"):
            await ada.do("/drop")
        assert await ada.do("/up") == "There is no fault any more."
        assert await ada.do("/up") == "There is no fault."
        await until(lambda: bob.texts("message") == ["later"])
        await until(lambda: ada.texts("delivered") == ["later"])


async def test_a_heartbeat_detects_a_silent_connection() -> None:
    async with two() as (ada, bob, _):
        assert "half-open" in await ada.do("/silent")
        assert ada.console.status_line().faults == ("half open",)
        ada.console.submit("vanishes")
        await until(lambda: any("timeout" in text for text in ada.texts("warning")))
        assert "New connections work again" in await ada.do("/up")
        await until(lambda: bob.texts("message") == ada.texts("delivered") == ["vanishes"])
        (delivered,) = (line for line in ada.lines if line.kind == "delivered")
        assert delivered.waited, "though it was sent at once"


async def test_faults_of_a_scenario_are_typed_and_end() -> None:
    async with two() as (ada, _, _):
        assert (await ada.do("/fault")).startswith("There is no fault; inject one of server_down,")
        answer = await ada.do("/fault latency 0.02 jitter 0.01; reset at 0.1")
        assert answer == "Injected: latency 0.02 jitter 0.01; connection reset at 0.1. /up ends all faults."
        assert await ada.do("/fault") == "Under way: latency 0.02 jitter 0.01."
        await until(lambda: "Fault: connection reset." in ada.texts("notice"))
        await until(lambda: any("trying again" in text for text in ada.texts("warning")))
        await ada.do("/fault half_open for 0.05")
        await until(lambda: "The fault is over: half open." in ada.texts("notice"))
        await ada.do("/fault partition at 60 for 5")
        assert await ada.do("/up") == "There is no fault any more."
        assert await ada.do("/up") == "There is no fault."
        assert ada.console.status_line().faults == ()
        assert ada.texts("notice")[-1] == "The fault is over: latency 0.02 jitter 0.01."


async def test_what_only_an_embedded_server_can_do_is_refused() -> None:
    async with two() as (ada, _, _):
        with pytest.raises(CommandError, match="only an embedded server can be made to do that"):
            await ada.do("/fault down at 1; no pong")
        assert await ada.do("/up") == "There is no fault.", "none of them was injected"
        with pytest.raises(CommandError, match="did you mean down"):
            await ada.do("/fault dwon")


async def test_another_transport_takes_over_what_is_unsettled() -> None:
    async with two() as (ada, bob, _):
        await ada.do("/down")
        texts = [f"{n}" for n in range(100)]
        for text in texts:
            ada.console.submit(text)
        with pytest.raises(OutboxFull):
            ada.console.submit("one too many")
        assert await ada.do("/transport long_polling") == "Switched to long_polling."
        assert ada.console.status_line().kind == "long_polling"
        assert ada.console.status_line().outbox == 100
        await ada.do("/up")
        await until(lambda: bob.texts("message") == texts)
        await until(lambda: ada.texts("delivered") == texts)
        assert (
            await ada.do("/transport")
            == "The transport is long_polling, of websocket, sse, long_polling, short_polling, fallback."
        )
        bob.console.submit("answer")
        await until(lambda: ada.texts("message") == ["answer"])


async def test_a_conversation_goes_on_by_every_transport_in_turn_and_faults_hit_each() -> None:
    async with two() as (ada, bob, _):
        expected = []
        for kind in (*TITLES, "websocket"):
            await ada.do(f"/transport {kind}")
            await ada.do("/down")
            for sender, text in ((ada, f"up {kind}"), (bob, f"down {kind}")):
                sender.console.submit(text)
                expected.append(text)
            await ada.do("/up")
            await until(lambda: len(ada.texts("message")) + len(bob.texts("message")) == len(expected))
        assert sorted(ada.texts("message") + bob.texts("message")) == sorted(expected)
        assert ada.texts("message") == [text for text in expected if text.startswith("down")]
        assert bob.texts("message") == [text for text in expected if text.startswith("up")]


async def test_more_than_the_outbox_holds_is_taken_over_too() -> None:
    async with EmbeddedServer() as server, talk(server.url, outbox=OutboxConfig(max_size=3)) as ada:
        await ada.connected()
        await ada.do("/silent")
        for n in range(5):
            ada.console.submit(f"{n}")  # Sent, and not acknowledged: the outbox stays empty.
        await ada.do("/transport long_polling")
        assert ada.console.status_line().outbox == 5
        await ada.do("/up")
        await until(lambda: ada.texts("delivered") == ["0", "1", "2", "3", "4"])


async def test_an_unknown_transport_leaves_the_old_one_running() -> None:
    async with two() as (ada, bob, _):
        with pytest.raises(CommandError, match="there is no 'pigeon'"):
            await ada.do("/transport pigeon")
        ada.console.submit("still here")
        await until(lambda: bob.texts("message") == ["still here"])
        assert ada.texts("warning") == []


async def test_connect_after_it_gave_up() -> None:
    server = EmbeddedServer()
    await server.start()
    async with talk(server.url) as ada:
        await ada.connected()
        assert await ada.do("/connect") == "Already connected."
    never = QUICK.replace(max_attempts=1)
    targets.SETTINGS["reconnect"] = never
    async with talk(server.url) as ada:
        await ada.connected()
        await server.stop(abrupt=True)
        await asyncio.wait_for(ada.console.ended.wait(), 60)
        ada.console.submit("kept")
        assert ada.texts("warning")[-1].startswith("Gave up after 1 retry: ")
        assert ada.texts("warning")[-1].endswith(". /connect tries again.")
        await server.start()
        assert await ada.do("/connect") == "Connecting."
        await until(lambda: ada.texts("delivered") == ["kept"])
    await server.stop()


async def test_A101_what_was_left_behind_is_listed_and_sent_again_there() -> None:
    server = EmbeddedServer()
    await server.start()
    async with EmbeddedServer() as other, talk(server.url) as ada:
        await ada.connected()
        assert await ada.do("/undelivered") == "No messages are undelivered."
        assert await ada.do("/retry") == "Nothing was sent again."
        for long in (f"/{'x' * 9_999}", f"/transport {'x' * 9_999}", f"/server http://u@{'x' * 9_999}:0"):
            with pytest.raises(CommandError) as refused:
                await ada.do(long)
            assert len(str(refused.value)) < 600
        await server.stop(abrupt=True)
        for text in ("one", f"two {HARM}"):
            ada.console.submit(text)
        assert await ada.do("/room attic") == "The room is attic."
        three = "three" + "e" * 9_999
        ada.console.submit(three)
        assert await ada.do("/name eve") == "The name is eve."
        await until(lambda: ada.console.lost == 3)
        assert await ada.do("/undelivered") == "\n".join(
            (
                "one (for room lobby, as ada)",
                f"two {SHOWN} (for room lobby, as ada)",
                f"three{'e' * (EXCERPT - 6)}… (for room attic, as ada)",
            )
        )
        answer = await ada.do("/retry")
        assert answer == "Nothing was sent again. Others are for another place: /undelivered lists them."
        assert await ada.do(f"/server {other.url}") == f"The server is {other.url}."
        await ada.connected()
        assert f"one (for room lobby at {server.url}, as ada)" in await ada.do("/undelivered")
        await server.start()
        assert await ada.do(f"/server {server.ws_url}") == f"The server is {server.ws_url}."
        assert await ada.do("/name ada") == "The name is ada."
        assert (
            "1 message for this place is undelivered. /retry sends undelivered messages again."
            in ada.texts("notice")
        )
        await ada.connected()
        answer = await ada.do("/retry")
        assert answer == "1 message is sent again. Others are for another place: /undelivered lists them."
        await until(lambda: ada.texts("delivered") == [three])
        await ada.do("/room lobby")
        await ada.connected()
        assert "one (for this place)" not in await ada.do("/undelivered"), "it says why it is here"
        assert await ada.do("/retry") == "2 messages are sent again."
        await until(lambda: ada.texts("delivered") == [three, "one", f"two {SHOWN}"])
        assert await ada.do("/undelivered") == "No messages are undelivered."
        assert ada.console.lost == 0
    await server.stop()


async def test_room_name_and_server_without_a_value_show_the_present_one() -> None:
    async with EmbeddedServer() as server, talk(f"{server.url}/?token=s3cret") as ada:
        assert await ada.do("/room") == "The room is lobby."
        assert await ada.do("/name") == "The name is ada."
        await until(lambda: ada.console.conversation.present() == ("ada",))
        assert await ada.do("/who") == "1 here: ada."
        assert await ada.do("/server") == f"The server is {server.url}/?token=***."


async def test_faults_need_a_connection_without_tls() -> None:
    async with EmbeddedServer() as server:
        ada = Talk(server.url.replace("http", "https"))
        for command in ("/drop", "/down", "/silent", "/latency 1"):
            with pytest.raises(CommandError, match=r"use a ws:// or http:// URL"):
                await ada.do(command)
        assert ada.console.proxy is None
        await ada.console.leave()


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("/dorp", "did you mean /drop"),
        ("/xyzzy", "/help lists the commands"),
        ("/", "/help lists the commands"),
        ("/latency", "give seconds from 0"),
        ("/latency -1", "give seconds from 0"),
        ("/latency nan", "give seconds from 0"),
        ("/latency 1e9", "give seconds from 0"),
        ("/latency soon", "give seconds from 0"),
        ("/drop it", "/drop takes no argument"),
    ],
)
async def test_a_command_that_makes_no_sense_gets_one_clear_line(line: str, answer: str) -> None:
    ada = Talk("http://127.0.0.1:1")
    with pytest.raises(CommandError) as error:
        await ada.do(line)
    assert answer in str(error.value)
    assert "\n" not in str(error.value)
    assert ada.console.proxy is None
    await ada.console.leave()


async def test_help_names_every_command_and_quit_leaves() -> None:
    ada = Talk("http://127.0.0.1:1")
    answer = await ada.do("/HELP")
    assert [row.split()[0] for row in answer.splitlines()] == list(COMMANDS)
    assert "No round trip" in await ada.do("/ping")
    with pytest.raises(EOFError):
        await ada.do("/quit")
    await ada.console.leave()


# Errors


async def test_undelivered_messages_are_listed_on_leaving() -> None:
    ada = Talk("http://127.0.0.1:1")
    ada.console.start()
    ada.console.submit("never")
    await until(lambda: ada.texts("warning"))
    assert ada.texts("warning")[0].startswith("Can't connect to http://127.0.0.1:1 yet (refused")
    await ada.console.leave()
    (lost,) = (line for line in ada.lines if line.kind == "lost")
    assert (lost.text, lost.reason, lost.mark) == ("never", "no acknowledgement in time", "⚠")
    assert ada.console.lost == 1


async def test_an_invalid_message_is_not_accepted() -> None:
    ada = Talk("http://127.0.0.1:1")
    with pytest.raises(InvalidMessage):
        ada.console.submit("x" * 70_000)
    assert ada.lines == []
    assert ada.console.status_line().outbox == 0
    await ada.console.leave()


@asynccontextmanager
async def rude_server(*frames: object) -> AsyncIterator[str]:
    """Yield the URL of a server that sends these frames to everybody, and refuses all messages."""

    async def speak(connection: ServerConnection) -> None:
        for frame in frames:
            await connection.send(frame if isinstance(frame, str) else json.dumps(frame))
        async for frame in connection:
            said = json.loads(frame)
            if said["type"] == "message":
                nack = {"type": "nack", "client_id": said["client_id"], "status": 413, "reason": HARM}
                await connection.send(json.dumps(nack))

    async with serve(speak, "127.0.0.1", 0) as server:
        (listener,) = server.sockets
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"


async def test_a_message_that_the_server_refuses_is_shown_with_its_reason() -> None:
    async with rude_server() as url, talk(url) as ada:
        await ada.connected()
        ada.console.submit("too much")
        await until(lambda: ada.console.lost == 1)
        (lost,) = (line for line in ada.lines if line.kind == "lost")
        assert (lost.text, lost.reason) == ("too much", f"the server refused the message (413): {SHOWN}")


async def test_an_unknown_kind_or_dialect_is_refused() -> None:
    with pytest.raises(SettingsError, match="pigeon"):
        Console(Target(url="http://h"), "pigeon", print)
    with pytest.raises(SettingsError, match="klingon"):
        Talk("http://h", dialect="klingon")


async def test_A75_what_the_server_says_is_harmless() -> None:
    frames = (
        {"type": "message", "id": "x-1", "sender": HARM, "text": HARM},
        {"type": "presence", "sender": HARM, "state": "joined"},
        {"type": "presence", "sender": HARM, "state": [HARM]},
        {"type": "error", "why": HARM * 999},
        {"type": "welcome", "cursor": "x-0", "resync": True},
        {"type": "mystery", "what": HARM},
        {"type": "typing", "sender": HARM},
        f"no JSON {HARM}",
    )
    async with rude_server(*frames) as url, talk(url) as ada:
        await until(lambda: any("can't be read" in text for text in ada.texts("warning")))
        (message,) = (line for line in ada.lines if line.kind == "message")
        assert (message.text, message.name) == (SHOWN, SHOWN)
        assert f"{SHOWN} joined." in ada.texts("notice")
        assert ada.console.status_line().typing == (HARM,)
        assert any(text.startswith("Messages may be missing here") for text in ada.texts("warning"))
        assert any(text.startswith("Error from the server") for text in ada.texts("warning"))
        assert not {"\x1b", "\u202e", "\x07"} & {*"".join(map(str, ada.lines))}
        assert max(len(line.text) for line in ada.lines) < 600


async def test_nothing_is_left_running() -> None:
    before = asyncio.all_tasks()
    async with two() as (ada, bob, _):
        await ada.do("/latency 0.01")
        bob.console.submit("hi")
        await until(lambda: ada.texts("message") == ["hi"])
    await until(lambda: asyncio.all_tasks() == before)


async def test_headers_are_not_mentioned_if_none_were_given() -> None:
    none = HeaderSource({})
    async with EmbeddedServer() as one, EmbeddedServer() as other, talk(one.url, headers=none) as ada:
        await ada.do(f"/server {other.url}")
        assert not [text for text in ada.texts("notice") if "headers" in text]


async def test_headers_stay_with_the_server_that_they_were_given_for() -> None:
    given = HeaderSource({"X-Key": "secret"})
    async with EmbeddedServer() as one, EmbeddedServer() as other, talk(one.url, headers=given) as ada:

        def sent() -> Any:
            return getattr(ada.console.transport.config, "headers", None)

        await ada.connected()
        assert sent() == given
        await ada.do(f"/server {one.ws_url}")
        assert sent() == given
        await ada.do(f"/server {other.url}")
        assert sent() == HeaderSource(None)
        assert (
            ada.texts("notice").count(
                "The headers that you gave are not sent to this server: they are for the first one only."
            )
            == 1
        )
        await ada.do("/room elsewhere")
        assert sent() == HeaderSource(None)
        await ada.do(f"/server {one.url}")
        assert sent() == given


async def test_the_conversation_becomes_a_scenario(tmp_path: Path) -> None:
    async with EmbeddedServer() as server, talk(server.url.replace("://", "://ada:s3cret@")) as ada:
        await ada.connected()
        await ada.do("/fault reset at 0.1")
        ada.console.submit("a secret text")
        await until(lambda: ada.texts("delivered") == ["a secret text"])
        await until(lambda: any("lost" in text for text in ada.texts("warning")))
        await ada.connected()
        toml = await ada.do("/scenario")
        made = Scenario.from_toml(toml)
        assert [fault.kind for fault in made.faults] == ["connection_reset"]
        assert "secret" not in toml
        assert "s3cret" not in toml
        live = [at - (ada.console.record.began_at or 0) for at in ada.console.record.attempts(float("inf"))]
        attempts = [at for span in run(made).statuses("ada") for at in span.attempts]
        assert attempts == pytest.approx(live, abs=1.0), "a busy machine is late"
        assert "a secret text" in await ada.do("/scenario texts")
        file = tmp_path / "my run.py"
        assert await ada.do(f"/scenario {file}") == f"Saved in {file}."
        assert "scenario = Scenario(" in file.read_text()
        assert (
            await ada.do(f"/scenario texts {tmp_path / 'run.toml'}") == f"Saved in {tmp_path / 'run.toml'}."
        )
        assert "a secret text" in (tmp_path / "run.toml").read_text()
        assert "100 people" in await ada.do("/crowd 100")
        with pytest.raises(CommandError, match="/crowd 1000"):
            await ada.do("/crowd everybody")
        with pytest.raises(CommandError, match=r"^/scenario: "):
            await ada.do(f"/scenario {tmp_path / 'nowhere' / 'run.toml'}")
