"""Configuration of all tests: a tier's tests and sizes, missing programs, and browser tests at the end.

A missing program is a skip that names it, or a failure under CI.
"""

import gc
import os
from collections import Counter

import pytest
from hypothesis import is_hypothesis_test, settings

from tests.requirements import REQUIREMENTS, find
from tests.sizes import FULL, TIER, examples

SLOW = ("tests/browser/", "tests/interop/", "tests/live/", "tests/terminal/")
"""Folders whose tests wait for sockets, threads and processes."""
IN_CI = os.environ.get("CI", "").lower() not in {"", "0", "false"}
LEFT_OUT = pytest.StashKey[int]()

# No test asserts speed, as machines are busy. Only `make proof` looks for new examples: `make test` and CI
# try the same ones each time.
settings.register_profile(
    "chatlab",
    max_examples=examples(100),
    deadline=None,
    derandomize=IN_CI or not FULL,
    print_blob=True,
)
settings.load_profile("chatlab")


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """Collect no garbage until `pytest_collection_finish`: what is imported and collected stays."""
    gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests for `proof` only, mark tests with a size, and put the browser tests last.

    Playwright leaves a loop that breaks later async tests.
    """
    counts: Counter[str] = Counter()
    for item in items:
        if sampled := item.get_closest_marker("sampled"):
            name = item.nodeid.partition("[")[0]
            if counts[name] % sampled.args[0]:
                item.add_marker(pytest.mark.proof)
            counts[name] += 1
        if item.nodeid.startswith("tests/browser/"):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.requires("chromium"))
            item.add_marker(pytest.mark.timeout(600))
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker(pytest.mark.sized)
    left_out = [item for item in items if not FULL and item.get_closest_marker("proof")]
    if len(left_out) < len(items):  # If all selected tests are for `proof`, they run.
        config.stash[LEFT_OUT] = len(left_out)
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if FULL or not item.get_closest_marker("proof")]
    # Slow tests come first, so that at the end no worker is left alone with one.
    items.sort(key=lambda item: (_has(item, "browser"), not _has(item, "slow")))


def _has(item: pytest.Item, mark: str) -> bool:
    return item.get_closest_marker(mark) is not None


def pytest_collection_finish() -> None:
    """Collect garbage less often, and freeze what stays: collection took a sixth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for name in (name for marker in item.iter_markers("requires") for name in marker.args):
        if find(name) is None:
            reason = f"{name} is missing: {REQUIREMENTS[name].install}"
            if IN_CI:
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left_out := config.stash.get(LEFT_OUT, 0):
        terminalreporter.line(f"left out in tier {TIER}: {left_out}; CHATLAB_TIER=proof runs them")
