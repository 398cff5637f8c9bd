"""Backoff: the delay before the next attempt, by six jitter formulas or by a schedule.

Each formula is a fixed part plus a uniform spread, of the capped exponential
`c(n) = min(base · multiplierⁿ, max)`, with the first retry n = 0:

    none          c                  +  0
    proportional  c                  +  U(0, 0.1·c)
    equal         c/2                +  U(0, c/2)
    full          0                  +  U(0, c)
    seed          d = base·multⁿ     +  U(0, 0.1·d), then capped at max: no spread at all once d ≥ max
    decorrelated  base               +  U(0, 3·prev − base), then capped at max; prev starts at base

Another name of `seed` is `capped-10%`.

Source: seed ("Reconnection with Exponential Backoff"); AWS Architecture Blog, "Exponential Backoff And
Jitter".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import inf
from typing import assert_never

from msgspec import Struct

from chatlab.settings import ReconnectConfig

Uniform = Callable[[], float]
"""A source of random numbers, uniform in [0, 1)."""

REMEMBERED_FORMULAS = 64
"""Number of retries whose terms are cached for each `ReconnectConfig`."""


def exponential(config: ReconnectConfig, attempt: int) -> float:
    """Return `base · multiplierⁿ` in seconds, uncapped; inf if it is too large for a float."""
    try:
        return config.base_delay * config.backoff_multiplier**attempt
    except OverflowError:
        return inf if config.base_delay else 0.0


class Terms(Struct, frozen=True, gc=False):
    """Terms of a retry's delay `min(fixed + u · max(0, spread + growth · previous), limit)`.

    `u` is a uniform draw in [0, 1), and `previous` the previous delay. All but `growth` are seconds.
    """

    fixed: float
    spread: float
    limit: float = inf
    growth: float = 0.0


def terms(config: ReconnectConfig, attempt: int) -> Terms:
    """Return the terms of the delay before retry `attempt` (first: 0)."""
    cap = config.max_delay
    if config.schedule:
        low, high = config.schedule[min(attempt, len(config.schedule) - 1)]
        return Terms(low, high - low, cap)
    capped = min(exponential(config, attempt), cap)
    match config.jitter:
        case "none":
            return Terms(capped, 0.0)
        case "proportional":
            return Terms(capped, 0.1 * capped)
        case "equal":
            return Terms(capped / 2, capped / 2)
        case "full":
            return Terms(0.0, capped)
        case "seed" | "capped-10%":
            # If d exceeds the cap, every draw gives the cap, so the capped value may replace d.
            return Terms(capped, 0.1 * capped, cap)
        case "decorrelated":
            low = min(config.base_delay, cap)
            return Terms(low, -low, cap, growth=3.0)
        case unknown:
            assert_never(unknown)


def next_delay(config: ReconnectConfig, attempt: int, previous: float, u: float, floor: float = 0.0) -> float:
    """Return the delay in seconds before retry `attempt` (first: 0), for one uniform draw `u` in [0, 1).

    `previous` is the previous delay, which `decorrelated` uses. A `floor` (a server's Retry-After) above the
    formula's fixed part replaces that part. It isn't capped, and the spread is added to it.
    """
    return _delay(terms(config, attempt), previous, u, floor)


def _delay(formula: Terms, previous: float, u: float, floor: float) -> float:
    spread = formula.spread + formula.growth * previous
    if spread < 0.0:  # Comparisons are faster than `min` and `max`, and this runs very often.
        spread = 0.0
    if floor > formula.fixed:
        return floor + u * min(spread, formula.limit)
    delay = formula.fixed + u * spread
    if delay > formula.limit:
        delay = formula.limit
    return delay


@lru_cache
def _formulas(config: ReconnectConfig) -> list[Terms]:
    """Return the list of terms, by retry, that all `Backoff`s with these settings share and fill."""
    return []


class Backoff:
    """The count of attempts since the last stable connection, and the delays before them."""

    __slots__ = ("_config", "_formulas", "_previous", "_uniform", "attempts")

    def __init__(self, config: ReconnectConfig, uniform: Uniform) -> None:
        self._config = config
        self._formulas = _formulas(config)
        self._uniform = uniform
        self.reset()

    @property
    def exhausted(self) -> bool:
        """Whether no attempt is left."""
        config = self._config
        return not config.enabled or (
            config.max_attempts is not None and self.attempts >= config.max_attempts
        )

    def reset(self) -> None:
        """Reset the count of attempts to 0."""
        self.attempts = 0
        self._previous = self._config.base_delay

    def rebase(self, base_delay: float) -> None:
        """Change the first delay, in seconds, as the server asks."""
        if base_delay != self._config.base_delay:
            self._config = self._config.replace(base_delay=base_delay)
            self._formulas = _formulas(self._config)
            if not self.attempts:
                self.reset()

    def next(self, retry_after: float | None = None) -> float:
        """Count one more attempt, and return its delay in seconds."""
        config, attempt, formulas = self._config, self.attempts, self._formulas
        floor = min(max(retry_after, 0.0), config.max_retry_after) if retry_after else 0.0
        formula = formulas[attempt] if attempt < len(formulas) else self._formula(attempt)
        delay = _delay(formula, self._previous, self._uniform(), floor)
        self.attempts = attempt + 1
        self._previous = delay
        if delay > config.max_delay:
            self._previous = config.max_delay
        return delay

    def _formula(self, attempt: int) -> Terms:
        """Return the terms of a retry, and cache them for all `Backoff`s with these settings."""
        formula = terms(self._config, attempt)
        if attempt == len(self._formulas) < REMEMBERED_FORMULAS:
            self._formulas.append(formula)
        return formula
