"""A real nginx on loopback, with nchan or as a proxy: configured and in a folder of its own, as nobody."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.docs.blocks import ROOT, blocks
from tests.http_clients import blocking_client
from tests.processes import PATIENCE, die_with_parent, free_port, wait_until_listening
from tests.requirements import NCHAN, find

CONFIG = """
{modules}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp;
    scgi_temp_path temp;
    {http}
}}
"""
CHANNELS = r"""
    nchan_message_buffer_length 10000;
    server {
        listen 127.0.0.1:PORT;
        location ~ ^/ws/(\w+)$ { nchan_pubsub; nchan_channel_id $1; }
        location ~ ^/sub/(\w+)$ { nchan_subscriber; nchan_channel_id $1; nchan_subscriber_timeout 20s; }
        location ~ ^/poll/(\w+)$ { nchan_subscriber intervalpoll; nchan_channel_id $1; }
        location ~ ^/pub/(\w+)$ { nchan_publisher; nchan_channel_id $1; }

        # Only listens; sends batches; lets go of who is idle; keeps the last five only.
        location ~ ^/listen/(\w+)$ { nchan_subscriber; nchan_channel_id $1; }
        location ~ ^/batch/(\w+)$ {
            nchan_subscriber longpoll; nchan_channel_id $1; nchan_subscriber_timeout 20s;
            nchan_longpoll_multipart_response on;
        }
        location ~ ^/hasty/(\w+)$ { nchan_pubsub; nchan_channel_id $1; nchan_subscriber_timeout 1s; }
        location ~ ^/brief/(\w+)$ {
            nchan_publisher; nchan_channel_id $1; nchan_message_buffer_length 5;
        }
    }
"""
"""The `http` block of a server of nchan's channels."""
DEPLOYED = {
    "listen 443 ssl;": "listen 127.0.0.1:PORT ssl;",
    "/etc/ssl/chat.example.pem": "chain.pem",
    "/etc/ssl/chat.example.key": "chain.pem",
    "http://127.0.0.1:8000": "UPSTREAM",
}
"""Replacements in the configuration of docs/deploying.md."""


def deployed(upstream: str) -> str:
    """Return the `http` block of docs/deploying.md, in front of this server."""
    page = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    [text] = [block.text for block in blocks(page) if block.language == "nginx" and " ssl;" in block.text]
    for there, here in DEPLOYED.items():
        assert there in text, f"docs/deploying.md has no {there!r} any more"
        text = text.replace(there, here)
    return text.replace("UPSTREAM", upstream)


class Nginx:
    """A running nginx, for `connections` connections. `url` is its root, `complaints` its log once it has
    ended.

    `http` is its `http` block, in which PORT stands for its port (0: a free one), with TLS if there is a
    `chain` (PEM).
    """

    def __init__(
        self, http: str = CHANNELS, connections: int = 256, chain: bytes = b"", port: int = 0
    ) -> None:
        self._http = http
        self._port = port
        self._connections = connections
        self._chain = chain
        self.folder = Path(tempfile.mkdtemp(prefix="chatlab-nginx-"))
        # The tests may run as root, whose rights nginx doesn't need.
        self._nobody: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(self.folder, "nobody", "nogroup")
        self.url = self.complaints = ""

    def __enter__(self) -> Self:
        program = find("nginx")
        assert program is not None
        port = self._port or free_port()
        (self.folder / "temp").mkdir(mode=0o777)
        (self.folder / "chain.pem").write_bytes(self._chain)
        modules = f"load_module {NCHAN};" if "nchan" in self._http else ""
        http = self._http.replace("PORT", str(port))
        text = CONFIG.format(modules=modules, connections=self._connections, http=http)
        (self.folder / "nginx.conf").write_text(text, encoding="utf-8")
        self._log = (self.folder / "log").open("w+b")
        command = [str(program), "-p", str(self.folder), "-c", "nginx.conf", "-e", "stderr"]
        if self._nobody and modules:  # nchan needs nginx's own folders; a start as root creates them.
            subprocess.run([*command, "-t"], check=True, capture_output=True)
            (self.folder / "nginx.pid").unlink()  # They would belong to root.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            preexec_fn=die_with_parent(),
            **self._nobody,
        )
        self.url = f"{'https' if self._chain else 'http'}://127.0.0.1:{port}"
        if not wait_until_listening(self._process, port):
            self.__exit__()
            raise RuntimeError(f"nginx didn't start: {self.complaints}")
        return self

    @property
    def pid(self) -> int:
        """The process id of its master process."""
        return self._process.pid

    def publish(self, channel: str, *bodies: str | bytes, to: str = "pub", **headers: str) -> list[str]:
        """Post to a channel, as any client can; return the messages' ids."""
        with blocking_client(self.url) as client:
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
