"""A dialect of chatlab's own frames that greets, for machines, model, wire and live tests.

After the server's `welcome` it sends a ping, and the pong lets the reader in; items that come between are
read afterwards. Over HTTP it answers a stream's `welcome`, or the first page, by a POST, and the `welcome`,
or the second page, lets the reader in; messages of the first page are read before. If a message's POST is
answered by 202 and `IN_FLIGHT`, its ack comes later. An object of the type `refused` is the server's refusal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from chatlab.dialects import ChatlabDialect
from chatlab.dialects.base import (
    Ack,
    Answer,
    Incoming,
    InFlight,
    Page,
    Refused,
    Reply,
    Request,
    ServerPing,
    ServerPong,
    Welcome,
)
from chatlab.dialects.chatlab import ChatlabHttp
from chatlab.messages import ChatEvent
from chatlab.settings import TransportConfig

IN_FLIGHT = b"in flight"


class GreetingHttp(ChatlabHttp):
    """The state of one session: its number, and the number of its pages before it was let in."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self._pages = 0

    def for_connection(self) -> GreetingHttp:
        return GreetingHttp(self.number + 1)

    def event(self, kind: str, data: str, id: str) -> Sequence[Incoming]:
        (item,) = super().event(kind, data, id)
        if isinstance(item, ChatEvent) and item.type == "refused":
            return (Refused(**item.payload),)
        return (Reply("{}"), item) if isinstance(item, Welcome) else (item,)

    def page(self, answer: Answer) -> Page | None:
        if refused := _refused(answer):
            return Page((refused,))
        page = super().page(answer)
        if page is None or page.senseless or self._pages == 2:
            return page
        self._pages += 1
        if self._pages == 1:
            items = [item for item in page.items if not isinstance(item, Welcome)]
            cursor = answer.headers.get("chat-cursor")
            return Page((Reply("{}"), *items), cursor=cursor, gap=page.resync)
        return Page((Welcome(heartbeat_interval=20.0, heartbeat_timeout=5.0), *page.items), more=page.more)

    def posted(  # type: ignore[override]  # More than the base may return.
        self, answer: Answer, client_id: str
    ) -> Ack | InFlight | Refused | None:
        if refused := _refused(answer):
            return refused
        if (answer.status, answer.body) == (202, IN_FLIGHT) or (answer.status == 204 and not client_id):
            return InFlight(client_id)
        return super().posted(answer, client_id)

    def post_reply(self, config: TransportConfig, frame: str | bytes) -> Request:
        assert isinstance(frame, str)
        query = {"room": config.room, "sender": config.sender}
        return Request("POST", "/typing", query, {"Content-Type": "application/json"}, frame)


def _refused(answer: Answer) -> Refused | None:
    if not answer.body.startswith(b'{"type":"refused"'):
        return None
    fields = json.loads(answer.body)
    del fields["type"]
    return Refused(**fields)


class GreetingDialect(ChatlabDialect):
    """The state of one connection: the items since the `welcome`, and whether the reader is let in."""

    name = "greeting"
    greets = True

    def __init__(self) -> None:
        self._held: list[Incoming] = []
        self._let_in = False

    @property
    def http(self) -> GreetingHttp:
        return GreetingHttp()

    def for_connection(self) -> GreetingDialect:
        return GreetingDialect()

    def decode(self, frame: str | bytes) -> Sequence[Incoming]:
        (item,) = super().decode(frame)
        if isinstance(item, ChatEvent) and item.type == "refused":
            return (Refused(**item.payload),)
        if self._let_in or isinstance(item, ServerPing):
            return (item,)
        if isinstance(item, ServerPong) and self._held:
            self._let_in = True
            return self._held
        self._held.append(item)
        return (Reply(self.ping(0)),) if isinstance(item, Welcome) else ()
