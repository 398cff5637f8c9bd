from collections.abc import Iterator
from pathlib import Path

import pytest

from chatlab.live.server.embedded_server import EmbeddedServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """Yield a server on the background thread, whose history survives a restart."""
    server = EmbeddedServer(db=tmp_path / "chat.db")
    server.start_in_background()
    yield server
    if server.running:
        server.stop_in_background()
