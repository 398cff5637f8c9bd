"""Groups of people, who may have a transport and a network of their own."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from math import gcd, sqrt
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from chatlab.errors import SettingsError
from chatlab.settings import Name, Settings
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.transport_settings import AnyTransport
from chatlab.text import quoted

OTHERS = "others"
"""The name of everybody who is in no group."""
ROUNDING = 1e-9
"""By how much the shares may add up to more than 1."""
_GOLDEN = (sqrt(5) - 1) / 2


class Group(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `share` of the people, with a transport and a network of their own.

    None stands for the scenario's. In TOML a `network`, or a `transport` without `kind`, is the scenario's
    with other values for the fields that it names.
    """

    name: Name
    share: Annotated[float, Meta(ge=0, le=1)]
    transport: AnyTransport | None = None
    network: NetworkConfig | None = None


def check_groups(groups: Sequence[Group], where: str) -> None:
    """Check the names and the shares of all groups.

    Errors: `SettingsError` that begins with `where`.
    """
    seen = set[str]()
    for number, group in enumerate(groups):
        if group.name == OTHERS:
            raise SettingsError(
                f"{where}[{number}].name: {OTHERS!r} are the people in no group; choose another name"
            )
        if group.name in seen:
            raise SettingsError(f"{where}[{number}].name: there is a group {quoted(group.name)} already")
        seen.add(group.name)
    total = sum(group.share for group in groups)
    if total > 1 + ROUNDING:
        raise SettingsError(f"{where}: the shares add up to {total:.10g}; give at most 1")


class Membership:
    """The group of each person.

    Each group has `share * count` people, rounded such that shares of 1 leave no others. Groups are spread
    evenly over the numbers of people: person n has place (n * stride) % count in the order of the groups.
    """

    __slots__ = ("_count", "_ends", "_stride", "names")

    def __init__(self, groups: Sequence[Group], count: int) -> None:
        self.names = [*(group.name for group in groups), OTHERS]
        self._count = count
        totals = accumulate(group.share for group in groups)
        self._ends = [int(total * count + 0.5 + ROUNDING) for total in totals]
        self._stride = _stride(count)

    def __repr__(self) -> str:
        return f"<Membership of {', '.join(self.names)}>"

    def group(self, person: int) -> int:
        """Return the number of the person's group. The last group are the others."""
        return bisect_right(self._ends, person * self._stride % self._count) if self._ends else 0

    def column(self) -> NDArray[np.int64]:
        """Return the number of each person's group."""
        places = np.arange(self._count, dtype=np.int64) * self._stride % self._count
        return np.searchsorted(np.array(self._ends, dtype=np.int64), places, side="right").astype(np.int64)


def _stride(count: int) -> int:
    """Return a number without a common divisor with `count`, near the golden section of it."""
    stride = max(1, round(count * _GOLDEN))
    while gcd(stride, count) > 1:
        stride += 1
    return stride
