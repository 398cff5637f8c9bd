"""Clients whose SYNs may arrive at the same instant, so that their order in the accept queue matters.

A client with short cuts schedules its next SYN at another time than a driver does. So those that arrive at
the same instant may enter the queue in another order. That hardly changes a figure of all people, but those
of groups.
"""

from __future__ import annotations

from chatlab.settings import AnyConfig, FallbackConfig, ReconnectConfig
from chatlab.sim.as_written.settings import AsWritten
from chatlab.sim.latency import NetworkConfig, is_constant


def may_tie(config: AnyConfig | AsWritten, network: NetworkConfig, *, together: bool) -> bool:
    """Return whether SYNs of these clients may arrive at the same instant; `together`: they all arrive at
    once."""
    if not is_constant(network):
        return False
    if together or isinstance(config, AsWritten):
        return True
    transports = config.transports if isinstance(config, FallbackConfig) else (config,)
    return any(not _is_spread(transport.reconnect) for transport in transports)


def _is_spread(reconnect: ReconnectConfig) -> bool:
    """Return whether the first delay is random; then no later retries come at the same instant."""
    if reconnect.schedule:
        low, high = reconnect.schedule[0]
        return low < min(high, reconnect.max_delay)
    capped = reconnect.jitter == "seed" and reconnect.base_delay >= reconnect.max_delay
    return reconnect.jitter != "none" and min(reconnect.base_delay, reconnect.max_delay) > 0 and not capped
