"""The command `chat`: the console."""

from __future__ import annotations

from typing import Annotated

import typer

from chatlab.cli.options import Headers, TokenFileName, find_own_modules, given_headers
from chatlab.cli_errors import report_errors


def chat(
    url: Annotated[str, typer.Argument(help="http(s)://host:port of a server, or its ws(s):// URL.")],
    room: Annotated[str, typer.Option(help="The room to join.")] = "lobby",
    name: Annotated[str, typer.Option(envvar=["USER", "USERNAME"], help="Your name in the room.")] = "guest",
    transport: Annotated[
        str,
        typer.Option(
            help="websocket, sse, long_polling, short_polling, or fallback, which takes the best that works.",
            show_default="the best that the dialect supports",
        ),
    ] = "",
    dialect: Annotated[
        str,
        typer.Option(
            help="The server's dialect: chatlab, text, nchan, matrix, mqtt, phoenix, socket.io, an installed "
            "one, or module:Class of your own.",
        ),
    ] = "chatlab",
    history: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Number of earlier messages to show first.")
    ] = 50,
    header: Headers = None,
    token_file: TokenFileName = None,
    plain: Annotated[bool, typer.Option("--plain", help="Read and print plain lines, as in a pipe.")] = False,
) -> None:
    """Chat in the terminal. In a pipe, send every line of the input."""
    import asyncio
    import os
    import sys

    from chatlab.terminal.targets import Target, best_kind

    terminal = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    if plain or not terminal:
        from chatlab.terminal.plain import run_plain as run
    else:
        from chatlab.terminal.screen import run_screen as run
    with report_errors("chat"):
        find_own_modules(dialect)
        headers = given_headers("chat", header, token_file)
        target = Target(url=url, room=room, name=name, dialect=dialect, history=history, headers=headers)
        code = asyncio.run(run(target, transport or best_kind(dialect)))
    raise typer.Exit(code)
