"""Memory growth during long conversations, measured as the process's resident set."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from chatlab.messages import ChatEvent
from tests.live.watch import transport_of, until

STATM = Path("/proc/self/statm")
COUNT = int(os.environ.get("CHATLAB_MESSAGES", "5000"))
"""Messages of a run; the figure in docs/design.md is of 200,000."""
SIZE = 60 << 10
"""Bytes of each message."""
WARM = 20
"""Messages after which memory is first measured."""
GAP = 500
"""Messages between two measurements."""
MAX_GROWTH = 12 << 20
"""Bytes of growth that are allowed: fewer than an unread inbox would keep."""

pytestmark = [
    pytest.mark.proof,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not STATM.exists(), reason=f"reads {STATM}"),
]


def resident() -> int:
    gc.collect()
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def flood(connection: ServerConnection) -> None:
    text = "x" * SIZE
    with suppress(ConnectionClosed):
        for number in range(COUNT):
            await connection.send(f'{{"type":"message","id":"e-{number}","sender":"bob","text":"{text}"}}')
        await connection.wait_closed()


@pytest.mark.parametrize("style", ["plain", "async"])
@pytest.mark.parametrize("loop", ["own", "current"])
async def test_A99_handlers_alone_leave_memory_flat(
    style: str, loop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = most = 0

    def plain(event: ChatEvent) -> None:
        nonlocal seen, most
        if event.message is not None:
            assert len(event.message.text) == SIZE
            seen += 1
            if seen % GAP == 0:
                most = max(most, resident())

    async def later(event: ChatEvent) -> None:
        await asyncio.sleep(0)
        plain(event)

    handler: Callable[[ChatEvent], Any] = plain if style == "plain" else later
    async with serve(flood, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        port = server.sockets[0].getsockname()[1]
        chat = transport_of("websocket", f"ws://127.0.0.1:{port}/ws", loop=loop)
        chat.on_message(handler)
        await chat.connect()
        await until(lambda: seen >= WARM, patience=600)
        before = resident()
        await until(lambda: seen >= COUNT, patience=1500)
        await chat.disconnect()
    grown = max(most, resident()) - before
    with capsys.disabled():
        print(  # noqa: T201  # its figure
            f"\n{style} handler, loop {loop}: {COUNT:,} messages of {SIZE >> 10} KiB; "
            f"memory grew by {grown / 2**20:.1f} MiB behind the first {WARM:,}"
        )
    assert grown < MAX_GROWTH
