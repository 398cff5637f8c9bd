"""Intervals of fitted unknowns, by a parametric bootstrap.

Points fill a box around the fitted one. The square of their distance from a series is nearly a quadratic
function of the unknowns, whose minimum is the estimate. Runs of the fitted point, with seeds that no other
point has, stand for the measurement in turn; the errors of their estimates show how far off an estimate is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NOMINAL = 0.90
"""Nominal coverage of an interval."""
_Z = 1.6449
"""Standard normal deviates of `NOMINAL`, on both sides."""


class Interval(NamedTuple):
    """The estimate, less its mean error, and how far off it may be on both sides, for each unknown."""

    estimate: Array
    reach: Array


def minimum(places: Array, distances: Array) -> Array:
    """Return where distances are least. `places` is an array (points, unknowns), with a distance of each.

    It is the minimum of the quadratic function that fits their squares best, within the box of the places. If
    that has no minimum, it is the nearest place.
    """
    count, unknowns = places.shape
    nearest: Array = places[int(np.argmin(distances))]
    pairs = [(one, other) for one in range(unknowns) for other in range(one, unknowns)]
    if count < 1 + unknowns + len(pairs):
        return nearest
    low, high = places.min(axis=0), places.max(axis=0)
    scale = np.where(high > low, high - low, 1.0)
    unit = (places - low) / scale
    terms = np.column_stack([np.ones(count), unit, *(unit[:, one] * unit[:, other] for one, other in pairs)])
    found = np.linalg.lstsq(terms, distances**2, rcond=None)[0]
    curvature = np.zeros((unknowns, unknowns))
    for (one, other), term in zip(pairs, found[1 + unknowns :], strict=True):
        curvature[one, other] += term
        curvature[other, one] += term
    if np.linalg.eigvalsh(curvature).min() <= 1e-9 * max(float(np.abs(curvature).max()), 1e-300):
        return nearest
    lowest = np.linalg.solve(curvature, -found[1 : 1 + unknowns])
    result: Array = low + scale * np.clip(lowest, 0.0, 1.0)
    return result


def interval(places: Array, measured: Array, simulated: Array, truth: Array) -> Interval:
    """Return the interval of a measurement.

    `measured` has the distances of the places from the measurement, `simulated` those from each simulated
    one: an array (simulated, points). `truth` is the place with whose settings these were made.
    """
    errors = np.array([minimum(places, each) for each in simulated]) - truth
    count = len(errors)
    student = _Z + (_Z**3 + _Z) / (4 * (count - 1))  # Student's t for few errors, to first order.
    reach = student * errors.std(axis=0, ddof=1) * np.sqrt(1 + 1 / count)
    return Interval(minimum(places, measured) - errors.mean(axis=0), reach)
