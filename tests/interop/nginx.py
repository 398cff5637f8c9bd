"""A real nginx with nchan on loopback: its own configuration, in a folder of its own, as nobody."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.requirements import NCHAN, find

CONFIG = """
load_module {module};
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp;
    scgi_temp_path temp;
    nchan_message_buffer_length 10000;
    server {{
        listen 127.0.0.1:{port};
        location ~ ^/ws/(\\w+)$ {{ nchan_pubsub; nchan_channel_id $1; }}
        location ~ ^/sub/(\\w+)$ {{ nchan_subscriber; nchan_channel_id $1; nchan_subscriber_timeout 20s; }}
        location ~ ^/poll/(\\w+)$ {{ nchan_subscriber intervalpoll; nchan_channel_id $1; }}
        location ~ ^/pub/(\\w+)$ {{ nchan_publisher; nchan_channel_id $1; }}

        # Only listens; sends batches; lets go of who is idle; keeps the last five only.
        location ~ ^/listen/(\\w+)$ {{ nchan_subscriber; nchan_channel_id $1; }}
        location ~ ^/batch/(\\w+)$ {{
            nchan_subscriber longpoll; nchan_channel_id $1; nchan_subscriber_timeout 20s;
            nchan_longpoll_multipart_response on;
        }}
        location ~ ^/hasty/(\\w+)$ {{ nchan_pubsub; nchan_channel_id $1; nchan_subscriber_timeout 1s; }}
        location ~ ^/brief/(\\w+)$ {{
            nchan_publisher; nchan_channel_id $1; nchan_message_buffer_length 5;
        }}
    }}
}}
"""
PATIENCE = 10.0


class Nginx:
    """A running nginx, for so many connections. `url` is its root, `complaints` its log when it has ended."""

    def __init__(self, connections: int = 256) -> None:
        self._connections = connections
        self.folder = Path(tempfile.mkdtemp(prefix="chatlab-nginx-"))
        # Who runs the tests may be root, which nginx needs no rights of.
        self._nobody: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(self.folder, "nobody", "nogroup")
        self.url = self.complaints = ""

    def __enter__(self) -> Self:
        program = find("nginx")
        assert program is not None
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        (self.folder / "temp").mkdir(mode=0o777)
        (self.folder / "nginx.conf").write_text(
            CONFIG.format(module=NCHAN, port=port, connections=self._connections), encoding="utf-8"
        )
        self._log = (self.folder / "log").open("w+b")
        command = [str(program), "-p", str(self.folder), "-c", "nginx.conf", "-e", "stderr"]
        if self._nobody:  # nchan wants nginx's own folders, which root's first start makes.
            subprocess.run([*command, "-t"], check=True, capture_output=True)
            (self.folder / "nginx.pid").unlink()  # Which would be root's.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            **self._nobody,
        )
        self.url = f"http://127.0.0.1:{port}"
        self._wait_until_it_listens(port)
        return self

    def _wait_until_it_listens(self, port: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"nginx didn't start: {self.complaints}")
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        """The number of its master process."""
        return self._process.pid

    def publish(self, channel: str, *bodies: str | bytes, to: str = "pub", **headers: str) -> list[str]:
        """Post to a channel, as anybody can; return the messages' ids."""
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            answers = [
                client.post(f"/{to}/{channel}", content=body, headers={"Accept": "text/json", **headers})
                for body in bodies
            ]
        return [answer.raise_for_status().json()["last_message_id"] for answer in answers]

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        self.complaints = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        shutil.rmtree(self.folder)
