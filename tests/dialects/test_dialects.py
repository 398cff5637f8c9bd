"""Dialects are found by name."""

from __future__ import annotations

import pytest

from chatlab.dialects import DIALECTS, find_dialect
from chatlab.dialects.base import Dialect
from chatlab.errors import SettingsError


def test_dialects_are_found_by_their_names() -> None:
    assert {"chatlab", "text", "nchan"} <= set(DIALECTS)
    assert all(find_dialect(name).name == name for name in DIALECTS)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"no 'morse'; choose one of chatlab, .*text"):
        find_dialect("morse")


def test_a_dialect_of_the_users_own_is_returned_as_it_is() -> None:
    class Own(Dialect):
        name = "own"

    own = Own()
    assert find_dialect(own) is own
