"""What the tests of the live transports share: the chaos test's table, printed at the end of the report."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.live.chaos import Outcome, Table, markdown

CHAOS = "chaos"
"""The property by which the chaos test says what came of it, also from a worker of its own."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    table: Table = {
        (kind, trouble): Outcome(seconds, outage, Counter())
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == CHAOS
        for kind, trouble, seconds, outage in [value]
    }
    if table:
        terminalreporter.section("chaos")
        terminalreporter.write_line(markdown(table))
