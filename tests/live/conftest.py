"""Shared part of the live transports' tests: the chaos test's table, printed at the end of the report."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.live.chaos import Outcome, Table, markdown

CHAOS = "chaos"
"""The property in which the chaos test reports its outcome, even from another xdist worker."""


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
