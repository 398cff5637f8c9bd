"""Linux's TCP as this machine has it, against the figures that docs/reference/FACTS.md gives (§11, §12).

They are the independent check of what the worlds make of loss, cuts and a full accept queue. None of them
depends on how fast the machine is: a measurement whose wire was late is made again, and at last skipped.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest

from tests.kernel.measure import result, start
from tests.kernel.queue_law import through_queue

pytestmark = [pytest.mark.proof, pytest.mark.timeout(300), pytest.mark.xdist_group("kernel")]
QUARTER = 0.25
DELAY = 0.04
LATE, LATEST = 0.02, 0.3
"""Seconds by which one in a hundred packets may be late, and any."""
MARGIN = 0.005
"""A percentile of a few thousand messages may be the one of a rank that differs by this share."""
BACKLOG = 30
HERD = {"delay": DELAY, "clients": 300, "backlog": BACKLOG, "rate": 60.0}


@pytest.fixture(scope="module", autouse=True)
def namespaces() -> None:
    command = [sys.executable, "-m", "tests.kernel.measure", "available"]
    reason = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().strip('"')
    if reason:  # Also in CI: what a sandbox forbids can't be installed.
        pytest.skip(f"no network namespaces can be made here: {reason}")


def measure(name: str, *variants: dict[str, Any], **options: Any) -> list[Any]:
    """Return the measurements, made at once, one a variant."""
    for _ in range(3):
        running = [start(name, **options, **variant) for variant in variants]
        results = [result(process) for process in running]
        late, latest = (max(numbers) for numbers in zip(*(each["late"] for each in results), strict=True))
        if late < LATE and latest < LATEST:
            return results
    pytest.skip(
        f"this machine is too busy: one in a hundred packets was {late:.3f} s late, one {latest:.3f} s"
    )


def quantile(values: list[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[max(0, min(len(ranked) - 1, int(share * len(ranked))))]


def has_quantile(values: list[float], share: float, expected: float) -> bool:
    """Return whether a quantile is within a quarter of `expected`, give or take `MARGIN` in its rank."""
    least, most = (quantile(values, share + difference) for difference in (-MARGIN, MARGIN))
    return (1 - QUARTER) * least - LATE <= expected <= (1 + QUARTER) * most + LATE


def test_loss_delays_messages_and_hardly_ever_loses_a_heartbeat() -> None:
    """Published: percentiles of one way, at 40 ms one way."""
    published = {0.05: {0.95: 0.33, 0.99: 0.46}, 0.1: {0.95: 0.42, 0.99: 0.76}}
    variants = [{"loss": loss} for loss in published]
    options = {"delay": DELAY, "seconds": 40.0, "interval": 1.0, "connections": 110}
    for measured, expected in zip(
        measure("round_trips", *variants, **options), published.values(), strict=True
    ):
        assert len(measured["one way"]) > 4000
        assert quantile(measured["one way"], 0.5) == pytest.approx(DELAY, abs=LATE)
        for share, seconds in expected.items():
            assert has_quantile(measured["one way"], share, seconds), (share, seconds)
        assert quantile(measured["round trip"], 0.999) < 10


def test_what_is_sent_into_a_cut_is_sent_again_after_intervals_that_double() -> None:
    """Published: sent again after 0.3, 0.6, 1.2, 2.4, 4.9 and 9.7 s."""
    [measured] = measure("cuts", {}, delay=DELAY, durations=[1.5, 7])
    for cut, last in zip(measured["cuts"], (2.4, 9.7), strict=True):
        probe, *later = cut["sent"][1:]
        assert probe == pytest.approx(0.3, abs=0.1)
        waits = [after - before for before, after in pairwise(later)]
        assert all(wait == pytest.approx(2 * before, rel=QUARTER) for before, wait in pairwise(waits))
        passed = next(seconds for seconds in cut["sent"] if seconds >= cut["duration"])
        assert passed == pytest.approx(last, rel=QUARTER)
        assert cut["arrived"] == pytest.approx(passed, abs=0.1)


def test_a_full_accept_queue_refuses_nobody() -> None:
    """Published: of 300 clients that come at once all connect at once, and wait for seconds for an answer."""
    [herd] = measure("herd", {"spread": 0.0, "patience": 20.0}, **HERD)
    arrived = through_queue(herd["packets"], herd["accepts"], BACKLOG)
    assert (herd["failures"], arrived.resets, arrived.syns, arrived.syns_ignored) == ([], 0, 300, 0)
    assert quantile(herd["connect"], 0.99) < 1  # No SYN was sent again.
    assert arrived.acks_ignored > 300  # Most data were sent again.
    assert len(herd["accepts"]) == pytest.approx(arrived.queued, rel=0.05)
    assert len(herd["answer"]) > 150
    assert quantile(herd["answer"], 0.5) > 1


def test_a_full_accept_queue_ignores_syns() -> None:
    """Published: of 300 clients within 2 s two in five send their SYN again, and all are answered.

    How many do depends on when the machine had them connect, so it is computed from the packets.
    """
    [herd] = measure("herd", {"spread": 2.0}, **HERD)
    arrived = through_queue(herd["packets"], herd["accepts"], BACKLOG)
    assert (herd["failures"], arrived.resets) == ([], 0)
    assert (len(herd["connect"]), len(herd["answer"])) == (300, 300)
    assert arrived.syns_unanswered > 30
    assert arrived.syns_unanswered == pytest.approx(arrived.syns_ignored, rel=0.15, abs=5)
    assert len(herd["accepts"]) == pytest.approx(arrived.queued, rel=0.05)
