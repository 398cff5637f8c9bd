"""The version comes from the installed package only."""

from __future__ import annotations

import importlib
from importlib import metadata

import pytest

import chatlab
from chatlab import version


def test_it_is_that_of_the_installed_package() -> None:
    assert chatlab.__version__ == metadata.version("chatlab")


def test_sources_that_were_never_installed_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    with monkeypatch.context() as patch:
        patch.setattr(metadata, "version", absent)
        assert importlib.reload(version).__version__ == "0.0.0+uninstalled"
    importlib.reload(version)
