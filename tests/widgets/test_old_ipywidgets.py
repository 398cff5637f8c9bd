"""An ipywidgets that is too old, as Colab has it, is reported in one sentence."""

from __future__ import annotations

import importlib
import tomllib

import ipywidgets
import pytest

import chatlab.widgets
from tests.docs.blocks import ROOT


def test_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipywidgets, "__version__", "7.7.1")
    with pytest.raises(ImportError, match=r"need ipywidgets 8, and this is 7\.7\.1; run pip install") as told:
        importlib.reload(chatlab.widgets)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (wanted,) = [line for line in project["dependencies"] if line.startswith("ipywidgets")]
    assert f"'{wanted}'" in str(told.value)
