"""Each transport through nginx in common configurations: messages both ways, or the reason why it can't
work."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import trustme

from chatlab import ConnectError
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import DeliveryState
from chatlab.settings import HeartbeatConfig
from tests.interop.nginx import Nginx, deployed
from tests.live.watch import ALL, PERSISTENT, Watch, talking, until

pytestmark = [pytest.mark.requires("nginx"), pytest.mark.xdist_group("nginx")]

UPGRADE = """
    proxy_http_version 1.1; proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
"""
BUFFERED = "proxy_ignore_headers X-Accel-Buffering;"
GZIP = "gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;"
DROPS = "drops the Upgrade header"
SILENT = "always ends after 5 s: a proxy may close idle connections"

CASES: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "default": ("", {"websocket": DROPS}, {}),
    "with Upgrade": (UPGRADE, {}, {}),
    "buffering, HTTP/1.0": (BUFFERED, {"websocket": DROPS, "sse": "a proxy buffers the stream"}, {}),
    "buffering, HTTP/1.1": (BUFFERED + UPGRADE, {}, {}),
    "gzip": (GZIP + UPGRADE, {}, {}),
    "time-out of 5 s": (
        UPGRADE + "proxy_read_timeout 5s;",
        {},
        {"websocket": f"{SILENT}; set heartbeat.interval below 5 s", "sse": SILENT,
         "long_polling": "always ends after 5 s: a proxy may time out first; set hold below 5 s"},
    ),
    "TLS": ("", {}, {}),
}  # fmt: skip
"""For each case a location's lines, the reasons shown for transports that fail, and the warnings for
transports that work badly."""


def told(watch: Watch, sentence: str) -> bool:
    return any(sentence in change.reason for change in watch.changes)


async def talk(kind: str, nginx: str, server: str, ca_file: str, refused: str, warned: str) -> None:
    """Talk through nginx to a client that is connected to the server directly."""
    with (
        talking(
            kind, nginx, room=kind, reconnect=PERSISTENT, heartbeat=HeartbeatConfig(), connect_timeout=2.0,
            ca_file=ca_file or None,
        ) as (ada, watch),
        talking("websocket", server, "bob", room=kind) as (bob, other),
    ):  # fmt: skip
        await bob.connect()
        if refused:
            connecting = asyncio.ensure_future(ada.connect())
            await until(lambda: told(watch, refused))
            await ada.disconnect()
            with pytest.raises((ConnectError, asyncio.CancelledError)):
                await connecting
            return
        await ada.connect()
        for texts in (["hello", "hi"], ["hello", "hi", "later", "too"]):
            await ada.send(texts[-2])
            await until(lambda texts=texts: other.texts == texts[:-1])  # type: ignore[misc]
            await bob.send(texts[-1])
            await until(lambda texts=texts: watch.texts == other.texts == texts)  # type: ignore[misc]
            if warned:
                await until(lambda: told(watch, warned), patience=60.0)
        assert [state for _, state in watch.states].count(DeliveryState.ACKED) == 2
        await ada.disconnect()


@pytest.mark.parametrize(
    "case", [name if name == "TLS" else pytest.param(name, marks=pytest.mark.proof) for name in CASES]
)
async def test_each_transport_through_nginx_works_or_says_why_not(case: str, tmp_path: Path) -> None:
    lines, refusals, warnings = CASES[case]
    async with EmbeddedServer(allowed_hosts=["chat.example"], trusted_proxies=["127.0.0.1"]) as server:
        ca_file, chain = "", b""
        http = f"server {{ listen 127.0.0.1:PORT; location / {{ proxy_pass {server.url}; {lines} }} }}"
        if case == "TLS":
            authority = trustme.CA()
            ca_file = str(tmp_path / "ca.pem")
            authority.cert_pem.write_to_path(ca_file)
            chain = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes()
            http = deployed(server.url)
        with Nginx(http, chain=chain) as nginx:
            await asyncio.gather(
                *(
                    talk(kind, nginx.url, server.url, ca_file, refusals.get(kind, ""), warnings.get(kind, ""))
                    for kind in ALL
                )
            )
