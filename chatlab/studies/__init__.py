"""Studies: closed forms, published models and small experiments that notebooks compare with runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatlab.lazy import lazy_names

if TYPE_CHECKING:
    from chatlab.studies.backoff_delays import Herd, herd_returns
    from chatlab.studies.closed_forms import (
        Cost,
        datagram_alarm_after,
        detection_span,
        late_pong_share,
        long_poll_cost,
        push_cost,
        short_poll_cost,
    )
    from chatlab.studies.contention import Contest, compare_formulas, contend
    from chatlab.studies.exercise import Feedback
    from chatlab.studies.exercises import EXERCISES, check
    from chatlab.studies.given_numbers import NotANumber, read_number
    from chatlab.studies.guesses import ChoiceQuestion, Judged, NumberQuestion
    from chatlab.studies.late_pongs import pong_delays
    from chatlab.studies.live_record import LiveRecord
    from chatlab.studies.predictions import PREDICTIONS, Prediction
    from chatlab.studies.published_herds import OUTAGES, RUSH_POLICIES, RUSHES, Return, Rush, outage, rush
    from chatlab.studies.read_cost import Reading, read
    from chatlab.studies.recorded import RecordedScenario, scenario_of
    from chatlab.studies.retry_storm import Storm, collapse, compare_policies
    from chatlab.studies.showcases import SHOWCASES, Showcase, Shown, show
    from chatlab.studies.survival import Absence, absences, kaplan_meier

_HOMES = {
    "studies.survival": "Absence absences kaplan_meier",
    "studies.backoff_delays": "Herd herd_returns",
    "studies.closed_forms": (
        "Cost datagram_alarm_after detection_span late_pong_share long_poll_cost push_cost short_poll_cost"
    ),
    "studies.retry_storm": "Storm collapse compare_policies",
    "studies.contention": "Contest compare_formulas contend",
    "studies.exercise": "Feedback",
    "studies.exercises": "EXERCISES check",
    "studies.given_numbers": "NotANumber read_number",
    "studies.guesses": "ChoiceQuestion Judged NumberQuestion",
    "studies.late_pongs": "pong_delays",
    "studies.predictions": "PREDICTIONS Prediction",
    "studies.live_record": "LiveRecord",
    "studies.published_herds": "OUTAGES RUSHES RUSH_POLICIES Return Rush outage rush",
    "studies.read_cost": "Reading read",
    "studies.recorded": "RecordedScenario scenario_of",
    "studies.showcases": "SHOWCASES Showcase Shown show",
}
"""Public names by module."""

__all__ = [
    "EXERCISES",
    "OUTAGES",
    "PREDICTIONS",
    "RUSHES",
    "RUSH_POLICIES",
    "SHOWCASES",
    "Absence",
    "ChoiceQuestion",
    "Contest",
    "Cost",
    "Feedback",
    "Herd",
    "Judged",
    "LiveRecord",
    "NotANumber",
    "NumberQuestion",
    "Prediction",
    "Reading",
    "RecordedScenario",
    "Return",
    "Rush",
    "Showcase",
    "Shown",
    "Storm",
    "absences",
    "check",
    "collapse",
    "compare_formulas",
    "compare_policies",
    "contend",
    "datagram_alarm_after",
    "detection_span",
    "herd_returns",
    "kaplan_meier",
    "late_pong_share",
    "long_poll_cost",
    "outage",
    "pong_delays",
    "push_cost",
    "read",
    "read_number",
    "rush",
    "scenario_of",
    "short_poll_cost",
    "show",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
