"""The garbage collector is spared work, and has it back afterwards."""

from __future__ import annotations

import gc

import pytest

from chatlab.sim.garbage import RARELY, rare_garbage


@pytest.mark.parametrize("broken", [False, True])
def test_it_looks_seldom_and_afterwards_as_before(broken: bool) -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        with rare_garbage():
            assert gc.get_threshold() == (RARELY, *before[1:])
            assert gc.get_freeze_count() > frozen
            if broken:
                raise KeyError
    except KeyError:
        pass
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_who_wants_it_still_seldomer_keeps_that() -> None:
    before = gc.get_threshold()
    gc.set_threshold(10 * RARELY, 7, 8)
    try:
        with rare_garbage():
            assert gc.get_threshold() == (10 * RARELY, 7, 8)
    finally:
        gc.set_threshold(*before)
