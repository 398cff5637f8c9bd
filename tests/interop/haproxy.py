"""A real HAProxy on loopback, with a configuration from docs/deploying.md, as nobody."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import die_with_parent, free_port, wait_until_listening
from tests.requirements import find


@contextmanager
def haproxy(text: str) -> Iterator[str]:
    """Run HAProxy with this configuration, in which PORT stands for its port; yield its root URL."""
    program = find("haproxy")
    assert program is not None
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="chatlab-haproxy-"))
    nobody: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        shutil.chown(folder, "nobody", "nogroup")
    (folder / "haproxy.cfg").write_text(text.replace("PORT", str(port)), encoding="utf-8")
    with (folder / "log").open("w+b") as log:
        process = subprocess.Popen(
            [str(program), "-db", "-f", str(folder / "haproxy.cfg")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent(), **nobody,
        )  # fmt: skip
        try:
            if not wait_until_listening(process, port):
                raise RuntimeError(f"HAProxy didn't start: {(folder / 'log').read_text(errors='replace')}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(folder)
