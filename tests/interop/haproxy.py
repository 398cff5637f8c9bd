"""A real HAProxy on loopback, with a configuration from docs/deploying.md, as nobody."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.processes import die_with_parent, free_port
from tests.requirements import find

PATIENCE = 60.0


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
            until = time.monotonic() + PATIENCE
            while True:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                    break
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(
                        f"HAProxy didn't start: {(folder / 'log').read_text(errors='replace')}"
                    )
                time.sleep(0.01)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(folder)
