"""Every code block of README and docs is run, or only parsed if it would never end."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
from typer.testing import CliRunner

from chatlab import Scenario
from chatlab.cli import app
from tests.docs.blocks import PAGES, ROOT, Block, blocks, commands, run_python

LANGUAGES = {"python", "py", "toml", "sh", "text", "nginx", "haproxy", "js", ""}
"""`py` is Python that needs the reader's own server, and is only compiled. `tests/browser` and
`tests/interop` run `js`, `nginx` and `haproxy`."""

OWN_TEST = {"dialects.md"}
"""Pages whose Python is one program; a test of its own compares the output."""

SMALLER = {
    "count = 1000\nrooms = 50": "count = 40\nrooms = 4",
    '"people.count": [500, 1000]': '"people.count": [20, 40]',
    "range(5)": "range(2)",
    "people.count=500,1000": "people.count=20,40",
    "people.count=5000": "people.count=50",
    "--seeds 5": "--seeds 2",
}
"""Replacements that make a page's crowds small, to save time."""

OUTAGE = """\
duration = 20.0
[people]
count = 3
send_rate = 0.1
[[faults]]
kind = "server_down"
at = 5.03
duration = 3.0
"""
"""The outage.toml of pages that don't contain it."""

QUICK = {"simulate", "sweep", "find", "compare", "scenarios"}
"""The commands that end by themselves."""


def smaller(block: Block) -> Block:
    text = block.text
    for much, little in SMALLER.items():
        text = text.replace(much, little)
    return block._replace(text=text)


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def guide(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page, run in a folder with the files that it contains."""
    path: Path = request.param
    (tmp_path / "outage.toml").write_text(OUTAGE, encoding="utf-8")
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.language == "toml" and (name := re.match(r"# (\S+\.toml)\n", block.text)):
            (tmp_path / name[1]).write_text(smaller(block).text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return path


def test_its_languages_are_tried(guide: Path) -> None:
    assert {block.language for block in blocks(guide.read_text(encoding="utf-8"))} <= LANGUAGES


def test_its_scenarios_are_read(guide: Path) -> None:
    for block in blocks(guide.read_text(encoding="utf-8")):
        if block.language == "toml":
            Scenario.from_toml(block.text)


@pytest.mark.slow
def test_its_python_runs(guide: Path) -> None:
    names: dict[str, Any] = {"__name__": "__page__"}
    for block in blocks(guide.read_text(encoding="utf-8")):
        if block.language == "py" or (block.language == "python" and guide.name in OWN_TEST):
            compile(block.text, guide.name, "exec")
        elif block.language == "python":
            run_python(smaller(block), names, guide.name)


@pytest.mark.slow
def test_its_commands_run(guide: Path) -> None:
    for block in blocks(guide.read_text(encoding="utf-8")):
        if block.language == "sh":
            for words in commands(smaller(block)):
                try_command(words)


def try_command(words: list[str]) -> None:
    """Run a command; only parse it if it doesn't end or changes this machine."""
    match words:
        case ["chatlab", command, *rest] if command in QUICK:
            ended = CliRunner().invoke(app, [command, *rest])
            assert ended.exit_code == 0, ended.output
        case ["chatlab", command, *rest]:
            group = typer.main.get_group(app)
            found = group.get_command(typer.Context(group), command)
            assert found is not None
            found.make_context(command, [*rest])
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        case ["python", "-m", module, *_]:
            subprocess.run(
                [sys.executable, "-c", f"import importlib.util as u; assert u.find_spec({module!r})"],
                cwd=ROOT,
                check=True,
            )
        case _:
            raise AssertionError(f"no rule for running {words}")


def test_what_is_made_smaller_is_on_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [much for much in SMALLER if much not in text] == []


def test_a_wrong_block_is_noticed(tmp_path: Path) -> None:
    python, shell = blocks(
        "```python\nimport asyncio\nawait asyncio.sleep(0)\nx = 1 / 0\n```\n"
        "```sh\nchatlab serve --prot 1\n```\n"
    )
    with pytest.raises(ZeroDivisionError):
        run_python(python, {}, "page")
    (words,) = commands(shell)
    with pytest.raises(Exception, match="No such option"):
        try_command(words)
    with pytest.raises(AssertionError, match="there is no scenario or file"):
        try_command(["chatlab", "simulate", str(tmp_path / "none.toml")])
    with pytest.raises(AssertionError, match="no rule for running"):
        try_command(["curl"])
