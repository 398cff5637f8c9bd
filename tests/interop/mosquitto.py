"""A real MQTT broker on loopback: mosquitto over WebSocket, with its sessions in a file."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

from tests.processes import PATIENCE, die_with_parent, free_port, wait_until_listening
from tests.requirements import find

# Without another listener mosquitto 2.0.11 doesn't start.
SETTINGS = """
listener {port} 127.0.0.1
protocol websockets
listener 0 {folder}/plain.sock
{access}
user {user}
persistence true
persistence_location {folder}/
max_queued_messages 5000
log_dest file {folder}/log
"""
OPEN = "allow_anonymous true"


class Mosquitto:
    """A broker. `users` are names and passwords; without any, everybody may use it."""

    def __init__(self, folder: Path, **users: str) -> None:
        self._file = folder / "mosquitto.conf"
        self._port = free_port()
        self.url = f"ws://127.0.0.1:{self._port}"
        access = OPEN
        if users:
            names = folder / "names"
            for name, password in users.items():
                command = ["mosquitto_passwd", "-b", *([] if names.exists() else ["-c"]), str(names)]
                subprocess.run([*command, name, password], check=True, capture_output=True)
            access = f"allow_anonymous false\npassword_file {names}"
        user = getpass.getuser()  # As root it would become a user who may not read the folder.
        text = SETTINGS.format(port=self._port, folder=folder, access=access, user=user)
        self._file.write_text(text, encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = subprocess.Popen(
            [str(find("mosquitto")), "-c", str(self._file)],
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent(),
        )
        if not wait_until_listening(self._process, self._port):
            self.stop()
            raise RuntimeError("mosquitto didn't start")

    @property
    def log(self) -> str:
        """The text of its log so far."""
        return self._file.with_name("log").read_text(encoding="utf-8")

    def stop(self) -> None:
        """End it; it saves its sessions."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None
