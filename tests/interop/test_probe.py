"""A probe through nginx, in front of the embedded server and of channels of nchan."""

from __future__ import annotations

import asyncio

import pytest

from chatlab import probe
from chatlab.live.server.embedded_server import EmbeddedServer
from tests.interop.nginx import Nginx
from tests.interop.test_proxies import BUFFERED, UPGRADE
from tests.processes import free_port

pytestmark = [pytest.mark.requires("nginx"), pytest.mark.xdist_group("nginx")]

CASES = {
    "default": ("", {"websocket": "drops the Upgrade header"}, " --transport sse"),
    "with Upgrade": (UPGRADE, {}, ""),
    "buffering": (BUFFERED, {"websocket": "drops the Upgrade header", "sse": "a proxy buffers the stream"},
                  " --transport long_polling"),
}  # fmt: skip
"""For each case a location's lines, why transports fail, and the end of the advice."""


@pytest.mark.parametrize(
    "case", [name if name == "buffering" else pytest.param(name, marks=pytest.mark.proof) for name in CASES]
)
async def test_it_says_what_nginx_does_to_each_transport(case: str) -> None:
    lines, refused, advice = CASES[case]
    async with EmbeddedServer(trusted_proxies=["127.0.0.1"]) as server:
        http = f"server {{ listen 127.0.0.1:PORT; location / {{ proxy_pass {server.url}; {lines} }} }}"
        with Nginx(http) as nginx:
            result = await probe(nginx.url)
            url = nginx.url
    assert {row.transport: row.works for row in result.findings} == {
        name: name not in refused for name in ("websocket", "sse", "long_polling", "short_polling")
    }
    for row in result.findings:
        assert refused.get(row.transport, "") in row.note
    assert result.advice == f"It speaks chatlab. Use: chatlab chat {url}{advice}"
    assert any(note.startswith("Answers come from nginx") for note in result.notes)


@pytest.mark.proof
async def test_nginx_without_a_server_behind_it_and_with_channels() -> None:
    nowhere = f"location / {{ proxy_pass http://127.0.0.1:{free_port()}; }}"
    with Nginx(f"server {{ listen 127.0.0.1:PORT; {nowhere} }}") as bare, Nginx() as nchan:
        result, channels = await asyncio.gather(probe(bare.url), probe(nchan.url))
    assert result.dialect == ""
    assert "A proxy answers, but can't reach the server behind it." in result.notes
    assert channels.dialect == "nchan"
