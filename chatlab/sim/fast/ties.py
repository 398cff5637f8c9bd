"""Clients whose SYNs may arrive at the same instant, so that their order in the accept queue matters.

A client with short cuts schedules its next SYN at another time than a driver does. So those that arrive at
the same instant may enter the queue in another order. That hardly changes a figure of all people, but those
of groups.
"""

from __future__ import annotations

from chatlab.settings import AnyConfig, FallbackConfig, ReconnectConfig
from chatlab.sim.as_written.settings import AsWritten
from chatlab.sim.latency import NetworkConfig, is_constant

CAPPED = "seed", "capped-10%", "decorrelated"
"""Formulas that cap a delay with its jitter, so that delays at the cap are equal."""


def may_tie(
    config: AnyConfig | AsWritten, network: NetworkConfig, *, together: bool, later: bool = False
) -> bool:
    """Return whether SYNs of these clients may arrive at the same instant.

    `together`: they all arrive at once. `later`: they may also be lost at once after several failures.
    """
    if not is_constant(network):
        return False
    if together or isinstance(config, AsWritten):
        return True
    transports = config.transports if isinstance(config, FallbackConfig) else (config,)
    return any(not _is_spread(transport.reconnect, later=later) for transport in transports)


def _is_spread(reconnect: ReconnectConfig, *, later: bool) -> bool:
    """Return whether the first delay is random; then no later retries come at the same instant.

    `later`: whether all delays are.
    """
    if reconnect.schedule:
        ranges = reconnect.schedule if later else reconnect.schedule[:1]
        return all(low < min(high, reconnect.max_delay) for low, high in ranges)
    capped = reconnect.jitter in CAPPED and (later or reconnect.base_delay >= reconnect.max_delay)
    return reconnect.jitter != "none" and min(reconnect.base_delay, reconnect.max_delay) > 0 and not capped
