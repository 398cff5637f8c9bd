"""A comm without a kernel, which keeps what a widget sends, and the page's end of it."""

import itertools
import queue
from typing import Any

from comm.base_comm import BaseComm

Message = dict[str, Any]
PATIENCE = 120.0
"""Seconds until a condition that never comes fails a test: many, since a plot of 1 s takes 10 s beside other
work."""


class RecordingComm(BaseComm):
    """A comm whose custom messages can be waited for."""

    def __init__(self, **arguments: Any) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()
        super().__init__(**arguments)

    def publish_msg(self, msg_type: str, data: Any = None, *_: Any, **__: Any) -> None:
        if msg_type == "comm_msg" and data["method"] == "custom":
            self.messages.put(data["content"])


class View:
    """The page's end of a widget: sends requests, waits for messages."""

    def __init__(self, widget: Any) -> None:
        self.widget = widget
        self.requests = itertools.count()
        self.seen: list[Message] = []

    def say(self, **content: Any) -> None:
        self.widget._handle_custom_msg(content, [])

    def ask(self, kind: str, **fields: Any) -> str:
        request = f"view-{next(self.requests)}"
        self.say(type=kind, request=request, **fields)
        return request

    def next(self, kind: str) -> Message:
        while True:
            message: Message = self.widget.comm.messages.get(timeout=PATIENCE)
            self.seen.append(message)
            if message["type"] == kind:
                return message

    def rows_until(self, row: str) -> list[Message]:
        """The rows of all messages up to the one that holds the row with this id."""
        rows: list[Message] = []
        while not any(shown["id"] == row for shown in rows):
            rows += self.next("rows")["rows"]
        return rows

    def answer(self, request: str) -> list[Message]:
        """The messages that answer a request."""
        parts: list[Message] = []
        while not parts or len(parts) < parts[0]["parts"]:
            if (message := self.next("rows")).get("reply") == request:
                parts.append(message)
        return parts
