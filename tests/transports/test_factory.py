"""The machine of each kind of settings, and settings that are refused."""

from __future__ import annotations

import pytest

from chatlab.dialects import find_dialect
from chatlab.errors import SettingsError
from chatlab.messages import OutgoingMessage
from chatlab.settings import (
    AnyConfig,
    FallbackConfig,
    LongPollingConfig,
    ShortPollingConfig,
    SSEConfig,
    TransportConfig,
    WebSocketConfig,
)
from chatlab.transports.factory import make_machine
from chatlab.transports.fallback import FallbackMachine
from chatlab.transports.ledger import Ledger
from chatlab.transports.long_polling import LongPollingMachine
from chatlab.transports.machine import Connect, Fetch, Links, OpenWebSocket, Submit
from chatlab.transports.short_polling import ShortPollingMachine
from chatlab.transports.sse import SSEMachine
from chatlab.transports.websocket import WebSocketMachine

CHATLAB, TEXT = find_dialect("chatlab"), find_dialect("text")
WEBSOCKET = WebSocketConfig(url="ws://h")
SSE = SSEConfig(url="http://h")
LONG = LongPollingConfig(url="http://h")


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (WEBSOCKET, WebSocketMachine),
        (SSE, SSEMachine),
        (LongPollingConfig(url="http://h"), LongPollingMachine),
        (ShortPollingConfig(url="http://h"), ShortPollingMachine),
        (FallbackConfig(transports=(WEBSOCKET, SSE)), FallbackMachine),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_has_its_machine(config: AnyConfig, kind: type) -> None:
    assert type(make_machine(config, CHATLAB, lambda: 0.0)) is kind


@pytest.mark.parametrize(
    "config", [WEBSOCKET, SSE, LongPollingConfig(url="http://h"), ShortPollingConfig(url="http://h")]
)
def test_a_shared_ledger_and_shared_links_are_used(config: TransportConfig) -> None:
    links, ledger = Links(), Ledger(config, CHATLAB, acks=True)
    ledger.cursor.move("e-7")
    links.next()
    machine = make_machine(config, CHATLAB, lambda: 0.0, ledger=ledger, links=links)
    opening = machine.handle(Connect(), 0.0)[-1]
    assert isinstance(opening, OpenWebSocket | Fetch)
    assert opening.link == 2
    assert "e-7" in repr(opening)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (LONG, "'text' has no long_polling; choose one of websocket, sse"),
        (FallbackConfig(transports=(WEBSOCKET, LONG)), "'text' has no long_polling"),
        (TransportConfig(url="http://h"), "no transport for a TransportConfig"),
        (
            FallbackConfig(transports=(WEBSOCKET, TransportConfig(url="http://h"))),
            "no transport for a TransportConfig",
        ),
    ],
)
def test_what_cannot_work_is_refused_at_once(config: AnyConfig, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        make_machine(config, TEXT, lambda: 0.0)


def test_a_fallback_of_websockets_takes_any_dialect() -> None:
    make_machine(FallbackConfig(transports=(WEBSOCKET, WEBSOCKET)), TEXT, lambda: 0.0)


def test_links_are_numbered_from_1() -> None:
    links = Links()
    assert [links.next() for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(
    "config",
    [WEBSOCKET, SSE, LONG, FallbackConfig(transports=(WEBSOCKET, SSE))],
    ids=lambda c: type(c).__name__,
)
def test_a_machine_resumes_from_the_cursor_of_another(config: AnyConfig) -> None:
    machine = make_machine(config, CHATLAB, lambda: 0.0)
    assert machine.cursor.last_id is None
    machine.cursor.move("e-7")
    for id, again in (("new", False), ("old", True)):
        machine.handle(Submit(OutgoingMessage("hi", client_id=id), again), 0.0)
    opening, *_ = (e for e in machine.handle(Connect(), 0.0) if isinstance(e, OpenWebSocket | Fetch))
    assert "e-7" in str(opening)
    assert "history" not in str(opening)
