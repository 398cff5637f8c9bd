"""A person at the panel or the console: the same actions on both, and their visible results."""

from __future__ import annotations

from typing import Any, Protocol

import pytest

from chatlab import ChatPanel
from chatlab.conversation import Conversation
from chatlab.errors import ChatError
from chatlab.live.client.kinds import make_config
from chatlab.messages import ConnectionStatus
from chatlab.settings import OutboxConfig, ReconnectConfig
from chatlab.terminal import targets
from chatlab.terminal.commands import run_command
from chatlab.terminal.console import Console
from chatlab.terminal.lines import ConsoleLine
from chatlab.terminal.targets import Target
from tests.live.watch import until

QUICK = ReconnectConfig(max_attempts=None, base_delay=0.02, max_delay=0.05, jitter="full")


class Person(Protocol):
    """A person at a panel or a console."""

    conversation: Conversation

    async def change(self, what: str, value: str) -> None:
        """Change the transport, another setting, the room, the name or the server."""

    async def ask(self, what: str, value: str) -> None:
        """Change something through the user interface, which reports errors."""

    def say(self, text: str) -> None:
        """Send a message."""

    async def retry(self, text: str) -> None:
        """Retry a message."""

    def heard(self) -> list[tuple[str, str]]:
        """Return senders and texts of the messages from the server, in order."""

    def states(self) -> dict[str, str]:
        """Return the visible states of own messages."""

    def notices(self) -> str:
        """Return all lines that are not messages."""

    async def leave(self) -> None:
        """Leave."""


class AtPanel:
    """A person at a panel."""

    def __init__(self, url: str, **settings: Any) -> None:
        settings = {"sender": "ada", "reconnect": QUICK, "error_delay": 0.05, "interval": 0.1} | settings
        self.panel = ChatPanel(make_config("websocket", url, **settings), name="display")
        self.conversation = self.panel._conversation
        self.panel.connect()

    async def change(self, what: str, value: str) -> None:
        form = self.panel.form
        if what == "setting":
            form.numbers["max_delay"].value += 1.0
        else:
            fields = {"transport": form.transport, "room": form.room, "name": form.sender, "server": form.url}
            fields[what].value = value
        running = self.conversation.wanted
        self.panel.connect()
        if not running:
            self.panel.disconnect()

    async def ask(self, what: str, value: str) -> None:
        await self.change(what, value)

    def say(self, text: str) -> None:
        assert self.panel.send(text)

    async def retry(self, text: str) -> None:
        row = next(row for row in self.panel.messages.rows() if row["text"] == text)
        self.panel._retry(row["id"])

    def rows(self) -> list[dict[str, Any]]:
        return self.panel.messages.rows()

    def heard(self) -> list[tuple[str, str]]:
        ours = {row["id"] for row in self.rows() if row["id"].startswith("own-")}
        return [
            (row["sender"], row["text"])
            for row in self.rows()
            if row["kind"] == "message" and row["id"] not in ours
        ]

    def states(self) -> dict[str, str]:
        return {row["text"]: row["state"] for row in self.rows() if row["id"].startswith("own-")}

    def notices(self) -> str:
        return "\n".join(row["text"] for row in self.rows() if row["kind"] == "notice")

    async def leave(self) -> None:
        self.panel.close()


class AtConsole:
    """A person at a console."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.lines: list[ConsoleLine] = []
        target = Target(url=url, name="ada", outbox=OutboxConfig(overflow="reject"), **settings)
        self.console = Console(target, "websocket", self.lines.append)
        self.conversation = self.console.conversation
        self.console.start()

    async def change(self, what: str, value: str) -> None:
        async with self.console.busy:
            match what:
                case "transport":
                    await self.console.switch_transport(value)
                case "setting":
                    await self.console.open_fault_proxy()
                case "server":
                    await self.console.switch(url=value)
                case _:
                    await self.console.switch(**{what: value})

    async def ask(self, what: str, value: str) -> None:
        try:
            self.lines.append(ConsoleLine("answer", await run_command(self.console, f"/{what} {value}")))
        except ChatError as error:
            self.lines.append(ConsoleLine("warning", f"{error}."))

    def say(self, text: str) -> None:
        self.console.submit(text)

    async def retry(self, text: str) -> None:
        self.conversation.retry_all()

    def heard(self) -> list[tuple[str, str]]:
        return [(line.name, line.text) for line in self.lines if line.kind == "message"]

    def states(self) -> dict[str, str]:
        words = {"accepted": "queued", "delivered": "acked", "lost": "undelivered"}
        return {line.text: words[line.kind] for line in self.lines if line.kind in words}

    def notices(self) -> str:
        return "\n".join(line.text for line in self.lines if line.kind in ("notice", "warning"))

    async def leave(self) -> None:
        await self.console.leave()


async def connected(person: Person) -> None:
    """Wait until a person is connected to the chosen place."""
    await until(lambda: person.conversation.last_change.status is ConnectionStatus.CONNECTED)


async def placed(person: Person) -> None:
    """Wait until a person has a cursor of the room."""
    await connected(person)
    await until(
        lambda: person.conversation.transport is not None and person.conversation.transport.cursor is not None
    )


async def stopped(person: Person) -> None:
    """Disconnect a person, and wait until that is done."""
    person.conversation.stop()
    await until(lambda: person.conversation.last_change.status is ConnectionStatus.DISCONNECTED)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the consoles' backoff delays."""
    monkeypatch.setattr(targets, "SETTINGS", {"reconnect": QUICK, "error_delay": 0.05, "interval": 0.1})
