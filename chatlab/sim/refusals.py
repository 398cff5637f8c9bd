"""The refusals of requests that the simulated server doesn't serve: by its node, a proxy, or a fault."""

from __future__ import annotations

from math import ceil
from typing import TypeAlias

from chatlab.dialects.serving import RESTARTING, RETRY_AFTER, TOO_MANY
from chatlab.sim.blocking import BLOCKED_REASON, BLOCKED_STATUS, BlockableTransport
from chatlab.sim.connection import Connection
from chatlab.sim.stopping import node_of

Refusal: TypeAlias = tuple[int, str, float | None]
"""A status, a reason, and the seconds of `Retry-After`."""
FULL: Refusal = 503, TOO_MANY, RETRY_AFTER
FORBIDDEN: Refusal = BLOCKED_STATUS, BLOCKED_REASON, None
LEAVING: Refusal = 503, RESTARTING, RETRY_AFTER


def refusal_by_node(connection: Connection, *, lasts: bool) -> Refusal | None:
    """Return the refusal of a request on this connection, which would last or not; None: there is none.

    A node that drains begins nothing that lasts.
    """
    node = node_of(connection)
    if node.turns_away(connection):
        return FULL
    return LEAVING if lasts and node.draining else None


def is_forbidden(connection: Connection, transport: BlockableTransport | None) -> bool:
    """Return whether a proxy answers a request of this transport with 403."""
    blocked = connection.path.impairment.blocked
    return bool(blocked) and transport is not None and blocked.get(transport) == "403"


def refusal_by_fault(connection: Connection) -> Refusal | None:
    """Return the refusal by which the path's impairment answers each request; None: there is none."""
    if connection.path.impairment.error is None:
        return None
    status, retry_after = connection.path.impairment.error
    return status, "a fault of the scenario", None if retry_after is None else ceil(retry_after)
