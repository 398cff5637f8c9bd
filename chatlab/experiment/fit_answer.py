"""The answer of a fit: which candidates explain a measurement, how sure that is, and the unknowns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

import numpy as np

from chatlab.experiment.fit_search import Point
from chatlab.experiment.likeness import LEVELS, Candidate, exclusion
from chatlab.experiment.measured import Measured
from chatlab.experiment.trials import Setting, show

CHANCE = 3.0
"""Distance of the best candidate, in spreads of its own runs, from which on it explains little."""
DOUBT = 2.0
"""Distance of the best candidate, in spreads of its own runs, from which on it doesn't explain all."""
NOUNS = {
    "sent": "sent messages",
    "delivered": "deliveries",
    "connected": "connected people",
    "queue": "waiting connections",
    "work": "pending requests and frames",
}
"""Nouns for the series whose names are none."""


def explains_nothing(measured: Measured, best: Candidate) -> bool:
    """Return whether the best candidate is far from the measurement, beside its own spread."""
    mean = float(np.nanmean(measured.counts))
    return best.distance > CHANCE * max(best.own, 0.02 * mean) and best.distance > 0.5 * mean


def answer(
    measured: Measured,
    ranges: Sequence[Setting],
    of: str,
    ranked: Sequence[tuple[Point, Candidate]],
    names: Sequence[str],
    intervals: Sequence[tuple[float, float]],
    inert: Mapping[str, str],
) -> str:
    """Return the answer in a few sentences.

    `ranked` has the candidates, the best first, and `names` those that can't be ruled out. `intervals` are
    those of the settings in `ranges`, or empty. `inert` has those without effect with the best candidate.
    """
    point, best = ranked[0]
    mean = float(np.nanmean(measured.counts))
    noun, rate = NOUNS.get(of, of), "" if of in LEVELS else " a second"
    off = f"on average {_figure(best.distance)} {noun}{rate} off, where {_figure(mean)}{rate} were measured"
    if explains_nothing(measured, best):
        first = f"None explains {measured.name} well: the closest is {point.name}, {off}."
    elif len(names) > 1:
        first = f"{_listed(names)} can't be told apart by {measured.name}. Closest is {point.name}: {off}."
    elif len(ranked) == 1:
        first = f"{point.name} is the only candidate: {off}."
    else:
        first = f"{point.name} explains {measured.name} best: {off}."
    sentences = [f"{first[0].upper()}{first[1:]}" if point.name == "the scenario" else first]
    if best.distance > DOUBT * max(best.own, 0.02 * mean):
        apart = f"its own runs are only {_figure(best.own)} from each other"
        sentences.append(f"It doesn't explain all of it, as {apart}: try other candidates, or unknowns.")
    others = [(each, candidate) for each, candidate in ranked[1:] if each.name not in names]
    if others:
        each, candidate = others[0]
        sure = exclusion(candidate, best)
        deviations = "over 10" if sure > 10 else f"{sure:.1f}"
        far = f"{_figure(candidate.distance)} off, {deviations} standard deviations more than its own runs"
        sentences.append(f"The next, {each.name}, is ruled out ({far}).")
    none = "no interval: too few runs"
    values = [
        f"{setting.path} = {show(value)} ({'{} to {}'.format(*map(show, ends)) if ends else none})"
        for setting, value, ends in zip_longest(ranges, point.unknowns, intervals)
        if setting.path not in inert
    ]
    if values:
        sentences.append(f"With it, {', '.join(values)}.")
    sentences.append(f"The measurement begins {best.offset} s after the run does (its offset).")
    if measured.missing:
        share = f"{measured.missing:,} of its {len(measured.counts):,} seconds"
        sentences.append(f"{share} {'has' if measured.missing == 1 else 'have'} no count.")
    if several := measured.repeated:
        some = "1 second has" if several == 1 else f"{several:,} seconds have"
        sentences.append(f"{some} several rows, whose counts were added.")
    return " ".join(sentences)


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _figure(number: float) -> str:
    return f"{number:.2g}" if number < 9.95 else f"{number:,.0f}"
