"""The panel's button that probes the address in the form."""

from __future__ import annotations

import asyncio
from time import sleep

import pytest

from chatlab import ChatPanel, FallbackConfig, SettingsError, WebSocketConfig
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.settings import AnyConfig
from chatlab.widgets.probe_button import ProbeButton
from tests.processes import free_port


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.mark.slow
async def test_what_answers_at_the_forms_address_is_said(notices: list[str]) -> None:
    async with EmbeddedServer() as server:
        config = WebSocketConfig(url=server.ws_url, headers={"Authorization": "Bearer s3cret"})
        button = ProbeButton(lambda: FallbackConfig(transports=(config,)), notices.append)
        future = button.press()
        assert future is not None
        assert (await asyncio.wait_for(asyncio.wrap_future(future), 60)).dialect == "chatlab"
    assert notices[0] == server.ws_url
    assert notices[-1].startswith("It speaks chatlab. Use: chatlab chat ")
    assert not button.view.disabled


def test_a_place_where_nobody_is_and_wrong_settings_are_said(notices: list[str]) -> None:
    future = ProbeButton(lambda: WebSocketConfig(url=f"ws://127.0.0.1:{free_port()}"), notices.append).press()
    assert future is not None
    future.result(60)
    assert "Nothing listens at 127.0.0.1:" in notices[-1]

    def wrong() -> AnyConfig:
        raise SettingsError("url: give one")

    assert ProbeButton(wrong, notices.append).press() is None
    assert notices[-1] == "These settings can't be used: url: give one"


def test_an_unexpected_error_is_said(notices: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr("chatlab.widgets.probe_button.probe", broken)
    future = ProbeButton(lambda: WebSocketConfig(url="ws://127.0.0.1:9"), notices.append).press()
    assert future is not None
    with pytest.raises(RuntimeError, match="luck"):
        future.result(60)
    for _ in range(6000):  # waiters may wake up before the future's callback
        if notices:
            break
        sleep(0.01)
    assert notices[-1].startswith("The probe failed: ")


def test_the_panel_has_the_button() -> None:
    panel = ChatPanel(url="ws://127.0.0.1:9/ws", name="probed")
    row = panel.children[1]
    assert [part.description for part in row.children[:3]] == ["Connect", "Disconnect", "Probe"]
    panel.close()
