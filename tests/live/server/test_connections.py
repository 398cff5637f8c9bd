"""All open connections of a server."""

from __future__ import annotations

from typing import Any

from chatlab.live.server.connections import Connections, Limits


async def test_connections_keep_the_order_in_which_they_came() -> None:
    """Connections end in insertion order; a set's order would differ in each run."""
    connections: Any = Connections(Limits(max_connections=98)).connections
    came = [object() for _ in range(100)]
    for connection in came:
        connections.add(connection)
    connections.add(came[3])
    connections.discard(came[50])
    connections.discard(came[50])
    connections.remove(came[60])
    assert list(connections) == [*came[:50], *came[51:60], *came[61:]]
    assert len(connections) == 98
    assert came[3] in connections
    assert came[50] not in connections
