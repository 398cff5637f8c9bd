"""What all tests share: a tier's tests and sizes, missing programs, and browser tests at the end.

A missing program is a skip that names it, or a failure under CI.
"""

import os
from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test, settings

from tests.requirements import REQUIREMENTS, find
from tests.sizes import FULL, TIER, examples

BROWSER_TESTS = Path(__file__).parent / "browser"
SLOW = [Path(__file__).parent / name for name in ("browser", "interop", "live", "terminal")]
"""Folders whose tests wait for sockets, threads and processes."""
IN_CI = os.environ.get("CI", "").lower() not in {"", "0", "false"}
LEFT_OUT = pytest.StashKey[int]()
REPEATED = "repeated"
"""The property by which a test says what it had to do again until it passed."""

# No test asserts speed, on a busy machine least of all. Only who runs `make proof` looks for new examples:
# `make test` and CI try the same ones each time.
settings.register_profile(
    "chatlab",
    max_examples=examples(100),
    deadline=None,
    derandomize=IN_CI or not FULL,
    print_blob=True,
)
settings.load_profile("chatlab")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is for `proof` only, mark what has a size, and put the browser tests last.

    Playwright leaves a loop that breaks later async tests.
    """
    for item in items:
        if item.path.is_relative_to(BROWSER_TESTS):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.requires("chromium"))
            item.add_marker(pytest.mark.timeout(600))
        if any(item.path.is_relative_to(folder) for folder in SLOW):
            item.add_marker(pytest.mark.slow)
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker(pytest.mark.sized)
    kept = [item for item in items if FULL or not item.get_closest_marker("proof")]
    if kept:  # Who names nothing else wants what is for `proof`.
        config.stash[LEFT_OUT] = len(items) - len(kept)
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for name in (name for marker in item.iter_markers("requires") for name in marker.args):
        if find(name) is None:
            reason = f"{name} is missing: {REQUIREMENTS[name].install}"
            if IN_CI:
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    repeated = [
        f"{report.nodeid}: {value}"
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == REPEATED
    ]
    if repeated:
        terminalreporter.section("passed on repetition")
    for line in repeated:
        terminalreporter.line(line)
    if left_out := config.stash.get(LEFT_OUT, 0):
        terminalreporter.line(f"left out in tier {TIER}: {left_out}; CHATLAB_TIER=proof runs them")
