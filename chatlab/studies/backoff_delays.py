"""The delays of a backoff formula for many people, and the times at which a herd of them returns.

Only the formulas are computed, without server and network. So a hundred thousand people take a fraction of a
second.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from chatlab.errors import SettingsError
from chatlab.settings import ReconnectConfig
from chatlab.transports.backoff import terms

Floats = NDArray[np.float64]

DEFAULT_ATTEMPTS = 16
"""Number of delays that `backoff_delays` returns if the settings never give up."""
MAX_DELAYS = 10**8
"""Maximum number of delays that `backoff_delays` returns (800 MB)."""
MAX_ATTEMPTS = 100_000
"""Maximum number of one person's attempts in `herd_returns`. More would be a busy loop, and raise an
error."""


def backoff_delays(
    config: ReconnectConfig, *, samples: int = 10_000, seed: int = 0, attempts: int | None = None
) -> Floats:
    """Return the delays of many clients before each retry: shape `(samples, max_attempts)`, in seconds.

    `attempts` sets another number of columns. By default it is `max_attempts`, or 16 if that is None. It
    doesn't change the values in the first columns. Disabled settings have no columns.

    Errors: `SettingsError` if a number is out of range, or the array would be too large.
    """
    _check("samples", samples, 1)
    _check("seed", seed, 0)
    if attempts is None:
        attempts = DEFAULT_ATTEMPTS if config.max_attempts is None else config.max_attempts
    _check("attempts", attempts, 0)
    if samples * attempts > MAX_DELAYS:
        raise SettingsError(
            f"{samples:,} samples of {attempts:,} attempts are over {MAX_DELAYS:,} delays; ask for fewer"
        )
    columns = list(islice(_columns(config, samples, seed), attempts))
    return np.column_stack(columns) if columns else np.empty((samples, 0))


class Herd(Struct, frozen=True, eq=False):
    """The times at which the people of a herd connect again: arrays of shape `(people,)`.

    `returns` is seconds after the server's return, inf for people who gave up; `attempts` counts the retries.
    """

    returns: Floats
    attempts: NDArray[np.int64]

    @property
    def gave_up(self) -> int:
        """Number of people who gave up."""
        return int(np.isinf(self.returns).sum())

    def busiest(self, width: float = 0.1) -> float:
        """Return the largest share of the people, 0 to 1, that returns in one bin of `width` seconds.

        Errors: `SettingsError` if `width` isn't above 0.
        """
        if not width > 0:
            raise SettingsError(f"width: give a number of seconds above 0, got {width!r}")
        back = self.returns[np.isfinite(self.returns)]
        bins = np.unique(np.floor(back / width), return_counts=True)[1]
        return float(bins.max(initial=0) / len(self.returns))

    def refused(self, rate: float, backlog: float, people: int | None = None, width: float = 0.1) -> float:
        """Return the share of the people, 0 to 1, whose first attempt after the outage finds a full accept
        queue.

        The server accepts `rate` connections a second, and its queue holds `backlog` connections. Arrivals
        are counted in bins of `width` seconds, and scaled to a herd of `people`. Errors: `SettingsError` if
        a number is below 0.
        """
        if not (rate >= 0 and backlog >= 0 and width > 0):
            raise SettingsError(f"give a rate, backlog and width from 0 up, got {(rate, backlog, width)!r}")
        size = len(self.returns) if people is None else people
        back = np.floor(self.returns[np.isfinite(self.returns)] / width).astype(np.int64)
        waiting, refused = 0.0, 0.0
        for arrivals in (np.bincount(back) * (size / len(self.returns))).tolist():
            waiting = max(0.0, waiting + arrivals - rate * width)
            refused += max(0.0, waiting - backlog)
            waiting = min(waiting, backlog)
        return refused / size


def herd_returns(config: ReconnectConfig, people: int, outage: float, seed: int = 0) -> Herd:
    """Return when each of `people` connects again, after all have lost a server for `outage` seconds.

    Attempts during the outage fail at once, and the first one after it succeeds. Each person has the delays
    of the same row of `backoff_delays`.

    Errors: `SettingsError` if a number is out of range, or if the delays never outlast the outage.
    """
    _check("people", people, 1)
    if people > MAX_DELAYS:
        raise SettingsError(f"people: give at most {MAX_DELAYS:,}, got {people:,}")
    _check("seed", seed, 0)
    if not 0 <= outage < np.inf:
        raise SettingsError(f"outage: give a number of seconds from 0 up, got {outage!r}")
    elapsed = np.zeros(people)
    tries = np.zeros(people, dtype=np.int64)
    waiting = np.ones(people, dtype=bool)
    everybody = True
    for number, delays in enumerate(_columns(config, people, seed)):
        if number == MAX_ATTEMPTS:
            raise SettingsError(
                f"{MAX_ATTEMPTS:,} attempts don't outlast {outage:g} s; give a longer base_delay"
            )
        if everybody:  # Indexing takes longer than adding.
            elapsed += delays
            tries += 1
        else:
            elapsed[waiting] += delays[waiting]
            tries[waiting] += 1
        waiting &= elapsed < outage
        everybody = bool(waiting.all())
        if not waiting.any():
            break
    return Herd(np.where(waiting, np.inf, elapsed - outage), tries)


def _columns(config: ReconnectConfig, samples: int, seed: int) -> Iterator[Floats]:
    """Yield the delays of `samples` clients before each retry, until they give up."""
    generator = np.random.Generator(np.random.Philox(seed))
    delays = np.full(samples, config.base_delay)
    attempt = 0
    while config.enabled and (config.max_attempts is None or attempt < config.max_attempts):
        delays = _delays(config, attempt, delays, generator.random(samples))
        yield delays
        attempt += 1


def _delays(config: ReconnectConfig, attempt: int, previous: Floats, u: Floats) -> Floats:
    """Return the results of `transports.backoff.next_delay` for many clients, to the last bit."""
    formula = terms(config, attempt)
    spread = np.maximum(0.0, formula.spread + formula.growth * previous)
    return np.minimum(formula.fixed + u * spread, formula.limit)


def _check(name: str, value: object, least: int) -> None:
    if not isinstance(value, int | np.integer) or value < least:
        raise SettingsError(f"{name}: give a whole number from {least} up, got {value!r}")
