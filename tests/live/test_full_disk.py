"""The effect of a full disk on senders: all transports against the embedded server."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatlab.dialects import serving
from chatlab.live.client.kinds import KINDS
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.live.server.store import Store
from chatlab.messages import ConnectionStatus, DeliveryState
from tests.live.watch import PERSISTENT, talking, until


@pytest.mark.parametrize("kind", ["websocket", "sse"])
async def test_a_message_waits_until_the_history_can_be_written_again(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "RETRY_AFTER", 0)
    async with EmbeddedServer(tmp_path / "chat.db") as server:
        assert server._runtime
        assert isinstance(server._runtime.store, Store)
        store = server._runtime.store
        run = store._connection.execute
        url = KINDS[kind].address(server.url)
        with (
            talking(kind, url, reconnect=PERSISTENT) as (ada, _),
            talking(kind, url, "bob") as (bob, at_bob),
        ):
            async with ada, bob:
                run("CREATE TRIGGER full BEFORE INSERT ON messages BEGIN SELECT RAISE(FAIL, 'full'); END")
                receipts = [await ada.send(f"m{number}") for number in range(3)]
                await until(lambda: store._refused)
                assert {receipt.state for receipt in receipts} <= {DeliveryState.QUEUED, DeliveryState.SENT}
                run("DROP TRIGGER full")
                for receipt in receipts:
                    assert await receipt.settled() is DeliveryState.ACKED
                await until(lambda: at_bob.texts == ["m0", "m1", "m2"])
        assert at_bob.statuses.count(ConnectionStatus.CONNECTED) == 1, "he never lost his connection"
