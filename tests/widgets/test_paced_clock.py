"""The clock of slow motion."""

from chatlab.widgets.paced_clock import PacedClock


class Wall:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


def test_it_stands_until_it_is_resumed_and_again_when_it_is_paused() -> None:
    wall = Wall()
    clock = PacedClock(60.0, time=wall)
    wall.at += 5
    assert (clock.now, clock.running) == (0.0, False)
    clock.resume()
    wall.at += 2
    assert (clock.now, clock.running) == (2.0, True)
    clock.pause()
    wall.at += 5
    assert (clock.now, clock.running) == (2.0, False)


def test_a_new_rate_counts_from_now_on() -> None:
    wall = Wall()
    clock = PacedClock(60.0, time=wall)
    clock.resume()
    wall.at += 2
    clock.rate = 0.01
    wall.at += 5
    assert (clock.now, clock.rate, clock.running) == (2.05, 0.01, True)
    clock.resume()
    assert clock.now == 2.05


def test_it_jumps_between_its_ends_and_goes_on_from_there() -> None:
    wall = Wall()
    clock = PacedClock(60.0, time=wall)
    clock.jump(-1.0)
    assert clock.now == 0.0
    clock.jump(30.0)
    wall.at += 1
    assert clock.now == 30.0
    clock.resume()
    clock.jump(59.0)
    wall.at += 0.5
    assert (clock.now, clock.running) == (59.5, True)
    wall.at += 5
    assert (clock.now, clock.running) == (60.0, False), "it stops at the end"
    clock.jump(10.0)
    wall.at += 5
    assert (clock.now, clock.running) == (10.0, False), "and stays so"
