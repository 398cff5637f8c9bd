"""A comm without a kernel, which records a widget's messages, and the page's side of it."""

import itertools
import queue
from typing import Any

from comm.base_comm import BaseComm

Message = dict[str, Any]
PATIENCE = 120.0
"""Seconds until a test fails that waits for a condition; a plot of 1 s takes 10 s on a busy machine."""


class RecordingComm(BaseComm):
    """A comm that records custom messages, and lets tests wait for them."""

    def __init__(self, **arguments: Any) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()
        super().__init__(**arguments)

    def publish_msg(self, msg_type: str, data: Any = None, *_: Any, **__: Any) -> None:
        if msg_type == "comm_msg" and data["method"] == "custom":
            self.messages.put(data["content"])


class View:
    """The page's side of a widget: sends requests, and waits for messages."""

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
        """Return the rows of all messages up to the one with the row of this id."""
        rows: list[Message] = []
        while not any(shown["id"] == row for shown in rows):
            rows += self.next("rows")["rows"]
        return rows

    def answer(self, request: str) -> list[Message]:
        """Return the messages that answer a request."""
        parts: list[Message] = []
        while not parts or len(parts) < parts[0]["parts"]:
            if (message := self.next("rows")).get("reply") == request:
                parts.append(message)
        return parts
