"""The wheel works alone: in an empty environment, with an empty home, in an empty folder.

The environment has the libraries of the one that runs the tests, and only the wheel of the checkout.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from pathlib import Path
from typing import IO, NamedTuple

import httpx
import pytest
from packaging.requirements import Requirement

from chatlab.lab import FOLDER, START
from tests.docs import badges
from tests.docs.blocks import ROOT
from tests.http_clients import blocking_client
from tests.test_repo import declared

pytestmark = [pytest.mark.proof, pytest.mark.xdist_group("wheel")]

LINK = re.compile(r"\]\(([^)\s]+)\)")
RUN_NOTEBOOK = """\
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=120).execute()
nbformat.write(notebook, sys.argv[2])
"""


class Installed(NamedTuple):
    """An environment with the wheel in it."""

    bin: Path
    environment: dict[str, str]
    wheel: Path

    def run(self, *command: str, folder: Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment to its end."""
        program = [str(self.bin / command[0]), *command[1:]]
        return subprocess.run(
            program,
            cwd=folder,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )

    @contextmanager
    def running(self, *command: str, folder: Path) -> Iterator[IO[str]]:
        """Run a program of the environment; yield its output."""
        program = [str(self.bin / command[0]), *command[1:]]
        with subprocess.Popen(
            program,
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout
            try:
                yield process.stdout
            finally:
                process.terminate()
                process.stdout.read()  # to its end


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, built from the checkout and installed."""
    base = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(base / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (base / "dist").iterdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(base / "env")], check=True)
    python = base / "env" / "bin" / "python"
    options = ["--python", str(python), "install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *options], check=True)
    (site,) = (base / "env" / "lib").glob("python*/site-packages")
    # A path in a .pth file brings libraries, but not the .pth file of the checkout, which lies among them.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    (base / "home").mkdir()
    share = Path(sys.prefix) / "share" / "jupyter"
    environment = {
        "HOME": str(base / "home"),
        "IPYTHONDIR": str(base / "home" / "ipython"),
        "JUPYTERLAB_DIR": str(share / "lab"),
        "JUPYTER_PATH": str(share),
        "LANG": "C.UTF-8",
        "PATH": os.pathsep.join([str(python.parent), os.defpath]),
        "PYTHONUNBUFFERED": "1",
        "USER": "ada",
    }
    return Installed(python.parent, environment, wheel)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    return tmp_path


def wait_for(printed: IO[str], pattern: str) -> re.Match[str]:
    """Return the first match in a program's output."""
    lines = []
    for line in printed:
        lines.append(line)
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"{pattern!r} never came:\n{''.join(lines)}")


def test_the_wheel_has_every_file_of_the_package_and_the_notebooks(installed: Installed) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "chatlab", "notebooks/*.ipynb"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split("\n")
    wanted = {re.sub("^notebooks/", "chatlab/notebooks/", name) for name in tracked if name}
    with zipfile.ZipFile(installed.wheel) as wheel:
        assert {name for name in wheel.namelist() if ".dist-info/" not in name} >= wanted
        tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"chatlab"}


def test_its_metadata_has_dependencies_and_links_that_lead_to_the_repository(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
        metadata = message_from_bytes(wheel.read(name))
    wanted = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    assert {each.name.lower().replace("_", "-") for each in wanted if not each.marker} == declared()
    page = metadata.get_payload()
    assert isinstance(page, str)
    targets = LINK.findall(page)
    assert [target for target in targets if not re.match("https://|#", target)] == []
    home = badges.address()
    inside = [target.removeprefix(f"{home}/") for target in targets if target.startswith(f"{home}/")]
    assert len(inside) > 20
    for target in inside:
        kind, _, path = target.split("/", 2)
        assert kind == ("raw" if path.endswith(".png") else "blob")
        assert (ROOT / path.partition("#")[0]).is_file()


def test_it_is_the_wheel_that_runs_and_not_the_checkout(installed: Installed, folder: Path) -> None:
    script = "import chatlab; print(chatlab.__file__, chatlab.__version__)"
    file, version = installed.run("python", "-c", script, folder=folder).stdout.split()
    assert Path(file).is_relative_to(installed.bin.parent)
    assert installed.wheel.name.startswith(f"chatlab-{version}-")
    assert installed.run("chatlab", "--version", folder=folder).stdout == f"chatlab {version}\n"


def test_it_simulates(installed: Installed, folder: Path) -> None:
    ended = installed.run("chatlab", "simulate", "thundering_herd", folder=folder)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("All 1,000 people are back, ")
    assert re.search(r"│ broken +│ +1,000 +│", ended.stdout)


def test_it_serves_and_chats(installed: Installed, folder: Path) -> None:
    with installed.running("chatlab", "serve", "--port", "0", folder=folder) as printed:
        url = wait_for(printed, r"serving (http://127\.0\.0\.1:\d+)")[1]
        chatted = installed.run("chatlab", "chat", url, folder=folder, given="one\ntwo\n")
        assert chatted.returncode == 0, chatted.stderr
        assert re.findall("one|two", chatted.stdout) == ["one", "two"]


def test_it_opens_jupyterlab_on_a_copy_of_the_start_notebook(installed: Installed, folder: Path) -> None:
    with installed.running("chatlab", "lab", folder=folder) as printed:
        originals = list((ROOT / "notebooks").glob("*.ipynb"))
        wait_for(printed, rf"copied into {re.escape(str(folder / FOLDER))}: {len(originals)}$")
        base, token = wait_for(
            printed, rf"(http://127\.0\.0\.1:\d+)/lab/tree/{re.escape(START)}\?token=(\w+)"
        ).groups()
        patient = httpx.HTTPTransport(retries=8)  # JupyterLab prints its address before it listens
        with blocking_client(base, headers={"Authorization": f"token {token}"}, transport=patient) as client:
            found = client.get(f"/api/contents/{START}").json()
            assert found["content"]["cells"]
            assert client.get(f"/lab/tree/{START}").status_code == 200
            setting = "@jupyterlab/apputils-extension:notification"
            fields = client.get(f"/lab/api/settings/{setting}").json()["schema"]["properties"]
            assert (fields["fetchNews"]["default"], fields["checkForUpdates"]["default"]) == ("false", False)
    assert (folder / FOLDER / START).read_bytes() == (ROOT / "notebooks" / START).read_bytes()


def test_a_panel_shows_in_the_start_notebook(installed: Installed, folder: Path) -> None:
    copied = "from chatlab.lab import *; copy_notebooks(originals(), FOLDER)"
    assert installed.run("python", "-c", copied, folder=folder).returncode == 0
    ended = installed.run("python", "-c", RUN_NOTEBOOK, str(FOLDER / START), "ran.ipynb", folder=folder)
    assert ended.returncode == 0, ended.stderr
    notebook = json.loads((folder / "ran.ipynb").read_bytes())
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert "application/vnd.jupyter.widget-view+json" in kinds
    pages = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]  # text or its lines
    assert any("chatlab-transcript" in page for page in pages)
    assert [output for output in outputs if output["output_type"] == "error"] == []
