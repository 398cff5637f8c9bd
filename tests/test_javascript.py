"""The widgets' JavaScript, tested by Node with happy-dom for a browser: one test per file of tests/js."""

from pathlib import Path

import pytest

from tests import node


@pytest.fixture(scope="session")
def happy_dom() -> None:
    node.install()


@pytest.mark.requires("node")
@pytest.mark.parametrize("file", sorted(node.FOLDER.glob("*.test.mjs")), ids=lambda file: file.name)
def test_javascript(happy_dom: None, file: Path) -> None:
    node.run("node", "--test", file)
