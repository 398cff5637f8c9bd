"""A real PostgreSQL server, Debian's, in a folder of its own: on a unix socket and on loopback."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from tests.processes import die_with_parent, free_port
from tests.requirements import find

PATIENCE = 60.0


class Postgres:
    """A running server, whose user `postgres` needs no password."""

    def __init__(self) -> None:
        program = find("postgresql")
        assert program is not None
        self._programs = program.parent
        self.folder = Path(tempfile.mkdtemp(prefix="chatlab-postgres-"))
        self.port = free_port()
        self._numbers = count(1)
        self._other_user: dict[str, Any] = {}
        if os.geteuid() == 0:  # It refuses to run as root.
            self._other_user = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(self.folder, "postgres", "postgres")
        options = ["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
        command = [str(self._programs / "initdb"), f"--pgdata={self.folder / 'data'}", *options]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **self._other_user)
        self.start()

    @property
    def root(self) -> str:
        """The URL of the server on its unix socket, without a database."""
        return f"postgresql://postgres@/postgres?host={self.folder}&port={self.port}"

    def url(self, database: str) -> str:
        """Return the URL of a database on its loopback port."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Return the URL of a new database."""
        name = f"chat{next(self._numbers)}"
        with psycopg.connect(self.root, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY wal_log".encode())
        return self.url(name)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder), "fsync": "off",
            "max_connections": "50", "shared_buffers": "16MB",
        }  # fmt: skip
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                preexec_fn=die_with_parent(), **self._other_user,
            )  # fmt: skip
        until = time.monotonic() + PATIENCE
        while True:
            try:
                psycopg.connect(self.root).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > until:
                    text = (self.folder / "log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL didn't start: {text}") from None
                time.sleep(0.02)

    def stop(self) -> None:
        """Stop it at once; all connections break."""
        self._process.send_signal(signal.SIGINT)  # its "fast" shutdown
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Stop it, and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder)


@cache
def postgres() -> Postgres:
    """Return the server of this test run, which ends with it."""
    server = Postgres()
    atexit.register(server.close)
    return server
