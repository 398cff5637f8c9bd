"""Simulated delays of pongs, beside their closed form and those that Linux was measured to have."""

from __future__ import annotations

from math import inf

import pytest

from chatlab.errors import SettingsError
from chatlab.studies.closed_forms import late_pong_share
from chatlab.studies.late_pongs import pong_delays


def share_later(pongs: list[float], seconds: float) -> float:
    return sum(pong > seconds for pong in pongs) / len(pongs)


def test_without_loss_a_pong_takes_a_round_trip() -> None:
    assert pong_delays(0.0, beats=100, delay=0.1) == pytest.approx([0.2] * 150, abs=1e-9)


def test_what_tcp_cannot_deliver_in_a_minute_never_comes() -> None:
    pongs = pong_delays(0.7, beats=200)
    assert inf in pongs
    assert max(pong for pong in pongs if pong < inf) <= 60.0


@pytest.mark.slow
@pytest.mark.sampled(3)
@pytest.mark.parametrize("loss", [0.01, 0.05, 0.1])
def test_the_closed_form_is_the_least_share_of_late_pongs(loss: float) -> None:
    pongs = pong_delays(loss, beats=10_000)
    for seconds in (0.3, 0.5, 1.0):
        least = late_pong_share(seconds, loss, 0.04)
        spread = 4 * (least / len(pongs)) ** 0.5
        assert share_later(pongs, seconds) > least - spread
    first = 1 - (1 - loss) ** 2
    assert share_later(pongs, 0.1) == pytest.approx(first, rel=0.1), "the packets that are lost once"


@pytest.mark.slow
def test_loss_delays_a_heartbeat_and_hardly_ever_loses_it() -> None:
    """FACTS §11: at 10 % none of 7,500 took 10 s."""
    pongs = pong_delays(0.1, beats=7_500)
    assert share_later(pongs, 10.0) < 0.001
    assert share_later(pongs, 0.54) == pytest.approx(0.05, abs=0.06)


def test_a_loss_of_everything_is_refused() -> None:
    with pytest.raises(SettingsError):
        pong_delays(1.0)
