"""Studies: closed forms, published models and small experiments that notebooks compare with runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatlab.lazy import lazy_names

if TYPE_CHECKING:
    from chatlab.experiment.backoff import Herd, herd_returns
    from chatlab.experiment.closed_forms import (
        Cost,
        detection_span,
        false_alarm_after,
        long_poll_cost,
        push_cost,
        short_poll_cost,
    )
    from chatlab.experiment.collapse import Storm, collapse, compare_policies
    from chatlab.experiment.contention import Contest, compare_formulas, contend
    from chatlab.experiment.published import OUTAGES, RUSH_POLICIES, RUSHES, Return, Rush, outage, rush
    from chatlab.experiment.reading import Reading, read
    from chatlab.experiment.showcases import SHOWCASES, Showcase, Shown, show

_HOMES = {
    "experiment.backoff": (
        "Herd",
        "herd_returns",
    ),
    "experiment.closed_forms": (
        "Cost",
        "detection_span",
        "false_alarm_after",
        "long_poll_cost",
        "push_cost",
        "short_poll_cost",
    ),
    "experiment.collapse": (
        "Storm",
        "collapse",
        "compare_policies",
    ),
    "experiment.contention": (
        "Contest",
        "compare_formulas",
        "contend",
    ),
    "experiment.published": (
        "OUTAGES",
        "RUSHES",
        "RUSH_POLICIES",
        "Return",
        "Rush",
        "outage",
        "rush",
    ),
    "experiment.reading": (
        "Reading",
        "read",
    ),
    "experiment.showcases": (
        "SHOWCASES",
        "Showcase",
        "Shown",
        "show",
    ),
}
"""Public names by module."""

__all__ = [
    "OUTAGES",
    "RUSHES",
    "RUSH_POLICIES",
    "SHOWCASES",
    "Contest",
    "Cost",
    "Herd",
    "Reading",
    "Return",
    "Rush",
    "Showcase",
    "Shown",
    "Storm",
    "collapse",
    "compare_formulas",
    "compare_policies",
    "contend",
    "detection_span",
    "false_alarm_after",
    "herd_returns",
    "long_poll_cost",
    "outage",
    "push_cost",
    "read",
    "rush",
    "short_poll_cost",
    "show",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
