"""A drain and the death of a node in the model and on the wire, where the embedded server itself drains."""

from __future__ import annotations

import pytest

from chatlab.settings import ReconnectConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import AnyFault, ConnectionReset, NodeDown, RollingRestart, ServerDown, ServerRestart
from chatlab.sim.latency import LogNormal, NetworkConfig
from chatlab.sim.people import PeopleConfig
from tests.experiment.worlds.test_server_in_worlds import (
    EACH_TRANSPORT,
    TRANSPORTS,
    assert_agree,
    played,
    says,
)

pytestmark = pytest.mark.slow

CALM = says((2.0, "before"), (4.2, "in the drain"), (10.0, "after"))
RESTARTS: dict[str, tuple[AnyFault, ...]] = {
    "a drain": (RollingRestart(at=3.1, drain=3.0, down=1.3),),
    "at once": (RollingRestart(at=3.1, drain=0.0, down=1.3),),
    "from the beginning": (RollingRestart(at=0.0, drain=1.7, down=1.3),),
    "beyond the end": (RollingRestart(at=3.1, drain=30.0),),
    "a node dies": (NodeDown(at=3.1, duration=2.3),),
    "it dies while it drains": (
        RollingRestart(at=3.1, drain=3.0, down=1.0),
        ServerDown(at=4.3, duration=1.1),
    ),
    "it dies until after the drain": (
        RollingRestart(at=3.1, drain=3.0, down=1.0),
        NodeDown(at=4.3, duration=4.1),
    ),
    "it restarts while it drains": (
        RollingRestart(at=3.1, drain=3.0, down=1.0),
        ServerRestart(at=4.3, duration=1.1),
    ),
    "it drains while it is down": (
        ServerDown(at=3.1, duration=2.1),
        RollingRestart(at=4.3, drain=2.0, down=1.0),
    ),
    "two drains": (
        RollingRestart(at=3.1, drain=4.0, down=1.0),
        RollingRestart(at=4.3, drain=1.0, down=0.7),
    ),
    "a reset in the drain": (RollingRestart(at=3.1, drain=3.0, down=1.3), ConnectionReset(at=3.9)),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("faults", RESTARTS.values(), ids=list(RESTARTS))
@EACH_TRANSPORT
def test_a_drain_is_the_same_in_both_worlds(transport: str, faults: tuple[AnyFault, ...]) -> None:
    assert_agree(played(transport, *faults, people=CALM, duration=14.0))


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    "server",
    [
        ServerConfig(accept_rate=1.3, backlog=2, overflow="refuse"),
        ServerConfig(accept_rate=1.3, backlog=2),
        ServerConfig(service_time=0.21),
        ServerConfig(presence=True),
        ServerConfig(keep_history=False),
        ServerConfig(max_connections=2),
    ],
)
@EACH_TRANSPORT
def test_a_drain_meets_people_who_are_just_arriving(transport: str, server: ServerConfig) -> None:
    """The drain begins while connections are being opened, accepted and served."""
    people = PeopleConfig(count=6, arrive_over=3.0, send_rate=0.3)
    network = NetworkConfig(latency=LogNormal(median=0.2, p99=0.9))
    drain = RollingRestart(at=1.7, drain=3.0, down=1.3)
    assert_agree(played(transport, drain, people=people, network=network, server=server, duration=14.0))


@EACH_TRANSPORT
def test_clients_that_come_back_at_once_are_refused_while_the_node_drains(transport: str) -> None:
    eager = ReconnectConfig(jitter="none", base_delay=0.13, max_delay=0.13, max_attempts=None)
    kind = TRANSPORTS[transport].replace(reconnect=eager)
    assert_agree(played(kind, RollingRestart(at=3.1, drain=2.0, down=0.7), people=CALM, duration=12.0))
