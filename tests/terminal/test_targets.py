import pytest

from chatlab.errors import SettingsError
from chatlab.live.client.kinds import TITLES, http_url, websocket_url
from chatlab.terminal.targets import Target, check_scheme, config_of, make_transport


@pytest.mark.parametrize(
    ("url", "websocket", "http"),
    [
        ("http://h:8000", "ws://h:8000/ws", "http://h:8000"),
        ("http://h:8000/", "ws://h:8000/ws", "http://h:8000/"),
        ("https://h/chat/?token=x", "wss://h/chat/ws?token=x", "https://h/chat/?token=x"),
        ("ws://h:8000/ws", "ws://h:8000/ws", "http://h:8000"),
        ("wss://user:pw@h/echo", "wss://user:pw@h/echo", "https://user:pw@h/echo"),
        ("ws://[::1]:8000/a/ws", "ws://[::1]:8000/a/ws", "http://[::1]:8000/a"),
    ],
)
def test_a_url_of_any_scheme_suits_any_transport(url: str, websocket: str, http: str) -> None:
    assert websocket_url(url) == websocket
    assert http_url(url) == http


@pytest.mark.parametrize(
    ("url", "through", "secure"),
    [
        ("ws://h:8000/ws?a=b", "ws://127.0.0.1:9/ws?a=b", False),
        ("https://user:pw@h/x", "https://user:pw@127.0.0.1:9/x", True),
    ],
)
def test_a_target_can_be_reached_through_a_proxy(url: str, through: str, secure: bool) -> None:
    target = Target(url=url, room="r")
    assert target.through("127.0.0.1", 9) == Target(url=through, room="r")
    assert target.secure is secure


@pytest.mark.parametrize(
    ("url", "likely"),
    [
        ("localhost:8000", "http://localhost:8000,"),
        ("ftp://h", "http://127.0.0.1:8000,"),
        ("", "http://127.0.0.1:8000,"),
        ("h?token=secret", "http://h?token=***,"),
    ],
)
def test_another_url_is_refused_with_the_likely_correction(url: str, likely: str) -> None:
    with pytest.raises(SettingsError, match="http://, https://, ws:// or wss://") as error:
        check_scheme(url)
    assert likely in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://[::1", "give one that has a complete IPv6 address"),
        ("ws://", "names a host"),
        ("http://h:99999", "port from 1 to 65535"),
    ],
)
async def test_an_invalid_url_is_a_settings_error(url: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        config_of("websocket", Target(url=url))


async def test_every_transport_is_made_with_the_targets_settings() -> None:
    target = Target(url="http://h", room="r", name="ada", history=3)
    for kind in TITLES:
        config = make_transport(config_of(kind, target)).config
        assert (config.room, config.sender, config.dialect) == ("r", "ada", "chatlab")
        assert (config.history, config.outbox.overflow) == (3, "reject")


async def test_an_unknown_transport_is_refused_with_a_list() -> None:
    with pytest.raises(SettingsError, match=r"there is no 'pigeon'; choose one of .*websocket"):
        config_of("pigeon", Target(url="http://h"))
