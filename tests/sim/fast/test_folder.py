"""The plain simulator does without the short cuts, and doesn't know of them."""

from __future__ import annotations

import re
from pathlib import Path

import chatlab

FAST = re.compile(r"sim[./]fast")


def test_only_find_model_names_the_folder() -> None:
    package = Path(chatlab.__file__).parent
    plain = [path for path in package.rglob("*.py") if "fast" not in path.relative_to(package).parts]
    naming = {path.relative_to(package).as_posix() for path in plain if FAST.search(path.read_text("utf-8"))}
    assert naming == {"sim/model.py"}
