"""A CA file is a setting of every transport, and a TLS error names the trusted CAs."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from chatlab.errors import ConnectError
from chatlab.live.client.kinds import KINDS, make_config, make_transport
from chatlab.live.client.tls import with_authorities
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.settings import ReconnectConfig
from chatlab.transports.machine import Failure
from tests.live.proxy_server import Reader, Writer, splice

ONCE = ReconnectConfig(max_attempts=0)


@asynccontextmanager
async def tls_server(authority: trustme.CA) -> AsyncIterator[str]:
    """Run a chat server behind TLS; yield its address."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with EmbeddedServer() as server:

        async def front(reader: Reader, writer: Writer) -> None:
            await splice(reader, writer, server.port)
            writer.transport.abort()

        listener = await asyncio.start_server(front, "127.0.0.1", 0, ssl=tls)
        try:
            yield f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        finally:
            listener.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_A23_the_ca_file_is_a_setting(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    authority, other = trustme.CA(), trustme.CA()
    good, wrong = str(tmp_path / "good.pem"), str(tmp_path / "wrong.pem")
    authority.cert_pem.write_to_path(good)
    other.cert_pem.write_to_path(wrong)
    async with tls_server(authority) as url:
        config = make_config(kind, url, ca_file=good, reconnect=ONCE)
        async with make_transport(config, loop="current") as chat:
            assert (await (await chat.send("by TLS")).settled()).value == "acked"
        chat = make_transport(make_config(kind, url, ca_file=wrong, reconnect=ONCE), loop="current")
        with pytest.raises(ConnectError, match=r"^tls: .*certificate.*authorities: .*wrong\.pem\)$"):
            await chat.connect()
        await chat.disconnect()
        chat = make_transport(make_config(kind, url, reconnect=ONCE), loop="current")
        with pytest.raises(ConnectError, match=r"^tls: .*the system's; set others with .*SSL_CERT_FILE\)$"):
            await chat.connect()
        await chat.disconnect()


@pytest.mark.parametrize("kind", KINDS)
async def test_A23_a_ca_file_without_certificates_is_named(kind: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate", encoding="utf-8")
    for path, words in (empty, "holds no certificates"), (tmp_path / "none.pem", "can't be read"):
        config = make_config(kind, "https://127.0.0.1:9", ca_file=str(path), reconnect=ONCE)
        chat = make_transport(config, loop="current")
        with pytest.raises(ConnectError, match=f"^tls: the CA file .*{path.name} {words}"):
            await chat.connect()
        await chat.disconnect()


def test_only_failures_of_certificates_name_the_authorities(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    untrusted = Failure("tls", reason="self-signed certificate")
    for failure in Failure("tls", reason="the server doesn't speak TLS"), Failure("refused"):
        assert with_authorities(failure, "x.pem") is failure
    given = tmp_path / "y.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(given))
    assert with_authorities(untrusted, None).reason.endswith(f"since {given} is not a file)")
    given.touch()
    assert with_authorities(untrusted, "x.pem").reason.endswith("(trusted authorities: x.pem)")
    assert with_authorities(untrusted, None).reason.endswith(
        "y.pem; set others with ca_file or SSL_CERT_FILE)"
    )
