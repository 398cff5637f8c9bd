"""The version of the installed package, taken from the release's tag."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("chatlab")
except PackageNotFoundError:
    __version__ = "0.0.0+uninstalled"
