"""Lazy names are loaded once, on first use, and only if they are public."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from chatlab.errors import OutboxFull
from chatlab.lazy import lazy_names


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    get, offered = lazy_names("example", {"errors": "OutboxFull", "messages": "ChatMessage ChatEvent"})
    vars(module).update(__getattr__=get, __dir__=offered)
    return module


def test_a_name_comes_from_its_module_and_stays(package: ModuleType) -> None:
    assert "OutboxFull" not in vars(package)
    assert package.OutboxFull is OutboxFull
    assert vars(package)["OutboxFull"] is OutboxFull


def test_another_name_is_refused(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=r"module 'example' has no attribute 'InvalidMessage'"):
        package.InvalidMessage  # noqa: B018


def test_it_lists_what_it_offers(package: ModuleType) -> None:
    assert dir(package) == ["ChatEvent", "ChatMessage", "OutboxFull"]
