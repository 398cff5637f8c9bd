"""Servers of other projects."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.interop.nginx import Nginx

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def nginx() -> Iterator[Nginx]:
    """Start one nginx for all tests; each test has channels of its own. It must not log any error."""
    with Nginx() as server:
        yield server
    assert not server.complaints, server.complaints


@pytest.fixture
def channel() -> str:
    """Return a channel that no other test uses."""
    return f"c{next(_numbers)}"
