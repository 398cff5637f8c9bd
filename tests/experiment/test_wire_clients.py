"""Scenarios in which the client's side or the network of model and wire once differed, and their neighbours."""

from __future__ import annotations

from typing import Any

import pytest

from chatlab.experiment.scenario import Scenario
from chatlab.experiment.transports import AnyTransport, FallbackSettings
from chatlab.settings import OutboxConfig
from chatlab.sim.as_written.settings import AsWritten
from chatlab.sim.faults import AnyFault, ConnectionReset, SlowServer
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from tests.experiment.test_wire import TRANSPORTS, assert_same, both


def with_settings(transport: AnyTransport, **settings: Any) -> AnyTransport:
    """Return a transport with these settings, or a fallback whose transports all have them."""
    assert not isinstance(transport, AsWritten)
    if isinstance(transport, FallbackSettings):
        return transport.replace(transports=tuple(one.replace(**settings) for one in transport.transports))
    return transport.replace(**settings)


def says(*times: float) -> tuple[ScriptEntry, ...]:
    """Return what Ada says at these times."""
    return tuple(ScriptEntry(at=at, person="ada", text="hello") for at in times)


@pytest.mark.parametrize("fault", [SlowServer(at=3.5, duration=4.0), ConnectionReset(at=4.1003)])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_message_whose_time_was_over_while_it_was_under_way_expires_at_once(
    transport: str, fault: AnyFault
) -> None:
    settings = {"outbox": OutboxConfig(max_age=0.02)}
    if transport not in ("websocket", "fallback"):
        settings["request_timeout"] = 0.7
    assert_same(
        *both(
            Scenario(
                duration=8.0,
                people=PeopleConfig(script=says(1.3107, 4.0503)),
                transport=with_settings(TRANSPORTS[transport], **settings),
                network=NetworkConfig(latency=0.15),
                faults=(fault,),
            )
        )
    )
