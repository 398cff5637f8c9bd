"""A JupyterLab server for the tests, and actions of a person in its notebooks."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import nbformat
from playwright.sync_api import Page, TimeoutError  # noqa: A004  # which is not the built-in one

from tests.http_clients import blocking_client
from tests.processes import die_with_parent, free_port

ROOT = Path(__file__).parents[2]

KERNEL_IS_IDLE = "jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
CODE_CELLS = "jupyterapp.shell.currentWidget.content.widgets.filter(cell => cell.model.type === 'code')"
WHERE_IT_IS = f"""() => ({{
    ran: window.ran, kernel: jupyterapp.shell.currentWidget.sessionContext.session.kernel.status,
    cells: {CODE_CELLS}.map(
        cell => [cell.model.executionCount, cell.model.executionState, cell.outputArea.node.innerText]),
}})"""


LOG, LINES = "jupyterlab.log", 60
"""Name of the server's log, and number of its last lines that a failed test shows."""
STACKS = """
def dump_stacks():
    import faulthandler, os, signal
    global stacks
    stacks = open("{folder}/stacks-of-kernel." + str(os.getpid()), "w")
    faulthandler.register(signal.SIGUSR1, file=stacks)
dump_stacks()
"""
"""Startup code of each kernel: on SIGUSR1 it writes its threads' stacks to a file."""


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its URL, and the folder with its notebooks."""

    url: str
    root: Path

    @property
    def data(self) -> Path:
        """Folder of its own kernel specifications."""
        return self.root.parent / "data"

    def how_it_stands(self) -> dict[str, str]:
        """Return the end of the server's log, and the stack of each thread of each kernel."""
        said = {"JupyterLab": "\n".join((self.root.parent / LOG).read_text().splitlines()[-LINES:])}
        for stacks in self.root.parent.glob("stacks-*"):
            command = Path("/proc", stacks.suffix[1:], "cmdline")
            with suppress(
                OSError
            ):  # The kernel may have ended, or end now; that is no reason to end the tests.
                if b"ipykernel" in command.read_bytes():
                    os.kill(int(stacks.suffix[1:]), signal.SIGUSR1)
                    time.sleep(1.0)  # It says nothing when it has written.
                    said[stacks.name] = stacks.read_text()
        return said

    def close_notebooks(self) -> None:
        """Shut down every kernel, so that one test leaves nothing running for the next."""
        with blocking_client(self.url) as server:
            for session in server.get("/api/sessions").raise_for_status().json():
                server.delete(f"/api/sessions/{session['id']}").raise_for_status()


@contextmanager
def serve_lab(folder: Path) -> Iterator[Lab]:
    """Serve a copy of the notebooks in `folder`, without the user's own settings."""
    root = folder / "root"
    root.mkdir()
    if (ROOT / "notebooks").exists():
        shutil.copytree(
            ROOT / "notebooks", root / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints")
        )
    _turn_off_news(folder / "settings")
    url = f"http://127.0.0.1:{free_port()}"
    log = folder / LOG
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "stacks.py").write_text(STACKS.format(folder=folder))
    with log.open("wb") as output:
        server = subprocess.Popen(
            _command(url, root),
            cwd=root,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(),
        )
    try:
        _wait_until_up(server, url, log)
        yield Lab(url, root)
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def open_notebook(page: Page, lab: Lab, notebook: str) -> None:
    """Open a notebook, named from the server's root, and wait for its idle kernel."""
    page.goto(f"{lab.url}/lab/tree/{notebook}?reset")
    page.wait_for_function("() => window.jupyterapp", timeout=60_000)
    page.evaluate("async () => { await jupyterapp.restored }")
    page.wait_for_function(f"() => {KERNEL_IS_IDLE}", timeout=60_000)


def run_all(page: Page, lab: Lab, notebook: str, *, timeout: float = 120.0) -> None:
    """Open a notebook, named from the server's root, and run it to its end or to its first error."""
    open_notebook(page, lab, notebook)
    # The command resolves when the last cell has run, or one has failed.
    page.evaluate(
        "() => { jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { window.ran = true }) }"
    )
    try:
        page.wait_for_function(f"() => window.ran && {KERNEL_IS_IDLE}", timeout=timeout * 1000)
    except TimeoutError as error:
        raise AssertionError(f"not all cells have run: {page.evaluate(WHERE_IT_IS)}") from error
    if not error_outputs(page):
        page.wait_for_function(
            f"() => {CODE_CELLS}.every(cell => cell.model.executionCount !== null"
            " || cell.model.sharedModel.getSource().trim() === '')"
        )


def write_notebook(lab: Lab, name: str, *cells: str, kernel: str = "python3") -> str:
    """Write a notebook of code cells into the server's root, and return its name."""
    kernelspec = {"name": kernel, "display_name": kernel}  # otherwise JupyterLab asks which
    code = [nbformat.v4.new_code_cell(cell) for cell in cells]
    notebook = nbformat.v4.new_notebook(cells=code, metadata={"kernelspec": kernelspec})
    nbformat.write(notebook, lab.root / name)
    return name


def run_code(page: Page, code: str) -> None:
    """Run code in the kernel of the active notebook, outside its cells; fail with its traceback."""
    reply: dict[str, Any] = page.evaluate(
        "async code => (await jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        ".requestExecute({ code, stop_on_error: false }).done).content",
        code,
    )
    assert reply["status"] == "ok", "\n".join(reply.get("traceback", [str(reply)]))


def show_theme(page: Page, theme: str) -> None:
    """Change JupyterLab's theme and wait until it is applied."""
    page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    light = str("Light" in theme).lower()
    page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=light)
    page.wait_for_function("() => !document.querySelector('#jupyterlab-splash')")


def error_outputs(page: Page) -> list[dict[str, Any]]:
    """Return the `error` outputs of the active notebook in nbformat: ename, evalue, traceback."""
    outputs: list[dict[str, Any]] = page.evaluate(
        f"() => {CODE_CELLS}.flatMap(cell => cell.model.outputs.toJSON())"
        ".filter(output => output.output_type === 'error')"
    )
    return outputs


def _command(url: str, root: Path) -> list[str]:
    # No token and XSRF check: the server is on loopback, for one test run.
    return [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={httpx.URL(url).port}",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=",
        "--ServerApp.password=",
        "--ServerApp.disable_check_xsrf=True",
        f"--ServerApp.root_dir={root}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly",
    ]


def _environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "HOME": str(folder),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "MPLCONFIGDIR": str(folder / "matplotlib"),
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONPATH": str(ROOT),  # kernels import the chatlab that is tested, installed or not
    }


def _turn_off_news(settings: Path) -> None:
    file = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    file.parent.mkdir(parents=True)
    file.write_text('{"fetchNews": "false", "checkForUpdates": false}', encoding="utf-8")


def _wait_until_up(server: subprocess.Popen[bytes], url: str, log: Path, timeout: float = 180.0) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"JupyterLab ended with {server.returncode}:\n{log.read_text()}")
        try:
            httpx.get(f"{url}/api", trust_env=False).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"JupyterLab was not up after {timeout} s:\n{log.read_text()}")
