"""The diagrams in the machines' docstrings match their behaviour."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.transports import explore

modules = pytest.mark.parametrize(
    "module", explore.WALKS, ids=lambda module: module.__name__.rpartition(".")[2]
)


@pytest.mark.slow
@modules
def test_the_docstring_holds_the_diagram_that_exploration_gives(module: ModuleType) -> None:
    drawn = explore.diagram(explore.WALKS[module])
    assert module.__doc__ is not None
    _, _, rest = module.__doc__.partition(explore.BEGIN)
    there, end, _ = rest.partition(explore.END)
    assert end
    assert there == drawn, "the diagram is stale: run `python -m tests.transports.explore --write`"
    assert max(map(len, drawn.splitlines())) <= explore.WIDTH
    assert len(drawn.splitlines()) <= 35


@pytest.mark.slow
@modules
def test_exploration_meets_every_state(module: ModuleType) -> None:
    walk = explore.WALKS[module]
    assert {state for state, *_ in explore.explore(walk)} == set(walk.states)


def test_a_diagram_is_put_in_the_place_of_the_old_one() -> None:
    assert explore.with_diagram('"""a\n<diagram>\nold\n</diagram>\nb"""\n', "new\n") == (
        '"""a\n<diagram>\nnew\n</diagram>\nb"""\n'
    )
