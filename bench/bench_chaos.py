"""The duration of two conversations while network and server fail, over the duration without faults."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.live.chaos import CALM, TROUBLES, Table, exchange, markdown, scene
from tests.live.watch import ALL

MESSAGES = 1000
RATE = 250.0


def main() -> str:
    """Run every transport with every fault, and return the page."""
    table = asyncio.run(_everything())
    lost = sum(len(culprits) for outcome in table.values() for culprits in outcome.faults.values())
    return (
        "# The cost of faults\n\n"
        f"Two people send {MESSAGES:,} messages each at {RATE:g} a second, through a proxy, to a server in a "
        "process of its own.\nIn bold: the seconds until all messages are acknowledged and read, without "
        f"those of the outage, over the seconds without faults.\n\n{markdown(table)}\n\n"
        f"Messages lost, doubled or out of order: **{lost}**.\n\n{_what_they_do()}\n"
    )


def _what_they_do() -> str:
    return "\n".join(f"- {name.capitalize()}: {_first_line(trouble)}" for name, trouble in TROUBLES.items())


def _first_line(what: object) -> str:
    return " ".join((what.__doc__ or "").split())


async def _everything() -> Table:
    table: Table = {}
    for kind in ALL:
        for trouble in (CALM, *TROUBLES):
            with TemporaryDirectory() as folder:
                async with scene(Path(folder) / "chat.db") as stage:
                    table[kind, trouble] = await exchange(stage, kind, trouble, messages=MESSAGES, rate=RATE)
    return table
