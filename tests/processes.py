"""Servers that tests start end with the test run, even if it is killed."""

import ctypes
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

PR_SET_PDEATHSIG = 1
PATIENCE = 60.0
"""Seconds in which a program must listen, on a busy machine too."""


def free_port() -> int:
    """Return a port for a program that is started later, below those that the system gives to any listener or
    client: another test's server must not take it meanwhile."""
    while True:
        port = random.randrange(15_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def die_with_parent() -> Callable[[], object] | None:
    """Return a `preexec_fn` by which a child gets SIGTERM when the thread that started it ends (Linux)."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)  # loaded here: between fork and exec hardly anything is safe
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wait_until_listening(process: subprocess.Popen[bytes], port: int) -> bool:
    """Return True once something listens on the loopback `port`; False if the process ends before, or after
    `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return True
        time.sleep(0.01)
    return False


def serve(*options: str, stderr: int | None = None, limit_file_size: int = 0) -> subprocess.Popen[str]:
    """Start `chatlab serve`; its files can't exceed `limit_file_size` bytes, unless that is 0."""
    die = die_with_parent()

    def prepare() -> None:
        if die is not None:
            die()
        if limit_file_size:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_file_size, limit_file_size))

    command = [sys.executable, "-c", "from chatlab.cli import app; app()", "serve", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, preexec_fn=prepare)


def address_of(server: subprocess.Popen[str]) -> str:
    """Wait until `chatlab serve` is ready; return its address for WebSockets."""
    assert server.stdout
    line = server.stdout.readline()
    found = re.match(r"chatlab is serving http://127\.0\.0\.1:.*WebSocket: (\S+)\)$", line)
    assert found, server.stderr.read() if server.stderr else line
    return found[1]


@contextmanager
def served(*options: str, limit_file_size: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `chatlab serve` as a process; yield it with its address for WebSockets."""
    with serve(*options, stderr=subprocess.PIPE, limit_file_size=limit_file_size) as process:
        try:
            yield process, address_of(process)
        finally:
            process.kill()


def interpreted(code: str) -> tuple[int, str, str]:
    """Return the exit code, the output and the errors of an interpreter that runs this code. A warning is an
    error there."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stdout, done.stderr
