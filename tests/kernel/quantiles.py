"""Quantiles, and when one of a simulation agrees with one of the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt

QUARTER = 0.25
MARGIN = 0.005
ALIKE = 4
"""Number of a connection's messages that tell as much as one: the variance between eight measurements of the
kernel is four times that of independent messages, as a lost SYN-ACK slows a connection's first messages."""


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lies."""
    ranked = sorted(values)
    return ranked[max(0, min(len(ranked) - 1, int(share * len(ranked))))] if ranked else inf


def agrees(
    kernel: Sequence[float], share: float, value: float, late: float = 0.0, alike: int = ALIKE
) -> bool:
    """Return whether `value` is within a quarter of the kernel's quantile, give or take its rank's error.

    That is three standard errors, and half a percent at least. If about 5 % of the packets are lost, the 95th
    percentile of one measurement is a message that wasn't lost, and that of the next was sent again. The
    kernel's packets were up to `late` seconds late.
    """
    error = max(MARGIN, 3 * sqrt(alike * share * (1 - share) / max(1, len(kernel))))
    least, most = (quantile(kernel, share + sign * error) for sign in (-1, 1))
    return (1 - QUARTER) * (least - late) <= value <= (1 + QUARTER) * most
