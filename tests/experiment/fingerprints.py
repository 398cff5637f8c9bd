"""Fingerprints of runs: the same before and after a change that is to change no behaviour.

    python -m tests.experiment.fingerprints 2000 7 before.json  # ready-made scenarios, and 2,000 of seed 7

Prints a hash of everything that `Run.save` writes but the reasons, which are words for people. The random
scenarios are kept in the file, and read from it the next time: Hypothesis also draws numbers and texts that
it finds in the source, so after a change a seed may give others.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from chatlab.experiment.library import load_scenario, scenario_names
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from tests.experiment.random_scenarios import drawn

SAMPLE = 20
"""People of whom a ready-made scenario's steps are recorded."""
SHOWN = 16
"""Digits of a hash that are printed."""


def fingerprint(given: Iterable[Scenario], world: str, sample: int = SAMPLE) -> str:
    """Return the hash of what these scenarios give in a world."""
    digest = hashlib.sha256()
    for scenario in given:
        for line in run(scenario, world, sample=sample).to_json_lines().splitlines():
            digest.update(json.dumps(_without_reasons(json.loads(line))).encode())
    return digest.hexdigest()[:SHOWN]


def _without_reasons(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_reasons(item) for name, item in value.items() if name != "reason"}
    return [_without_reasons(item) for item in value] if isinstance(value, list) else value


def kept(path: Path, number: int, first: int) -> list[Scenario]:
    """Return the random scenarios of a file; write `number` of the seed `first` if there is no file."""
    if not path.exists():
        path.write_text(json.dumps([scenario.to_toml() for scenario in drawn(number, first)]))
    return [Scenario.from_toml(text) for text in json.loads(path.read_text())]


def report(number: int, first: int, path: Path) -> Iterator[str]:
    """Yield a line for each ready-made scenario, then one for `number` random ones in each world."""
    for name in scenario_names():
        yield f"{fingerprint([load_scenario(name)], 'model')}  model  {name}"
    random = kept(path, number, first)
    for world in ("model", "wire"):
        yield f"{fingerprint(random, world)}  {world:5}  {number:,} random scenarios of seed {first}"


if __name__ == "__main__":
    for line in report(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])):
        sys.stdout.write(f"{line}\n")
