"""The server of a program's main thread, which serves until a signal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chatlab.errors import SettingsError
from chatlab.live.server.access import OPTIONS
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.live.signals import on_signals

A_DAY = 86_400
"""Seconds of the longest drain of `serve`."""


class CommandServer(EmbeddedServer):
    """The server of `chatlab serve`; its refusals quote the command's options."""

    _spelling = OPTIONS


async def serve(
    server: EmbeddedServer, on_listening: Callable[[EmbeddedServer], object], drain: float = 0.0
) -> None:
    """Serve until SIGINT or SIGTERM; SIGTERM drains for `drain` seconds, which a second signal ends. For a
    program's main thread.

    Errors: as `EmbeddedServer`; `SettingsError` for a drain of more than a day.
    """
    if not 0 <= drain <= A_DAY:
        raise SettingsError(f"drain: give seconds from 0 to {A_DAY:,}, got {drain:g}")
    asked, hurried = asyncio.Event(), asyncio.Event()

    def terminate() -> None:
        if asked.is_set():
            hurried.set()
        asked.set()

    def interrupt() -> None:
        hurried.set()
        asked.set()

    async with server:
        with on_signals(terminate, "SIGTERM"), on_signals(interrupt, "SIGINT"):
            on_listening(server)
            await asked.wait()
            if drain and not hurried.is_set():
                draining = asyncio.ensure_future(server.stop(drain=drain))
                hurrying = asyncio.ensure_future(hurried.wait())
                await asyncio.wait((draining, hurrying), return_when=asyncio.FIRST_COMPLETED)
                hurrying.cancel()
                await server.stop()
                await draining
