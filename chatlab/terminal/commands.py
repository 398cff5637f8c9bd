"""Commands of the console: lines that begin with a slash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from difflib import get_close_matches
from math import isfinite
from typing import NamedTuple

from chatlab.conversation import explain
from chatlab.errors import ChatError
from chatlab.live.client.kinds import TITLES
from chatlab.messages import ConnectionStatus
from chatlab.settings import shown_url
from chatlab.terminal.console import Console
from chatlab.terminal.lines import seconds
from chatlab.terminal.status_line import describe
from chatlab.text import cut, short_name, visible_line

LONGEST_LATENCY = 3600.0
"""Maximum added latency in seconds."""
EXCERPT = 200
"""Maximum characters of an undelivered message in the list."""


class CommandError(ChatError):
    """A command that can't be run; the text says why, and what would help."""


class Command(NamedTuple):
    """A command: its argument, a summary, and the values offered for completion. `run` returns the answer."""

    argument: str
    summary: str
    run: Callable[[Console, str], Awaitable[str]]
    values: Callable[[], Iterable[str]] = tuple


async def run_command(console: Console, line: str) -> str:
    """Run the command in a line that begins with a slash, and return the answer.

    Errors: `CommandError` with a text of one line; `EOFError` if the person wants to leave.
    """
    name, _, argument = line.strip().partition(" ")
    command = COMMANDS.get(name.lower())
    if command is None:
        likely = get_close_matches(name.lower(), COMMANDS, 1)
        name = short_name(name)
        hint = f"did you mean {likely[0]}?" if likely else "/help lists the commands"
        raise CommandError(f"Unknown command {name}; {hint} (//… sends a line that begins with a slash)")
    argument = argument.strip()
    if argument and not command.argument:
        raise CommandError(f"{name} takes no argument")
    # Shielded: a cancelled command would leave a half-made proxy or transport behind.
    return await asyncio.shield(asyncio.ensure_future(_run(command, console, name, argument)))


async def _run(command: Command, console: Console, name: str, argument: str) -> str:
    async with console.busy:  # One command at a time, in the order typed.
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
    proxy = await console.open_fault_proxy()
    if not proxy.connections:
        raise CommandError("/drop: there is no connection to reset")
    proxy.reset()
    return "The connection was reset."


async def _ping(console: Console, argument: str) -> str:
    rtt = console.rtt
    if rtt is None:
        return "No round trip was measured yet; the next heartbeat or message of yours measures one."
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
    from chatlab.sim.faults import HighLatency

    proxy = await console.open_fault_proxy()
    proxy.end_faults(HighLatency)
    if not value:
        return "There is no added latency."
    proxy.inject(HighLatency(at=0.0, duration=_until_ended(), latency=value))
    return f"Added latency: {seconds(value)} each way."


def _until_ended() -> float:
    from chatlab.sim.faults.phrases import UNTIL_ENDED

    return UNTIL_ENDED


async def _down(console: Console, argument: str) -> str:
    from chatlab.sim.faults import ServerDown

    proxy = await console.open_fault_proxy()
    proxy.inject(ServerDown(at=0.0, duration=_until_ended()))
    await proxy.settle()
    return "The server is down: its connections are reset, and new ones refused. /up ends this."


async def _up(console: Console, argument: str) -> str:
    proxy = console.proxy
    if proxy is None or not any(injected.ended_at is None for injected in proxy.faults):
        return "There is no fault."
    from chatlab.sim.faults import HalfOpen

    was_silent = any(isinstance(injected.fault, HalfOpen) for injected in proxy.under_way)
    proxy.end_faults()
    if was_silent:
        return "New connections work again. The silent one stays silent until a heartbeat times out."
    return "There is no fault any more."


async def _silent(console: Console, argument: str) -> str:
    from chatlab.sim.faults import HalfOpen

    proxy = await console.open_fault_proxy()
    proxy.inject(HalfOpen(at=0.0, duration=_until_ended()))
    return "The connection is half-open: nothing gets through, and neither side is told. /up ends this."


async def _fault(console: Console, argument: str) -> str:
    from chatlab.sim.faults.phrases import phrase_of, read_faults

    if argument:
        faults = read_faults(argument)
        proxy = await console.open_fault_proxy()
        proxy.play(faults)
        return f"Injected: {'; '.join(phrase_of(fault, at=True) for fault in faults)}. /up ends all faults."
    under_way = [] if console.proxy is None else console.proxy.under_way
    names = "; ".join(phrase_of(injected.fault) for injected in under_way)
    if names:
        return f"Under way: {names}."
    return f"There is no fault; inject one of {', '.join(_fault_kinds())}."


def _fault_kinds() -> Iterable[str]:
    from chatlab.sim.faults.phrases import KINDS

    return KINDS


async def _scenario(console: Console, argument: str) -> str:
    first, _, rest = argument.partition(" ")
    texts = first == "texts"
    file = rest.strip() if texts else argument
    from chatlab.studies.recorded import scenario_of

    made = scenario_of(console.record, texts=texts)
    if not file:
        return made.toml.rstrip()
    from chatlab.fileio import atomic_write

    with atomic_write(file) as part:
        part.write_text(made.python if file.endswith(".py") else made.toml, encoding="utf-8")
    return f"Saved in {visible_line(file)}."


async def _crowd(console: Console, argument: str) -> str:
    from chatlab.experiment.worlds.runner import run
    from chatlab.studies.recorded import scenario_of

    try:
        count = int(argument.replace(",", "") or "1000")
    except ValueError:
        raise CommandError("/crowd: give a number of people, such as /crowd 1000") from None
    scenario = scenario_of(console.record).with_people(count)
    return (await asyncio.to_thread(run, scenario)).answer


async def _transport(console: Console, argument: str) -> str:
    if not argument:
        return f"The transport is {console.kind}, of {', '.join(TITLES)}."
    await console.switch_transport(argument)
    return f"Switched to {argument}."


async def _room(console: Console, argument: str) -> str:
    if argument:
        await console.switch(room=argument)
    return f"The room is {console.target.room}."


async def _name(console: Console, argument: str) -> str:
    if argument:
        await console.switch(name=argument)
    return f"The name is {console.target.name}."


async def _who(console: Console, argument: str) -> str:
    names = console.conversation.present()
    if names is None:
        return "The server hasn't said who is here."
    return f"{len(names)} here: {', '.join(map(short_name, names))}."


async def _server(console: Console, argument: str) -> str:
    if argument:
        await console.switch(url=argument)
    return f"The server is {shown_url(console.target.url)}."


async def _undelivered(console: Console, argument: str) -> str:
    here = console.conversation.place
    rows = []
    for own in console.conversation.undelivered():
        why = f"for {own.place.describe(here)}" if own.place != here else own.reason or "for this place"
        rows.append(f"{cut(visible_line(own.text), EXCERPT)} ({why})")
    return "\n".join(rows) or "No messages are undelivered."


async def _retry(console: Console, argument: str) -> str:
    sent = console.conversation.retry_all()
    elsewhere = len({own.place for own in console.conversation.undelivered()} - {console.conversation.place})
    more = "" if not elsewhere else " Others are for another place: /undelivered lists them."
    count = "Nothing was" if not sent else "1 message is" if sent == 1 else f"{sent} messages are"
    return f"{count} sent again.{more}"


async def _connect(console: Console, argument: str) -> str:
    if console.conversation.last_change.status is ConnectionStatus.CONNECTED:
        return "Already connected."
    console.start()
    return "Connecting."


async def _status(console: Console, argument: str) -> str:
    target = console.target
    return (
        f"{describe(console.status_line())} · {shown_url(target.url)} · room {target.room} · as {target.name}"
    )


async def _quit(console: Console, argument: str) -> str:
    raise EOFError


COMMANDS: dict[str, Command] = {
    "/drop": Command("", "reset the connection now", _drop),
    "/down": Command("", "reset the connection and refuse new ones, like a server that is down", _down),
    "/silent": Command("", "drop everything silently (half-open connection)", _silent),
    "/fault": Command(
        "KIND", "inject a scenario's faults, such as “latency 0.3 for 20; reset at 5”", _fault, _fault_kinds
    ),
    "/up": Command("", "end all faults", _up),
    "/latency": Command("SECONDS", "add latency each way; 0 ends it", _latency),
    "/scenario": Command(
        "[texts] [FILE]", "show or save the conversation as a scenario, without messages' texts", _scenario
    ),
    "/crowd": Command("NUMBER", "simulate that many people with the same settings and faults", _crowd),
    "/ping": Command("", "show the time of the latest round trip", _ping),
    "/transport": Command(
        "NAME", "switch to another transport; no message is lost", _transport, lambda: TITLES
    ),
    "/room": Command("NAME", "switch to another room; unsent messages stay behind", _room),
    "/name": Command("NAME", "switch to another name; unsent messages stay behind", _name),
    "/who": Command("", "list the people in the room", _who),
    "/server": Command("URL", "switch to another server; unsent messages stay behind", _server),
    "/undelivered": Command("", "list messages that stayed behind or failed", _undelivered),
    "/retry": Command("", "send undelivered messages for this place again", _retry),
    "/connect": Command("", "try again after it gave up", _connect),
    "/status": Command("", "show the connection's status", _status),
    "/help": Command("", "list these commands", _help),
    "/quit": Command("", "leave, as Ctrl-D does", _quit),
}
