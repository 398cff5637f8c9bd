"""The command line. What a command needs is imported inside it, so that `chatlab --help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from chatlab.live.server import EmbeddedServer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def chatlab() -> None:
    """A chat console and chat-network simulator."""


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on; others than loopback let strangers in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8000,
    db: Annotated[
        Path | None, typer.Option(help="A file to keep the history in; without, it ends with the server.")
    ] = None,
) -> None:
    """Serve chat rooms until interrupted."""
    import asyncio

    from chatlab.live.server import serve
    from chatlab.live.store import StoreError

    def announce(server: EmbeddedServer) -> None:
        typer.echo(f"chatlab is serving {server.url} (WebSocket: {server.ws_url})")

    try:
        asyncio.run(serve(host, port, db, announce))
    except (OSError, StoreError) as error:
        typer.echo(f"chatlab serve: {getattr(error, 'strerror', None) or error}", err=True)
        raise typer.Exit(1) from None
