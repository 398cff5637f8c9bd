"""A real Matrix homeserver on loopback: synapse with SQLite, from an environment of its own."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from tests.processes import die_with_parent, free_port
from tests.requirements import SYNAPSE

SETTINGS = """
listeners:
  - {{port: {port}, bind_addresses: ["127.0.0.1"], type: http, tls: false, resources: [{{names: [client]}}]}}
enable_registration: true
enable_registration_without_verification: true
bcrypt_rounds: 4
federation_domain_whitelist: []
trusted_key_servers: []
rc_message: &free {{per_second: 100000, burst_count: 100000}}
rc_registration: *free
rc_login: {{address: *free, account: *free}}
"""
PATIENCE = 200.0
"""Seconds for the start; a minute was too short on a busy machine."""


class Synapse:
    """A homeserver with its data in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        (folder / "more.yaml").write_text(SETTINGS.format(port=self._port), encoding="utf-8")
        self._run("--server-name", "localhost", "--generate-config", "--report-stats=no").check_returncode()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def _command(self) -> list[str]:
        return [str(SYNAPSE), "-m", "synapse.app.homeserver", "--config-path", "base.yaml"]

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self._command, *arguments], cwd=self._folder, capture_output=True, check=False
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it. It ends with the calling thread, so call this on the test's own."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, "--config-path", "more.yaml"],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(),
            )

    def wait(self) -> None:
        """Wait until it answers."""
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(httpx.TransportError):
                httpx.get(f"{self.url}/_matrix/client/versions", trust_env=False)
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                words = (self._folder / "log").read_text(encoding="utf-8")
                raise RuntimeError(f"synapse didn't start: {words}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill it, without a shutdown."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def register(self, name: str, password: str) -> str:
        """Create an account; return its token."""
        return str(self.ask("POST", "register", username=name, password=password)["access_token"])

    def ask(self, method: str, path: str, token: str = "", **content: Any) -> Any:
        """Make a request as a bare client, with JSON in and out."""
        if path == "register":
            content["auth"] = {"type": "m.login.dummy"}
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{self.url}/_matrix/client/v3/{path}"
        with httpx.Client(trust_env=False, timeout=30.0) as client:
            if method == "GET":
                return client.get(url, params=content, headers=headers).raise_for_status().json()
            return client.request(method, url, json=content, headers=headers).raise_for_status().json()
