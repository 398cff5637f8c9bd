"""The machine and the versions of a benchmark, without anything that identifies its owner or place."""

import os
import platform
import re
from importlib import metadata
from pathlib import Path

PEERS = Path(__file__).with_name("requirements.txt")


def machine() -> str:
    """Return the processor, the system, and the versions of Python, chatlab's dependencies and peers."""
    own = {_bare(line) for line in metadata.requires("chatlab") or () if "extra ==" not in line}
    peers = PEERS.read_text(encoding="utf-8").splitlines()
    names = sorted(own | {_bare(line) for line in peers if line and not line.startswith("#")}, key=str.lower)
    versions = ", ".join(f"{name} {version}" for name in names if (version := _version(name)))
    return (
        f"{_processor()}, {_cores()} cores; {_system()}; {platform.python_implementation()} "
        f"{platform.python_version()}; {versions}."
    )


def _bare(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None
    return found[0]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        known = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        known = ""
    model = re.search(r"^model name\s*: (.+)$", known, re.MULTILINE)
    return model[1] if model else platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform(terse=True)
