"""A real JupyterLab in a real browser."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.jupyter import Lab, serve_lab
from tests.browser.kernels import INSTALLED, OLD, provide
from tests.requirements import find

expect.set_options(timeout=30_000)  # ms; the default of 5 s is too short on a busy machine


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    return {
        **browser_type_launch_args,
        "executable_path": find("chromium"),
        "args": [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ],
    }


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {**browser_context_args, "viewport": {"width": 1200, "height": 900}}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the state of JupyterLab and its kernels to the report of a failure."""
    report = yield
    lab = item.funcargs.get("lab_server")
    if report.failed and isinstance(lab, Lab):
        report.sections += lab.how_it_stands().items()
    return report


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with serve_lab(tmp_path_factory.mktemp("jupyterlab")) as lab:
        yield lab


@pytest.fixture
def lab(lab_server: Lab) -> Iterator[Lab]:
    """Yield a JupyterLab without a running kernel."""
    yield lab_server
    lab_server.close_notebooks()


@pytest.fixture(scope="module", params=[INSTALLED, pytest.param(OLD, marks=pytest.mark.proof)])
def kernel(request: pytest.FixtureRequest, lab_server: Lab) -> str:
    """Return the name of each kernel that the panel must work in."""
    name: str = request.param
    provide(lab_server, name)
    return name


@pytest.fixture(autouse=True)
def page_errors(page: Page) -> Iterator[list[str]]:
    """Yield the page's uncaught exceptions; one that is left at the end fails the test."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(f"{error.message}\n{error.stack or ''}"))
    yield errors
    assert errors == []


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder for screenshots: the one named by SHOTS, or a temporary one."""
    if not (chosen := os.environ.get("SHOTS")):
        return tmp_path_factory.mktemp("screenshots")
    folder = Path(chosen)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
