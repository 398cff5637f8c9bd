"""The widgets' JavaScript, tested by Node in one process, with happy-dom for a browser."""

import pytest

from tests import node


@pytest.mark.slow
@pytest.mark.sized
@pytest.mark.requires("node")
def test_javascript() -> None:
    node.install()
    node.run("node", "all.mjs")
