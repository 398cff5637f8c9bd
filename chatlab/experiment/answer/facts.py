"""The parts of a run from which an answer is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from chatlab.experiment.percentiles import Value
from chatlab.experiment.scenario import Scenario
from chatlab.messages import ConnectionStatus, StatusChange
from chatlab.settings import ReconnectConfig
from chatlab.sim.transport_settings import AnyTransport, TransportSettings
from chatlab.trace import Step
from chatlab.transports.machine import Notify


class Facts(NamedTuple):
    """The parts of a run from which an answer is made."""

    scenario: Scenario
    metrics: Mapping[str, Value]
    series: Mapping[str, Sequence[int]]
    steps: Sequence[Step]

    def count(self, name: str) -> int:
        """Return a metric that counts; 0 if the run doesn't have it."""
        return int(self.metrics.get(name) or 0)

    @property
    def people(self) -> int:
        """Number of people."""
        return self.scenario.people.count

    @property
    def arriving(self) -> int:
        """Number of people who aren't connected when the run begins."""
        return 0 if self.scenario.people.start == "connected" else self.people

    @property
    def connected(self) -> int:
        """Number of people who are connected at the end."""
        return (self.series.get("connected") or [0])[-1]


def last_changes(facts: Facts) -> list[StatusChange]:
    """Return the last change of each recorded person's status, or the failure before the current attempt."""
    last: dict[str, StatusChange] = {}
    for step in facts.steps:
        for effect in step.effects:
            if isinstance(effect, Notify) and effect.change.reason != "trying again":
                last[step.person] = effect.change
    return list(last.values())


def losses(facts: Facts) -> list[Step]:
    """Return the steps in which recorded people lost a connection."""
    connected = set[str]()
    found = []
    for step in facts.steps:
        for effect in step.effects:
            if isinstance(effect, Notify):
                if effect.change.status is ConnectionStatus.CONNECTED:
                    connected.add(step.person)
                elif step.person in connected:
                    connected.remove(step.person)
                    if effect.change.status is not ConnectionStatus.DISCONNECTED:
                        found.append(step)
    return found


def transport_of(scenario: Scenario) -> AnyTransport | None:
    """Return the transport that all people have; None if groups of them have others."""
    return None if scenario.people.groups else scenario.transport


def reconnect_of(scenario: Scenario) -> ReconnectConfig | None:
    """Return the reconnection of all people; None if groups or inner transports have others."""
    transport = transport_of(scenario)
    return transport.reconnect if isinstance(transport, TransportSettings) else None
