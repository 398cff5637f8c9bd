"""A watching person's actions, as changes of a scenario from the time `at` on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from chatlab.experiment.scenario import Scenario
from chatlab.sim.faults import AnyFault, Fault
from chatlab.sim.people import ScriptEntry


def with_text(scenario: Scenario, at: float, person: str, text: str) -> Scenario:
    """Return the scenario with a message of `person`.

    Errors: `SettingsError` for a text that it can't have.
    """
    entry = ScriptEntry(at=at, person=person, text=text)
    return scenario.replace(people=scenario.people.replace(script=(*scenario.people.script, entry)))


def with_faults(scenario: Scenario, at: float, faults: Sequence[Fault]) -> Scenario:
    """Return the scenario with faults, whose times are in seconds after `at`."""
    later = tuple(cast(AnyFault, fault.replace(at=round(at + fault.at, 3))) for fault in faults)
    return scenario.replace(faults=(*scenario.faults, *later))


def without_faults(scenario: Scenario, at: float) -> Scenario:
    """Return the scenario with all faults ended, and without those to come."""
    faults = []
    for fault in scenario.faults:
        if fault.at < at < fault.ends_at(1) and "duration" in fault.__struct_fields__:
            fault = fault.replace(duration=at - fault.at)
        if fault.at < at:
            faults.append(fault)
    return scenario.replace(faults=tuple(faults))
