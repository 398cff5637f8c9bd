"""The command `probe`: what answers at an address."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatlab.cli.options import Headers, TokenFileName, find_own_modules, given_headers
from chatlab.cli_errors import report_errors


def probe(
    url: Annotated[str, typer.Argument(help="The server: http(s)://host:port, or its ws(s):// URL.")],
    dialect: Annotated[
        str | None,
        typer.Option(
            help="Connect by this dialect, a name or module:Class, instead of trying the known ones."
        ),
    ] = None,
    header: Headers = None,
    token_file: TokenFileName = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificates (PEM) to trust instead of the system's."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=60.0, help="Seconds for which a request waits for its answer.")
    ] = 5.0,
) -> None:
    """Say which transports and dialects answer at an address, what a proxy does to them, and which settings
    to use.

    It makes at most ten requests, sends no message, and no credentials but those that you give. Exit code 1:
    no dialect answers.
    """
    import asyncio

    from chatlab.live.client.probe import probe as ask
    from chatlab.terminal.targets import check_scheme

    with report_errors("probe"):
        check_scheme(url)
        find_own_modules(dialect)
        headers = given_headers("probe", header, token_file)
        result = asyncio.run(
            ask(
                url,
                headers=headers,
                ca_file=str(ca_file) if ca_file else None,
                timeout=timeout,
                dialect=dialect,
            )
        )
    typer.echo(str(result))
    raise typer.Exit(0 if result.dialect else 1)
