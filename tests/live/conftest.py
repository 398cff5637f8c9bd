"""What the tests of the live transports share: the chaos test's table, printed at the end of the report."""

from __future__ import annotations

import pytest

from tests.live.chaos import Table, markdown

CHAOS = pytest.StashKey[Table]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CHAOS] = {}


@pytest.fixture
def chaos_table(pytestconfig: pytest.Config) -> Table:
    """What came of each transport in each trouble."""
    return pytestconfig.stash[CHAOS]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if table := config.stash[CHAOS]:
        terminalreporter.section("chaos")
        terminalreporter.write_line(markdown(table))
