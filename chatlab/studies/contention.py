"""Clients that contend for one row: a published comparison of jitter formulas, as SimPy processes.

Each client updates the row once, by optimistic concurrency control. It reads the row, and writes it if the
version is unchanged. If not, it sleeps and reads again:

    client ── read ──▶ row ── version ──▶ client ── write if unchanged ──▶ row ── done, or not ──▶ client
       ▲                                                                                             │
       └───────────────────── sleeps `next_delay`, the formula of the transports ◀──────────────┘

Source: AWS Architecture Blog, "Exponential Backoff And Jitter", and the simulator published with it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np
from msgspec import Struct
from simpy import Event

from chatlab.errors import SettingsError
from chatlab.settings import ReconnectConfig
from chatlab.sim.environment import LadderEnvironment
from chatlab.transports.backoff import next_delay

if TYPE_CHECKING:
    import pandas as pd

Formula = Literal["exponential", "equal", "full", "decorrelated", "no backoff"]

MESSAGE, MESSAGE_SD = 0.010, 0.002
"""Seconds of a one-way message: |Normal(mean, standard deviation)|."""
FIRST_EXPONENT = 1
"""The exponent of the first retry, as in the published simulator."""

_CONFIG = ReconnectConfig(base_delay=0.005, max_delay=2.0, backoff_multiplier=2.0, max_attempts=None)
FORMULAS: Mapping[Formula, ReconnectConfig] = MappingProxyType(
    {
        "exponential": _CONFIG.replace(jitter="none"),
        "equal": _CONFIG.replace(jitter="equal"),
        "full": _CONFIG.replace(jitter="full"),
        "decorrelated": _CONFIG.replace(jitter="decorrelated"),
        "no backoff": _CONFIG.replace(schedule=((0.0, 0.0),)),
    }
)
"""The settings of each compared formula."""

PUBLISHED: Mapping[tuple[Formula, int], tuple[float, float]] = MappingProxyType(
    {
        (formula, clients): (milliseconds / 1000, writes)
        for clients, row in {
            10: ((3371, 50.4), (743, 42.9), (465, 39.2), (440, 37.6), (379, 50.8)),
            50: ((36688, 626), (4275, 349), (2822, 332), (2245, 375), (1148, 694)),
            100: ((63921, 1860), (6629, 813), (4892, 796), (4498, 999), (2022, 2417)),
            190: ((101497, 5169), (9479, 1761), (7402, 1771), (7938, 2430), (3541, 8005)),
        }.items()
        for formula, (milliseconds, writes) in zip(FORMULAS, row, strict=True)
    }
)
"""Mean seconds until the last client is done, and mean number of writes, by formula and number of clients.

Source: 200 runs of the published simulator.
"""


class Contest(Struct, frozen=True):
    """The result of a contest: seconds until the last client is done, and the number of all writes."""

    seconds: float
    writes: int


class _Row:
    """The row that all clients update."""

    def __init__(self) -> None:
        self.version = 0
        self.writes = 0

    def write(self, version: int) -> bool:
        """Write if the version is unchanged; return whether it was."""
        self.writes += 1
        if version != self.version:
            return False
        self.version += 1
        return True


MAX_CLIENTS = 10_000
"""Maximum number of clients of a contest. The time of a simulation grows with the square of the number."""


def contend(formula: Formula, clients: int, seed: int = 0) -> Contest:
    """Simulate `clients` clients that update one row; return the result.

    Errors: `SettingsError` if there is no such formula, or no client.
    """
    if formula not in FORMULAS:
        raise SettingsError(f"formula: choose one of {', '.join(FORMULAS)}, got {formula!r}")
    if not 1 <= clients <= MAX_CLIENTS:
        raise SettingsError(f"clients: give a whole number from 1 to {MAX_CLIENTS:,}, got {clients!r}")
    config = FORMULAS[formula]
    generator = np.random.Generator(np.random.Philox(seed))
    environment = LadderEnvironment()
    row = _Row()

    def client() -> Generator[Event, None, None]:
        failures, delay = 0, config.base_delay
        while True:
            yield environment.timeout(message())
            version = row.version
            yield environment.timeout(message())
            yield environment.timeout(message())
            done = row.write(version)
            yield environment.timeout(message())
            if done:
                return
            delay = next_delay(config, FIRST_EXPONENT + failures, delay, generator.random())
            failures += 1
            yield environment.timeout(delay)

    def message() -> float:
        return abs(generator.normal(MESSAGE, MESSAGE_SD))

    for _ in range(clients):
        environment.process(client())
    environment.run()
    return Contest(environment.now, row.writes)


def compare_formulas(
    clients: Iterable[int] = (10, 50, 100), *, repetitions: int = 20, seed: int = 0
) -> pd.DataFrame:
    """Return the means of `repetitions` contests of each formula beside the published ones.

    Columns: formula, clients, seconds, writes; `seconds_se` and `writes_se`, the means' standard errors; and
    `published_seconds` and `published_writes`, which are missing if nothing was published.

    Errors: `SettingsError` if there is no client.
    """
    import pandas as pd

    rows = []
    for count in clients:
        for formula in FORMULAS:
            contests = [contend(formula, count, seed + number) for number in range(repetitions)]
            seconds = np.array([contest.seconds for contest in contests])
            writes = np.array([contest.writes for contest in contests])
            published = PUBLISHED.get((formula, count), (np.nan, np.nan))
            rows.append(
                {
                    "formula": formula,
                    "clients": count,
                    "seconds": seconds.mean(),
                    "writes": writes.mean(),
                    "seconds_se": _standard_error(seconds),
                    "writes_se": _standard_error(writes),
                    "published_seconds": published[0],
                    "published_writes": published[1],
                }
            )
    return pd.DataFrame(rows)


def _standard_error(values: np.ndarray[tuple[int], np.dtype[np.float64 | np.int64]]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
