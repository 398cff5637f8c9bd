"""The command `serve`: the embedded server in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatlab.cli_errors import report_errors, writable_path

if TYPE_CHECKING:
    from chatlab.live.server.embedded_server import EmbeddedServer


def _history(db: str | None) -> str | None:
    """Check that the history's file can be written; a typer callback."""
    if db is not None and not db.startswith(("postgresql://", "postgres://")):
        writable_path(Path(db))
    return db


def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on; all but loopback are open to the network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any free one.")] = 8000,
    db: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            callback=_history,
            help="A file for the history, which is otherwise lost when the server ends, or the URL of a "
            "PostgreSQL database.",
        ),
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="This node's name; several nodes, each with its own, share the history of --db.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A host name that clients use for the server; repeatable."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="An origin whose pages may connect, such as https://chat.example; repeatable.",
        ),
    ] = None,
    trust_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="A proxy or network whose X-Forwarded-For, -Proto and -Host are trusted; repeatable.",
        ),
    ] = None,
    drain: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="On SIGTERM, close the connections evenly over this time; a second signal ends at once.",
        ),
    ] = 0.0,
) -> None:
    """Serve chat rooms until interrupted."""
    import asyncio
    from socket import gaierror

    from chatlab.live.server.serve_command import CommandServer, serve
    from chatlab.live.server.store import StoreError

    def announce(server: EmbeddedServer) -> None:
        typer.echo(f"chatlab is serving {server.url} (WebSocket: {server.ws_url})")

    with report_errors("serve"):
        try:
            server = CommandServer(
                db,
                host,
                port,
                node=node,
                allowed_hosts=allow_host or (),
                allowed_origins=allow_origin or (),
                trusted_proxies=trust_proxy or (),
            )
            asyncio.run(serve(server, announce, drain))
        except StoreError as error:
            raise OSError(str(error)) from None
        except gaierror as error:
            raise OSError(f"host {host}: {error.strerror}; give an address of this machine") from None
