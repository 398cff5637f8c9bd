"""A real XMPP server on loopback: prosody, with rooms and WebSockets."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.processes import PATIENCE, die_with_parent, free_port, wait_until_listening
from tests.requirements import find

SETTINGS = """
run_as_root = true; daemonize = false
pidfile = "{folder}/prosody.pid"; data_path = "{folder}/data"
modules_enabled = {{ "saslauth", "disco", "websocket", "ping", "posix" }}
modules_disabled = {{ "s2s", "tls" }}
interfaces = {{ "127.0.0.1" }}; c2s_ports = {{ {plain} }}; s2s_ports = {{ }}
http_ports = {{ {port} }}; https_ports = {{ }}; http_interfaces = {{ "127.0.0.1" }}
c2s_require_encryption = false; allow_unencrypted_plain_auth = true; consider_websocket_secure = true
cross_domain_websocket = true
authentication = "internal_plain"
log = {{ warn = "{folder}/log" }}
VirtualHost "localhost"
Component "conference.localhost" "muc"
  muc_room_default_public = true; muc_room_locking = false
"""


class Prosody:
    """A server. `users` are names and passwords."""

    def __init__(self, folder: Path, **users: str) -> None:
        self._file = folder / "prosody.cfg.lua"
        self._port = free_port()
        self.url = f"ws://127.0.0.1:{self._port}"
        text = SETTINGS.format(folder=folder, port=self._port, plain=free_port())
        self._file.write_text(text, encoding="utf-8")
        data = folder / "data" / "localhost" / "accounts"
        data.mkdir(parents=True)
        for name, password in users.items():
            (data / f"{name}.dat").write_text(f'return {{ ["password"] = "{password}" }};', encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = subprocess.Popen(
            [str(find("prosody")), "--config", str(self._file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent(),
            env={**os.environ, "PROSODY_CONFIG": str(self._file)},
        )
        if not wait_until_listening(self._process, self._port):
            self.stop()
            raise RuntimeError("prosody didn't start")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None
