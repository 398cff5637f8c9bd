"""Fixtures of the server's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chatlab.live.server.embedded_server import EmbeddedServer


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    """Yield a server with the default settings."""
    async with EmbeddedServer() as server:
        yield server
