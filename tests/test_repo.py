import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
HEAVY = {"IPython", "ipykernel", "ipywidgets", "anywidget", "matplotlib", "pandas"}


def loaded(module: str) -> set[str]:
    """Return the packages that a program has loaded that imports a module of this checkout."""
    script = f"import json, sys, chatlab, {module}; print(json.dumps([chatlab.__file__, *sys.modules]))"
    output = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    file, *modules = json.loads(output)
    assert Path(file) == ROOT / "chatlab" / "__init__.py"
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize(
    ("module", "needless"),
    [("chatlab", set[str]()), ("chatlab.live.server.embedded_server", {"httpx", "pydantic", "rich"})],
    ids=["chatlab", "server"],
)
def test_an_import_loads_nothing_heavy(module: str, needless: set[str]) -> None:
    packages = loaded(module)
    assert not packages & (HEAVY | needless)
    assert not {name for name in packages if name.startswith("jupyter")}


# Written so that no pattern matches its own text.
TRACES = re.compile(
    r"/(?:home|Users)/\w|/roo[t]/"
    r"|\b(?:pypi\.org|pythonhosted\.org|registry\.npmjs\.org|registry\.yarnpkg\.com|conda\.anaconda\.org)"
    r"|(?<![\w./:-])" + re.escape(f"{ROOT}/")
)


@pytest.mark.parametrize(
    "text",
    [
        "see /ho" + "me/ada/x",
        "C=/Use" + "rs/ada",
        "/roo" + "t/.cache",
        "https://pypi" + ".org/simple",
        f"{ROOT}/x",
    ],
)
def test_traces_of_a_machine_are_recognised(text: str) -> None:
    assert TRACES.search(text)


@pytest.mark.slow
def test_no_file_holds_traces_of_a_machine_or_a_registry() -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    files = [ROOT / name for name in listing.split("\0") if name]
    assert ROOT / "pyproject.toml" in files
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for file in files
        if file.is_file()
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="ignore").splitlines(), 1)
        if TRACES.search(line)
    ]
    assert found == []


def test_binder_installs_what_the_project_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    extras = project["optional-dependencies"]
    voila = [line for line in extras["test"] if line.startswith("voila")]
    wanted = [*project["dependencies"], *extras["lab"], *voila]
    assert [line for line in lines if not line.startswith("#")] == sorted(wanted)


UNSEEN = {"sniffio", "tomli-w"}
"""Dependencies that only other libraries import: httpcore, and msgspec when it writes TOML."""


IMPORT = re.compile(
    r"^[ \t]*(?:from ([\w.]+) import |import ([\w.]+)(?: as \w+)?[ \t]*(?:#.*)?$)", re.MULTILINE
)
"""An import, also in a script that a test runs. Parsing all files would take three seconds."""


def imported(folder: str) -> set[str]:
    """Return the distributions that the code in a folder imports, by their normalized names."""
    modules = {
        name.partition(".")[0]
        for path in (ROOT / folder).rglob("*.py")
        if "node_modules" not in path.parts
        for groups in IMPORT.findall(path.read_text(encoding="utf-8"))
        for name in groups
    }
    modules.discard("")
    owners = packages_distributions()
    ours = {"chatlab", "tests", "bench"}
    return {
        str(canonicalize_name(owners.get(module, [module])[0]))
        for module in modules - ours - sys.stdlib_module_names
    }


def declared(*extras: str) -> set[str]:
    """Return the distributions that the project asks for, by their normalized names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        *project["dependencies"],
        *(line for e in extras for line in project["optional-dependencies"][e]),
    ]
    return {str(canonicalize_name(Requirement(line).name)) for line in lines} - {"chatlab"}


@pytest.mark.slow
def test_what_the_package_imports_is_declared_and_nothing_else() -> None:
    assert imported("chatlab") == declared("postgresql") - UNSEEN
    assert declared() >= UNSEEN


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["tests", "bench"])
def test_what_tests_and_benchmarks_import_is_declared(folder: str) -> None:
    lines = (ROOT / "bench" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    asked = [line.partition("#")[0].strip() for line in lines]
    measured = {canonicalize_name(Requirement(line).name) for line in asked if line}
    assert imported(folder) - measured - declared("lab", "dask", "postgresql", "test") == set()


@pytest.mark.slow
def test_what_is_pinned_installs_on_the_oldest_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    tried = {
        name: metadata["Requires-Python"] if "Requires-Python" in (metadata := distribution.metadata) else ""
        for distribution in distributions()
        if pinned.get(name := distribution.name) == distribution.version
    }
    assert len(tried) > 50
    assert {name: wanted for name, wanted in tried.items() if oldest not in SpecifierSet(wanted)} == {}


def test_constraints_record_no_origin() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"#.*|[\w.-]+==[\w.]+", line)] == []
