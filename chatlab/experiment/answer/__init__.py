"""The answer of a run: what happened to the people and their messages, in a few sentences.

Each figure is one of the run's metrics, series or recorded steps, or a setting of its scenario. A reason is
given only if the run shows it: the accept queue was full, retries came in the same second, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping

from chatlab.experiment.answer.facts import Facts
from chatlab.experiment.answer.messages import about_messages
from chatlab.experiment.answer.people import about_people
from chatlab.experiment.percentiles import Value

__all__ = ["Facts", "answer", "relevant"]


def answer(facts: Facts) -> str:
    """Return what happened in a run, in one to four sentences."""
    return " ".join([*about_people(facts), *about_messages(facts)])


def relevant(metrics: Mapping[str, Value]) -> list[str]:
    """Return the names of the metrics that matter in a run.

    It leaves out those that are 0 or missing, seconds in each status, bytes, and a peak since the first fault
    that is the peak of the whole run.
    """
    return [
        name
        for name, value in metrics.items()
        if value
        and not name.startswith(("time_", "bytes_"))
        and not (name.endswith("_after") and metrics.get(name.removesuffix("_after")) == value)
    ]
