"""Defaults are the seed's and SPEC's, every field is validated on creation, and secrets stay hidden."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import pytest

from chatlab.errors import SettingsError
from chatlab.settings import (
    JITTERS,
    FallbackConfig,
    HeaderSource,
    HeartbeatConfig,
    HeartbeatMode,
    LongPollingConfig,
    OutboxConfig,
    ReconnectConfig,
    Settings,
    ShortPollingConfig,
    SSEConfig,
    TransportConfig,
    Url,
    WebSocketConfig,
    check_url,
    redacted,
    scrub,
    secrets_of,
    shown_url,
    with_secrets,
)
from chatlab.settings.urls import MOST_SHOWN, through_proxy

URL = "ws://127.0.0.1:8000/ws"
HTTP_URL = "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("settings", "defaults"),
    [
        # SPEC §2, first paragraph; the first four of each are the seed's, in seconds.
        (
            ReconnectConfig(),
            {
                "enabled": True,
                "max_attempts": 10,
                "base_delay": 1.0,
                "max_delay": 30.0,
                "backoff_multiplier": 2.0,
            }
            | {"jitter": "seed", "stable_after": 5.0, "schedule": ()},
        ),
        (HeartbeatConfig(), {"enabled": True, "interval": 30.0, "timeout": 10.0, "mode": None}),
        # SPEC §1, delivery ledger.
        (OutboxConfig(), {"max_size": 100, "max_bytes": None, "max_age": None, "overflow": "drop-oldest"}),
        (
            WebSocketConfig(url=URL),
            {"connect_timeout": 10.0, "history": 50, "dialect": "chatlab", "protocols": (), "failures": {}}
            | {"reconnect": ReconnectConfig(), "heartbeat": HeartbeatConfig(), "outbox": OutboxConfig()},
        ),
        # SPEC §3 to §6.
        (
            SSEConfig(url=HTTP_URL),
            {"reconnect": ReconnectConfig(base_delay=3.0), "idle_timeout": 45.0, "strict_eventsource": False}
            | {"max_event_size": 1 << 20, "min_retry": 0.1, "request_timeout": 10.0},
        ),
        (ShortPollingConfig(url=HTTP_URL), {"interval": 3.0, "spread": 0.0, "reconnect": ReconnectConfig()}),
        (
            LongPollingConfig(url=HTTP_URL),
            {"timeout": 30.0, "hold": 25.0, "error_delay": 1.0, "min_gap": 0.1},
        ),
        (
            FallbackConfig(transports=(WebSocketConfig(url=URL),)),
            {"attempts_per_transport": 3, "upgrade_after": 60.0},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_defaults(settings: Settings, defaults: dict[str, Any]) -> None:
    assert {name: getattr(settings, name) for name in defaults} == defaults


def test_a_jitter_has_another_name() -> None:
    config = ReconnectConfig(jitter="capped-10%")
    assert config == ReconnectConfig(jitter="seed")
    assert config.replace(jitter="full").replace(jitter="capped-10%") == config
    assert "capped-10%" not in JITTERS, "a formula is offered once"


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (ReconnectConfig, {"max_attempts": -1}, "max_attempts: give a whole number of at least 0, got -1"),
        (ReconnectConfig, {"max_attempts": 1.5}, "max_attempts: give a whole number or None, got 1.5"),
        (ReconnectConfig, {"base_delay": float("nan")}, "base_delay"),
        (ReconnectConfig, {"base_delay": float("inf")}, "base_delay"),
        (ReconnectConfig, {"base_delay": True}, "base_delay"),
        (ReconnectConfig, {"base_delay": "1"}, "base_delay.*got '1'"),
        (ReconnectConfig, {"max_delay": -0.1}, "max_delay"),
        (ReconnectConfig, {"backoff_multiplier": 0.5}, "backoff_multiplier"),
        (ReconnectConfig, {"jitter": "some"}, "choose one of seed, .*, capped-10%, got 'some'"),
        (ReconnectConfig, {"schedule": ((1.0,),)}, "schedule"),
        (ReconnectConfig, {"schedule": ((0.0, 1.0), (2.0, 1.0))}, r"low <= high, got \(2.0, 1.0\)"),
        (HeartbeatConfig, {"interval": 0.0}, "interval"),
        (HeartbeatConfig, {"timeout": 0.0}, "timeout"),
        (HeartbeatConfig, {"mode": "loud"}, "mode: choose one of json, ping, none"),
        (OutboxConfig, {"max_size": 0}, "max_size"),
        (OutboxConfig, {"max_bytes": 0}, "max_bytes"),
        (OutboxConfig, {"max_age": 0.0}, "max_age"),
        (OutboxConfig, {"overflow": "explode"}, "overflow"),
        (WebSocketConfig, {"url": 7}, "url"),
        (WebSocketConfig, {"url": URL, "connect_timeout": 0.0}, "connect_timeout"),
        (WebSocketConfig, {"url": URL, "history": -1}, "history"),
        (WebSocketConfig, {"url": URL, "room": ""}, "room: give a text of at least one character"),
        (WebSocketConfig, {"url": URL, "sender": "a" * 201}, "sender: give a text of at most 200 characters"),
        (WebSocketConfig, {"url": URL, "room": "a\ud800"}, "room: give valid Unicode"),
        (WebSocketConfig, {"url": URL, "sender": "\udfff"}, "sender: give valid Unicode"),
        (WebSocketConfig, {"url": URL, "after": "\udfff"}, "after: give valid Unicode"),
        (WebSocketConfig, {"url": URL, "failures": {"close 1e3": "retry"}}, "failures"),
        (WebSocketConfig, {"url": URL, "failures": {"close 4429": "maybe"}}, "failures"),
        (WebSocketConfig, {"url": URL, "headers": 3}, "headers: give a mapping"),
        (WebSocketConfig, {"url": URL, "heartbeat": {"interval": -1}}, "interval"),
        (SSEConfig, {"url": URL}, "http:// or https://"),
        (SSEConfig, {"url": HTTP_URL, "idle_timeout": 0}, "idle_timeout"),
        (SSEConfig, {"url": HTTP_URL, "min_retry": -1}, "min_retry"),
        (SSEConfig, {"url": HTTP_URL, "max_event_size": 0}, "max_event_size"),
        (ShortPollingConfig, {"url": HTTP_URL, "interval": 0}, "interval"),
        (ShortPollingConfig, {"url": HTTP_URL, "spread": -1}, "spread"),
        (LongPollingConfig, {"url": HTTP_URL, "hold": 0}, "hold"),
        (LongPollingConfig, {"url": HTTP_URL, "error_delay": 0}, "error_delay"),
        (LongPollingConfig, {"url": HTTP_URL, "min_gap": -1}, "min_gap"),
        (FallbackConfig, {"transports": ()}, "give one config or more"),
        (FallbackConfig, {"transports": (7,)}, "give one config or more"),
        (FallbackConfig, {"transports": WebSocketConfig(url=URL)}, "transports"),
        (
            FallbackConfig,
            {"transports": (FallbackConfig(transports=(WebSocketConfig(url=URL),)),)},
            "one config",
        ),
        (
            FallbackConfig,
            {"transports": (WebSocketConfig(url=URL),), "attempts_per_transport": 0},
            "attempts",
        ),
        (FallbackConfig, {"transports": (WebSocketConfig(url=URL),), "upgrade_after": 0}, "upgrade_after"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(
    kind: type[Settings], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        kind(**changes)


@pytest.mark.parametrize(
    "key", ["close", "http", "close 4429", "http 404", "refused", "dns", "timeout", "reset", "tls"]
)
def test_failures_can_be_overridden(key: str) -> None:
    assert WebSocketConfig(url=URL, failures={key: "retry"}).failures == {key: "retry"}


def test_a_copy_is_checked_too() -> None:
    config = ReconnectConfig()
    assert config.replace(base_delay=2) == ReconnectConfig(base_delay=2.0)
    assert config.base_delay == 1.0
    with pytest.raises(SettingsError, match="base_delay"):
        config.replace(base_delay=-1)


def test_plain_data_is_converted() -> None:
    config = WebSocketConfig(url=URL, protocols=["chat"], reconnect={"schedule": [[0, 1]]})  # type: ignore[arg-type]
    assert config.protocols == ("chat",)
    assert config.reconnect == ReconnectConfig(schedule=((0.0, 1.0),))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://h/ws", "starts with ws:// or wss://"),
        ("h:8000", "starts with ws:// or wss://"),
        ("ws:///ws", "names a host"),
        ("ws://h:0/", "port from 1 to 65535"),
        ("ws://h:65536/", "port from 1 to 65535"),
        ("ws://[::1/", "a complete IPv6 address"),
        ("ws://h /ws", "no spaces"),
        ("ws://h/w\ns", "control characters"),
        ("ws://h/ws#room", "#fragment"),  # RFC 6455 §3
    ],
)
def test_bad_urls_are_refused_with_the_likely_correction(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        WebSocketConfig(url=url)
    assert "such as ws://127.0.0.1:8000/" in str(caught.value)


@pytest.mark.parametrize("url", ["ws://h", "wss://h:65535/ws?room=a", "ws://[::1]:8000/ws", "ws://u:p@h/"])
def test_good_urls(url: str) -> None:
    assert WebSocketConfig(url=url).url == url
    check_url("Test", url, ("ws", "wss"))


def test_other_transports_take_http() -> None:
    assert TransportConfig(url="https://h").url == "https://h"
    with pytest.raises(SettingsError, match="http:// or https://"):
        TransportConfig(url=URL)


# SPEC §1, "Who may": tokens never appear in a log, repr or error text.


SHOWN = {
    "ws://h/ws": "ws://h/ws",
    "ws://h:1/ws?": "ws://h:1/ws?",
    "ws://h/ws?room=a&x": "ws://h/ws?room=***&***",
    "ws://ada:pw@h:1/ws?token=abc&room=a": "ws://***@h:1/ws?token=***&room=***",
    "ws://a@b@h/": "ws://***@h/",
    "ws://ada@h": "ws://***@h",
    "ws://h?sig=a%3D&jwt=b=c;d": "ws://h?sig=***&jwt=***",
    "ws://h/?api_key=&&pwd=s": "ws://h/?api_key=&&pwd=***",
    "ws://h/#access_token=abc": "ws://h/#***",
    "ws://u:p@[::1]:80/?a=b#": "ws://***@[::1]:80/?a=***#",
    "https://h/@ada:b/y": "https://h/@ada:b/y",
    "not a url": "not a url",
    # slips, and passwords with characters that should have been percent-encoded
    "ada:hush@h:9": "***@h:9",
    "//ada:hush@h:9": "//***@h:9",
    "http:/ada:hush@h/x": "***@h/x",
    "http://ada:hush@h:port/": "http://***@h:***/",
    "http://ada:hu/sh#1@h:9/x?y=1": "http://***@h:9/x?y=***",
    "http://ada:hu?sh@h/": "http://***@h/",
    "http://ada:hush": "http://ada:***",
    "http://[::1/ws": "http://[::1/ws",
}


@pytest.mark.parametrize("url", SHOWN)
def test_A79_urls_are_shown_without_secrets(url: str) -> None:
    typed = Url(url)
    assert redacted(url) == str(typed) == f"{typed}" == f"{typed:s}" == SHOWN[url]
    assert repr(typed) == repr(SHOWN[url])
    assert typed == url, "for all else it is the text as it was given"
    assert type(copy := pickle.loads(pickle.dumps(typed))) is Url
    assert copy == url


def test_A79_what_a_url_hides_is_found_in_a_text() -> None:
    secrets = secrets_of("ws://ada:hush+1@h/ws?t=a%2Fb+c&x=abc&flag#frag")
    assert secrets == {"hush+1", "hush 1", "a%2Fb+c", "a/b c", "flag", "frag"}, "no shorter ones"
    assert scrub("no a/b c, nor a%2Fb+c, hush!", {*secrets, "a/b c, n"}) == "no ***or ***, hush!"
    assert secrets_of("ws://h/ws") == frozenset()
    assert scrub("so it begins: abcdefg…, abcdef… or abc… or abcd", {"abcdefgh"}) == (
        "so it begins: ***…, ***… or abc… or ***"
    ), "where the text was cut"


def test_A79_no_secret_in_repr_or_errors() -> None:
    config = WebSocketConfig(url="ws://ada:hush@h/?token=hush", headers={"Authorization": "hush"})
    assert "hush" not in repr(config)
    assert repr(config).startswith("WebSocketConfig(url='ws://***@h/?token=***', room='lobby'")
    assert "headers=HeaderSource(hidden)" in repr(config)
    assert "headers=HeaderSource(none)" in repr(WebSocketConfig(url=URL))
    with pytest.raises(SettingsError) as caught:
        WebSocketConfig(url="http://ada:hush@h/?token=hush")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["ws://ada:hush@h:x/", "ws://ada:hush@h:0/", "ws://ada:hu/sh@h/", "ws://ada:hush@[::1/", "ada:hush@h"],
)
def test_A79_no_slip_shows_a_secret(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        WebSocketConfig(url=url)
    assert "hu" not in str(caught.value)


def test_A79_a_url_that_is_no_text_is_not_quoted() -> None:
    with pytest.raises(SettingsError, match=r"WebSocketConfig.url: give a URL as text, got a bytes"):
        WebSocketConfig(url=b"ws://ada:hush@h/")  # type: ignore[arg-type]


def test_headers_come_from_a_mapping_a_function_or_nowhere() -> None:
    asked: list[object] = []

    def renew(failure: object) -> dict[str, str]:
        asked.append(failure)
        return {"Authorization": f"token {len(asked)}"}

    source = WebSocketConfig(url=URL, headers=renew).headers
    assert source.renewable
    assert [source(), source("401")] == [{"Authorization": "token 1"}, {"Authorization": "token 2"}]
    assert asked == [None, "401"]
    plain = WebSocketConfig(url=URL, headers=lambda: {"X-A": "c"}).headers
    assert plain("401") == {"X-A": "c"}, "a function without an argument is called without"
    fixed = WebSocketConfig(url=URL, headers={"X-A": "b"}).headers
    assert (fixed(), fixed.renewable) == ({"X-A": "b"}, False)
    assert WebSocketConfig(url=URL).headers() == {}


class _Renewing:
    def __call__(self, failure: object = None) -> dict[str, str]:
        return {"X": str(failure)}


FUNCTIONS: dict[str, tuple[Any, str]] = {
    "one parameter": (lambda first: {"X": str(first)}, "401"),
    "failure with a default": (lambda failure=None: {"X": str(failure)}, "401"),
    "failure by name": (lambda *, failure: {"X": str(failure)}, "401"),
    "failure behind a default": (lambda token="t", failure=None: {"X": f"{token}{failure}"}, "t401"),
    "one without a default": (lambda first, token="t": {"X": f"{token}{first}"}, "t401"),
    "an object": (_Renewing(), "401"),
    "a partial of the rest": (partial(lambda token, failure: {"X": f"{token}{failure}"}, "t"), "t401"),
    "a default": (lambda token="t": {"X": token}, "t"),
    "two defaults": (lambda token="t", other="u": {"X": token + other}, "tu"),
    "a default by name": (lambda *, token="t": {"X": token}, "t"),
    "none": (lambda: {"X": "none"}, "none"),
    "a bound method": ({"X": "kept"}.copy, "kept"),
    "whatever there may be": (lambda *rest, **named: {"X": f"{rest}{named}"}, "(){}"),
    "of C, without a signature": (type("Named", (dict,), {}), ""),
}


@pytest.mark.parametrize(("function", "sent"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_A87_a_headers_function_gets_the_failure_only_by_a_parameter(function: Any, sent: str) -> None:
    source = HeaderSource(function)
    assert dict(source("401")).get("X", "") == sent
    assert source.renewable
    assert source.calls_plainly


@pytest.mark.parametrize("function", [lambda a, b: {}, lambda *, token: {}], ids=["two", "by another name"])
def test_A87_a_headers_function_with_other_parameters_is_refused(function: Any) -> None:
    with pytest.raises(SettingsError, match="or only `failure`; this one needs"):
        WebSocketConfig(url=URL, headers=function)


class _Async:
    async def __call__(self) -> dict[str, str]:
        return {}


async def _headers(token: str = "") -> dict[str, str]:
    return {}


@pytest.mark.parametrize(
    "function",
    [_headers, partial(_headers, "t"), _Async(), _Async().__call__],
    ids=["function", "partial", "object", "method"],
)
def test_what_is_async_is_not_called_plainly(function: Any) -> None:
    assert not HeaderSource(function).calls_plainly
    assert not HeaderSource({}).calls_plainly


def test_a_copy_keeps_its_headers() -> None:
    config = WebSocketConfig(url=URL, headers={"X-A": "b"})
    assert config.replace(room="attic").headers is config.headers


def test_equal_settings_are_equal() -> None:
    assert WebSocketConfig(url=URL) == WebSocketConfig(url=URL)
    assert WebSocketConfig(url=URL, headers={"a": "b"}) == WebSocketConfig(url=URL, headers={"a": "b"})
    assert WebSocketConfig(url=URL, headers={"a": "b"}) != WebSocketConfig(url=URL)
    assert HeaderSource(None) != "none"
    assert HeaderSource({}) == HeaderSource(None) != HeaderSource({"X": "y"})
    assert repr(HeaderSource({})) == "HeaderSource(none)"


def test_error_delay_is_long_pollings_first_delay() -> None:
    config = LongPollingConfig(
        url=HTTP_URL, error_delay=0.5, reconnect=ReconnectConfig(base_delay=9, max_delay=7)
    )
    assert config.reconnect == ReconnectConfig(base_delay=0.5, max_delay=7)
    assert config.replace(error_delay=2.0).reconnect.base_delay == 2.0


def test_a_fallback_is_one_person_in_one_room() -> None:
    first = WebSocketConfig(url=URL, room="attic", sender="ada", outbox=OutboxConfig(max_size=7))
    second = SSEConfig(url=HTTP_URL, room="attic", sender="ada")
    config = FallbackConfig(transports=[first, second])  # type: ignore[arg-type]
    assert config.transports == (first, second)
    assert (config.first, config.room, config.sender, config.dialect) == (first, "attic", "ada", "chatlab")
    assert (config.outbox, config.reconnect) == (first.outbox, first.reconnect)
    assert (config.history, config.after, config.connect_timeout) == (50, None, 10.0)
    assert config.drain_timeout == 0.75
    assert FallbackConfig(transports=(first, second.replace(drain_timeout=2.0))).drain_timeout == 2.0
    for other in ({"room": "hall"}, {"sender": "bob"}, {"dialect": "text"}):
        with pytest.raises(SettingsError, match="the same room, sender and dialect"):
            FallbackConfig(transports=(first, second.replace(**other)))


def test_a_dialect_is_a_name_or_one_of_the_users_own_which_prints_nothing_but_its_name() -> None:
    class Own:
        name = "own"
        token = "s3cret"

        def __repr__(self) -> str:
            return f"Own({self.token})"

    own = Own()
    config = WebSocketConfig(url=URL, dialect=own)
    assert (config.dialect, config.dialect_name) == (own, "own")
    assert WebSocketConfig(url=URL).dialect_name == "chatlab"
    assert "dialect='own'" in repr(config)
    assert "s3cret" not in repr(config)
    assert FallbackConfig(transports=(config, config)).dialect_name == "own"
    for wrong in (7, "", None):
        with pytest.raises(SettingsError, match=r"WebSocketConfig\.dialect: give the name of one"):
            WebSocketConfig(url=URL, dialect=wrong)
    with pytest.raises(SettingsError, match=r"WebSocketConfig\.dialect: give an instance: Own\(\)"):
        WebSocketConfig(url=URL, dialect=Own)


@pytest.mark.parametrize(("heartbeat", "got"), [("sever", "'sever'"), (5, "a int"), ([], "a list")])
def test_a_dialect_has_a_known_heartbeat(heartbeat: object, got: str) -> None:
    class Own:
        name = "own"

    own = Own()
    own.heartbeat = heartbeat  # type: ignore[attr-defined]
    with pytest.raises(SettingsError) as refused:
        WebSocketConfig(url=URL, dialect=own)
    choices = "json, ping, none, server, both"
    assert str(refused.value) == (
        f"WebSocketConfig.dialect: the heartbeat of 'own' must be one of {choices}, got {got}"
    )
    own.heartbeat = "server"  # type: ignore[attr-defined]
    assert WebSocketConfig(url=URL, dialect=own).dialect is own


KNOWN = "wss://ada:pass@h:1/p?a=1111&b=2222&a=3333&bare#frag"


@pytest.mark.parametrize(
    ("typed", "whole"),
    [
        (redacted(KNOWN), KNOWN),
        (KNOWN, KNOWN),
        ("ws://other/***", None),
        ("ws://other/p", "ws://other/p"),
        ("wss://***@h:1/q?b=***", "wss://ada:pass@h:1/q?b=2222"),
        ("wss://h:1/p?a=***&a=***", "wss://h:1/p?a=1111&a=3333"),
        ("wss://h:1/p?***&a=new", "wss://h:1/p?bare&a=new"),
        ("wss://h:1/p#***", "wss://h:1/p#frag"),
        ("https://***@h:1/", "https://ada:pass@h:1/"),
    ],
)
def test_hidden_secrets_are_put_back_where_they_were(typed: str, whole: str | None) -> None:
    assert str.__str__(with_secrets(typed, KNOWN)) == (typed if whole is None else whole)


@pytest.mark.parametrize(
    "typed",
    [
        "ws://***@h:1/p",  # without TLS
        "wss://***@h:2/p",
        "wss://***@evil/p",
        "wss://***@h:1.evil/p",
        "wss://h:1/p?c=***",
        "wss://h:1/p?a=***&a=***&a=***",
        "wss://evil/p#***",
        "wss://evil/p?***",
    ],
)
def test_a_hidden_secret_goes_to_no_other_place(typed: str) -> None:
    with pytest.raises(SettingsError, match="stands for a secret of another address") as caught:
        with_secrets(typed, KNOWN)
    assert not {"pass", "1111", "2222", "frag"} & set(str(caught.value).split("'"))


def test_a_proxys_password_is_shown_no_more_than_a_urls() -> None:
    config = WebSocketConfig(url="ws://h/ws", proxy="http://ada:hush@proxy:3128")
    assert config.proxy == "http://ada:hush@proxy:3128"
    assert "hush" not in f"{config.proxy} {config}"


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("ws://[::1/ws", "has a complete IPv6 address in brackets"),
        ("ws://h:99999/", "has a port from 1 to 65535"),
        ("ws://h\u2100st/", "names a host without special characters"),  # its NFKC form has a slash
    ],
)
def test_what_makes_no_url_is_said_with_what_to_correct(url: str, wanted: str) -> None:
    with pytest.raises(SettingsError, match=rf"give a URL that {wanted}"):
        WebSocketConfig(url=url)


def test_A107_a_long_url_is_cut_where_it_is_shown_and_shows_no_secret() -> None:
    assert shown_url("ws://ada:s3cret@h/ws") == "ws://***@h/ws"
    assert shown_url(f"ws://ada:s3cret@{'h' * 9_999}").startswith("ws://***@hhh")
    assert len(shown_url("ws://h/" + "x" * 9_999)) == MOST_SHOWN


def test_a_url_through_a_proxy_keeps_all_but_its_place() -> None:
    assert through_proxy("wss://u:p@h:1/ws?x=1#y", "127.0.0.1", 5) == "wss://u:p@127.0.0.1:5/ws?x=1#y"
    assert through_proxy("http://[::1]", "127.0.0.1", 5) == "http://127.0.0.1:5"


def test_a_heartbeat_by_the_server_is_one_that_is_on() -> None:
    modes: list[HeartbeatMode | None] = [None, "json", "ping", "none", "server", "both"]
    assert [HeartbeatConfig(mode=mode).by_server for mode in modes] == [False] * 4 + [True] * 2
    assert not HeartbeatConfig(enabled=False, mode="server").by_server
