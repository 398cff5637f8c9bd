"""The programs that some tests need besides Python, their paths and how to install them."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
SYNAPSE = Path(__file__).parents[1] / "build" / "synapse" / "bin" / "python"


@dataclass(frozen=True)
class Requirement:
    """A program, and how to install it."""

    find: Callable[[], str | None]
    install: str


def _on_path(*names: str) -> str | None:
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin"  # nginx's folder, not on every user's PATH
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


REQUIREMENTS = {
    "chromium": Requirement(
        lambda: _on_path(os.environ.get("CHROMIUM") or "chromium"),
        "apt-get install --no-install-recommends chromium fonts-dejavu-core, or a browser's path in CHROMIUM",
    ),
    "node": Requirement(
        lambda: _on_path("node") if _on_path("npm") else None,
        "Node.js 20 or newer with npm",
    ),
    "haproxy": Requirement(
        lambda: _on_path("haproxy"),
        "apt-get install --no-install-recommends haproxy",
    ),
    "mosquitto": Requirement(
        lambda: _on_path("mosquitto"),
        "apt-get install --no-install-recommends mosquitto",
    ),
    "nginx": Requirement(
        lambda: _on_path("nginx") if NCHAN.exists() else None,
        "apt-get install --no-install-recommends nginx libnginx-mod-nchan",
    ),
    "postgresql": Requirement(
        lambda: max(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None),
        "apt-get install --no-install-recommends postgresql",
    ),
    "prosody": Requirement(
        lambda: _on_path("prosody"),
        "apt-get install --no-install-recommends prosody",
    ),
    "synapse": Requirement(
        lambda: str(SYNAPSE) if SYNAPSE.with_name("synctl").exists() else None,
        "make build/synapse/.installed",
    ),
}


def find(name: str) -> Path | None:
    """Return the path of a program; None if it is missing."""
    found = REQUIREMENTS[name].find()
    return Path(found) if found else None
