"""What all tests share: missing programs are skipped and named, or fail under CI; browser tests come last."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.requirements import REQUIREMENTS, find

BROWSER_TESTS = Path(__file__).parent / "browser"
IN_CI = os.environ.get("CI", "").lower() not in {"", "0", "false"}
# Several pytest runs may share this file, so that the last one can tell what all of them skipped.
SKIPPED_FILE = os.environ.get("CHATLAB_SKIPPED")
SKIPPED = pytest.StashKey[list[str]]()
REPEATED = "repeated"
"""The property by which a test says what it had to do again until it passed."""

# No test asserts speed, on a busy machine least of all.
settings.register_profile("chatlab", deadline=None, derandomize=IN_CI, print_blob=True)
settings.load_profile("chatlab")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SKIPPED] = []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the browser tests and put them last: Playwright leaves a loop that breaks later async tests."""
    for item in items:
        if item.path.is_relative_to(BROWSER_TESTS):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.requires("chromium"))
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for name in (name for marker in item.iter_markers("requires") for name in marker.args):
        if find(name) is None:
            reason = f"{name} is missing: {REQUIREMENTS[name].install}"
            if IN_CI:
                pytest.fail(reason, pytrace=False)
            item.config.stash[SKIPPED].append(f"{item.nodeid}: {reason}")
            pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skipped = config.stash[SKIPPED]
    if SKIPPED_FILE:
        file = Path(SKIPPED_FILE)
        skipped = [*(file.read_text(encoding="utf-8").splitlines() if file.exists() else []), *skipped]
        file.write_text("".join(f"{line}\n" for line in skipped), encoding="utf-8")
    repeated = [
        f"{report.nodeid}: {value}"
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == REPEATED
    ]
    for title, lines in (("skipped for want of a program", skipped), ("passed on repetition", repeated)):
        if lines:
            terminalreporter.section(title)
        for line in lines:
            terminalreporter.line(line)
