"""A live run as a scenario, for one person or for a crowd with the same settings and faults."""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import ceil, inf
from typing import NamedTuple

from chatlab.errors import SettingsError
from chatlab.experiment.as_python import as_python
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.spans import FaultSpan
from chatlab.settings import FallbackConfig
from chatlab.sim.faults import Fault
from chatlab.sim.people import PeopleConfig
from chatlab.studies.live_record import LONGEST_TEXT, MOST_ACTIONS, LiveRecord
from chatlab.studies.prediction import scenario_for

DIGITS = 3
"""Decimals of the times in a recorded scenario: milliseconds."""
RECOVERY = 60.0
"""Seconds that a crowd has after the last fault to come back."""
FOREIGN = "The server isn't in this process: the model takes it for one of chatlab's, with its defaults."


class RecordedScenario(NamedTuple):
    """A `scenario` made of a live run, and sentences about what it leaves out. As a text it is TOML."""

    scenario: Scenario
    notes: tuple[str, ...] = ()

    @property
    def toml(self) -> str:
        """The scenario as TOML, with the notes as comments."""
        return f"{self._comment()}{self.scenario.to_toml()}"

    @property
    def python(self) -> str:
        """The scenario as Python, with the notes as comments."""
        return f"{self._comment()}{as_python(self.scenario)}"

    def with_people(self, count: int) -> Scenario:
        """Return a scenario of `count` people with the same transport, network, server and faults.

        All are connected when it starts, and nobody writes. It ends a minute after the last fault at the
        earliest, so that they can come back.

        Errors: `SettingsError` for a number of people that doesn't fit.
        """
        faults = self.scenario.faults
        ends = [fault.end_at for fault in faults if fault.end_at < inf]
        return self.scenario.replace(
            name=f"{self.scenario.name} with {count:,} people",
            duration=max([self.scenario.duration, *(end + RECOVERY for end in ends)]),
            people=PeopleConfig(count=count, start="connected"),
        )

    def __str__(self) -> str:
        return self.toml

    def _comment(self) -> str:
        return "".join(f"# {note}\n" for note in self.notes)


def scenario_of(record: LiveRecord, *, until: float | None = None, texts: bool = False) -> RecordedScenario:
    """Return the scenario of a record, from its first action `until` a time on the monotonic clock: by
    default until now.

    The messages' texts are in it only if `texts` is set; otherwise each is as long as it was. Headers, URLs
    and tokens never are.

    Errors: `SettingsError` if nothing was recorded, or scenarios have no such transport.
    """
    origin, config = record.began_at, record.config
    until = time.monotonic() if until is None else until
    if origin is None or until <= origin:
        raise SettingsError("nothing to make a scenario of: connect first, or send a message")
    horizon = float(ceil(until - origin))
    proxy = record.proxy
    server = None if proxy is None else proxy.server_config
    sends = [
        (_rounded(sent.at - origin), sent.text if texts and sent.text else "x" * min(sent.size, LONGEST_TEXT))
        for sent in record.sends
    ]
    scenario = scenario_for(
        config,
        [_bounded(fault, horizon) for fault in faults_of(record, origin) if fault.at < horizon],
        horizon,
        latency=float(f"{record.round_trips.latency:.3g}"),
        seed=record.seed,
        actions=[(_rounded(at - origin), action) for at, action in record.actions],
        sends=sends,
        server=server,
    ).replace(name="recorded")
    notes = [f"Recorded from a live connection of {until - origin:,.1f} s."]
    if proxy is None or server is None:
        notes.append(FOREIGN)
    dialect = (config.first if isinstance(config, FallbackConfig) else config).dialect_name
    if dialect != "chatlab":
        notes.append(f"The dialect was {dialect}; the model's server speaks chatlab's own.")
    if sends and not texts:
        notes.append("Each message's text is replaced by the letter x, as long as it was.")
    if texts and any(sent.size > len(sent.text.encode()) for sent in record.sends):
        notes.append("Long texts are cut off, or replaced by the letter x.")
    if max(len(record.sends), len(record.actions)) == MOST_ACTIONS:
        notes.append(f"Only the latest {MOST_ACTIONS:,} messages and actions are in it.")
    return RecordedScenario(scenario, tuple(notes))


def faults_of(record: LiveRecord, origin: float) -> list[Fault]:
    """Return the faults of a record's proxy, with times in seconds after `origin`."""
    return [] if record.proxy is None else record.proxy.faults_since(origin)


def fault_spans(faults: Sequence[Fault]) -> list[FaultSpan]:
    """Return the spans of faults at a server with one node."""
    return [FaultSpan(fault.kind, fault.at, fault.ends_at(1)) for fault in faults]


def _bounded(fault: Fault, horizon: float) -> Fault:
    """Return a fault with rounded times, which ends with the run if it was under way."""
    at = _rounded(fault.at)
    duration = getattr(fault, "duration", None)
    if not duration:
        return fault.replace(at=at)
    return fault.replace(at=at, duration=max(10**-DIGITS, _rounded(min(duration, horizon - at))))


def _rounded(seconds: float) -> float:
    return max(0.0, round(seconds, DIGITS))
