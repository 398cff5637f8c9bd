"""SPEC §1, delivery ledger; HOSTILE A66, A83: nothing lost, doubled or misplaced, whatever the connection
did."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from chatlab.live.fallback import FallbackTransport
from chatlab.live.http_transport import LongPollingTransport, ShortPollingTransport, SSETransport
from chatlab.live.transport import ChatTransport, WebSocketTransport
from chatlab.messages import DeliveryState
from chatlab.settings import (
    FallbackConfig,
    HeartbeatConfig,
    LongPollingConfig,
    OutboxConfig,
    ReconnectConfig,
    ShortPollingConfig,
    SSEConfig,
    WebSocketConfig,
)
from tests.live.chaos import TROUBLES, MakeTransport, exchange, scene

RECONNECT = ReconnectConfig(max_attempts=None, base_delay=0.1, max_delay=1.0, jitter="full")
OUTBOX = OutboxConfig(max_size=5000, max_in_flight=500)


def websocket(url: str, sender: str) -> ChatTransport:
    return WebSocketTransport(
        WebSocketConfig(
            url=url.replace("http", "ws", 1) + "/ws",
            sender=sender,
            reconnect=RECONNECT,
            outbox=OUTBOX,
            connect_timeout=1.0,
            heartbeat=HeartbeatConfig(interval=0.5, timeout=0.4),
        )
    )


def sse(url: str, sender: str) -> ChatTransport:
    return SSETransport(
        SSEConfig(
            url=url,
            sender=sender,
            reconnect=RECONNECT,
            outbox=OUTBOX,
            connect_timeout=1.0,
            request_timeout=1.0,
            idle_timeout=1.0,
        )
    )


def long_polling(url: str, sender: str) -> ChatTransport:
    return LongPollingTransport(
        LongPollingConfig(
            url=url,
            sender=sender,
            reconnect=RECONNECT,
            outbox=OUTBOX,
            connect_timeout=1.0,
            request_timeout=1.0,
            hold=0.5,
            timeout=1.0,
            error_delay=0.1,
        )
    )


def short_polling(url: str, sender: str) -> ChatTransport:
    return ShortPollingTransport(
        ShortPollingConfig(
            url=url,
            sender=sender,
            reconnect=RECONNECT,
            outbox=OUTBOX,
            connect_timeout=1.0,
            request_timeout=1.0,
            interval=0.2,
        )
    )


def fallback(url: str, sender: str) -> ChatTransport:
    transports = tuple(make(url, sender).config for make in (websocket, sse, long_polling, short_polling))
    return FallbackTransport(FallbackConfig(transports=transports, upgrade_after=1.0))


TRANSPORTS: dict[str, MakeTransport] = {
    "websocket": websocket,
    "sse": sse,
    "long polling": long_polling,
    "short polling": short_polling,
    "fallback": fallback,
}


@pytest.mark.parametrize("trouble", [None, *TROUBLES])
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_nothing_is_lost_doubled_or_misplaced(
    transport: str, trouble: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with scene(tmp_path / "chat.db") as stage:
        outcome = await exchange(stage, TRANSPORTS[transport], TROUBLES[trouble] if trouble else None)
    with capsys.disabled():
        print(f"\n{transport}, {trouble or 'no trouble'}: {outcome.seconds:.2f} s for 2 × 1,000 messages")
    assert outcome.faults == {}
    assert outcome.states == Counter({DeliveryState.ACKED: 2000})
