"""Commands of a console: lines that begin with a slash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from difflib import get_close_matches
from math import isfinite
from typing import NamedTuple

from chatlab.conversation import explain
from chatlab.errors import ChatError
from chatlab.live.kinds import TITLES
from chatlab.messages import ConnectionStatus
from chatlab.settings import shown_url
from chatlab.terminal.console import Console
from chatlab.terminal.lines import seconds
from chatlab.terminal.standing import describe
from chatlab.text import cut, short_name, visible_line

LONGEST_LATENCY = 3600.0
"""Seconds."""
EXCERPT = 200
"""Characters of an undelivered message that are listed."""


class CommandError(ChatError):
    """A command can't be carried out; the text says what would help."""


class Command(NamedTuple):
    """A command: what follows its name, what it does, and the values to offer. `run` returns what to say."""

    argument: str
    summary: str
    run: Callable[[Console, str], Awaitable[str]]
    values: Callable[[], Iterable[str]] = tuple


async def obey(console: Console, line: str) -> str:
    """Carry out a line that begins with a slash, and return what to say.

    Errors: `CommandError` with one clear line; `EOFError` where the person wants to leave.
    """
    name, _, argument = line.strip().partition(" ")
    command = COMMANDS.get(name.lower())
    if command is None:
        likely = get_close_matches(name.lower(), COMMANDS, 1)
        name = short_name(name)
        hint = f"did you mean {likely[0]}?" if likely else "/help lists the commands"
        raise CommandError(f"There is no {name}; {hint} (//… sends a line that begins with a slash)")
    argument = argument.strip()
    if argument and not command.argument:
        raise CommandError(f"{name} takes nothing after it")
    # Shielded, since a proxy or a transport that is half made would be left behind.
    return await asyncio.shield(asyncio.ensure_future(_carry_out(command, console, name, argument)))


async def _carry_out(command: Command, console: Console, name: str, argument: str) -> str:
    async with console.busy:  # One after the other, as they were typed.
        if console.leaving:
            raise EOFError
        try:
            return await command.run(console, argument)
        except (CommandError, EOFError):
            raise
        except Exception as error:
            raise CommandError(f"{name}: {explain(error)}") from None


async def _help(console: Console, argument: str) -> str:
    rows = [(f"{name} {command.argument}".rstrip(), command.summary) for name, command in COMMANDS.items()]
    width = max(len(usage) for usage, _ in rows)
    return "\n".join(f"{usage:{width}}  {summary}" for usage, summary in rows)


async def _drop(console: Console, argument: str) -> str:
    proxy = await console.faulty()
    if not proxy.connections:
        raise CommandError("/drop: there is no connection to reset")
    proxy.reset()
    return "The connection was reset."


async def _ping(console: Console, argument: str) -> str:
    rtt = console.rtt
    if rtt is None:
        return "No round trip was measured yet: a heartbeat or a message of yours will do it."
    return f"The latest round trip took {seconds(rtt)}."


async def _latency(console: Console, argument: str) -> str:
    try:
        value = float(argument)
    except ValueError:
        value = -1.0
    if not isfinite(value) or not 0 <= value <= LONGEST_LATENCY:
        raise CommandError("/latency: give seconds from 0 (off) to 3600, such as /latency 0.5")
    if not value and console.proxy is None:
        return "There is no added latency."
    proxy = await console.faulty()
    proxy.set(latency=value)
    return f"Everything is {seconds(value)} late, each way." if value else "There is no added latency."


async def _down(console: Console, argument: str) -> str:
    proxy = await console.faulty()
    console.down = True
    await proxy.refuse()
    return "The server is down: connections are reset, new ones refused. /up ends it."


async def _up(console: Console, argument: str) -> str:
    proxy = console.proxy
    if proxy is None or not (console.down or proxy.up.silent):
        return "Nothing is down or silent."
    was_silent = proxy.up.silent
    proxy.set(silent=False)
    await proxy.accept()
    console.down = False
    if was_silent:
        return "New connections work again; the silent one stays so until a heartbeat finds out."
    return "The server is up again."


async def _silent(console: Console, argument: str) -> str:
    proxy = await console.faulty()
    proxy.set(silent=True)
    return "Nothing gets through any more, and nobody says so (half-open). /up ends it."


async def _transport(console: Console, argument: str) -> str:
    if not argument:
        return f"The transport is {console.kind}, of {', '.join(TITLES)}."
    await console.swap(argument)
    return f"Going on by {argument}."


async def _room(console: Console, argument: str) -> str:
    if argument:
        await console.go(room=argument)
    return f"The room is {console.target.room}."


async def _name(console: Console, argument: str) -> str:
    if argument:
        await console.go(name=argument)
    return f"The name is {console.target.name}."


async def _server(console: Console, argument: str) -> str:
    if argument:
        await console.go(url=argument)
    return f"The server is {shown_url(console.target.url)}."


async def _undelivered(console: Console, argument: str) -> str:
    here = console.talk.place
    rows = []
    for own in console.talk.undelivered():
        why = f"for {own.place.seen_from(here)}" if own.place != here else own.reason or "written for here"
        rows.append(f"{cut(visible_line(own.text), EXCERPT)} ({why})")
    return "\n".join(rows) or "Nothing has been left undelivered."


async def _retry(console: Console, argument: str) -> str:
    sent = console.talk.retry_all()
    elsewhere = len({own.place for own in console.talk.undelivered()} - {console.talk.place})
    more = "" if not elsewhere else " Others are for elsewhere: /undelivered lists them."
    count = "Nothing was" if not sent else "1 message is" if sent == 1 else f"{sent} messages are"
    return f"{count} sent again.{more}"


async def _connect(console: Console, argument: str) -> str:
    if console.talk.last_change.status is ConnectionStatus.CONNECTED:
        return "It is connected."
    console.start()
    return "Connecting."


async def _status(console: Console, argument: str) -> str:
    target = console.target
    return f"{describe(console.standing())} · {shown_url(target.url)} · room {target.room} · as {target.name}"


async def _quit(console: Console, argument: str) -> str:
    raise EOFError


COMMANDS: dict[str, Command] = {
    "/drop": Command("", "reset the connection now", _drop),
    "/down": Command("", "reset it and refuse new ones, as a server that is down", _down),
    "/silent": Command("", "let everything vanish without a word (half-open)", _silent),
    "/up": Command("", "end /down and /silent", _up),
    "/latency": Command("SECONDS", "make everything late, each way; 0 ends it", _latency),
    "/ping": Command("", "show how long the latest round trip took", _ping),
    "/transport": Command(
        "NAME", "go on by another transport, with nothing lost", _transport, lambda: TITLES
    ),
    "/room": Command("NAME", "go to another room; unsent messages stay behind", _room),
    "/name": Command("NAME", "go on under another name; unsent messages stay behind", _name),
    "/server": Command("URL", "go to another server; unsent messages stay behind", _server),
    "/undelivered": Command("", "list messages that were left behind or failed", _undelivered),
    "/retry": Command("", "send again those that were written for here", _retry),
    "/connect": Command("", "try again after it gave up", _connect),
    "/status": Command("", "show how the connection stands", _status),
    "/help": Command("", "list these commands", _help),
    "/quit": Command("", "leave, as Ctrl-D does", _quit),
}
