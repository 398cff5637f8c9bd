"""A79: no log record of any failure shows a secret."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path

import pytest

import chatlab
from chatlab.live.background_loop import BackgroundThread
from chatlab.live.loggers import get_logger
from chatlab.live.redaction import Redaction
from chatlab.settings import WebSocketConfig
from tests.live.watch import until

SECRETS = ("hush-hush", "t0ken-of-ada", "c00kie", "s1gned")


def failure() -> Exception:
    """Return an exception whose text and cause quote what a transport was given."""
    cause = KeyError("hush-hush and t0ken-of-ada")
    error = ValueError("at wss://eve:s1gned@chat.test/path?sig=s1gned#s1gned and with c00kie")
    error.__cause__ = cause
    return error


def assert_hidden(text: str) -> None:
    assert "wss://***@chat.test/path?sig=***#***" in text
    assert "KeyError" in text
    assert "Traceback" in text
    for secret in SECRETS:
        assert secret not in text


@pytest.fixture
def redaction() -> Redaction:
    known = Redaction([WebSocketConfig(url="ws://ada:hush-hush@chat.test/")])
    known.learn({"Authorization": "Bearer t0ken-of-ada", "Cookie": "sid=c00kie"})
    return known


def raise_and_log(logger: logging.Logger) -> None:
    try:
        raise failure()
    except ValueError as error:
        logger.exception("%s went wrong", error)


@pytest.mark.parametrize("name", ["chatlab", "chatlab.live.server.guard"])
def test_A79_no_log_of_an_exception_shows_a_secret(
    name: str, redaction: Redaction, caplog: pytest.LogCaptureFixture
) -> None:
    raise_and_log(get_logger(name))
    assert_hidden(caplog.text)
    (record,) = caplog.records
    assert record.exc_info is None, "a handler could read the exception's own text"
    assert not any(secret in str(vars(record)) for secret in SECRETS)


async def test_A79_the_background_loop_logs_unhandled_errors_without_secrets(
    redaction: Redaction, caplog: pytest.LogCaptureFixture
) -> None:
    thread = BackgroundThread()

    async def forgotten() -> None:
        raise failure()

    def begin() -> None:
        thread.loop.create_task(forgotten())

    thread.loop.call_soon_threadsafe(begin)
    await until(lambda: caplog.records)
    assert "on the background loop: Task exception was never retrieved" in caplog.text
    assert_hidden(caplog.text)
    await asyncio.to_thread(thread._close)


def test_A79_every_logger_removes_secrets() -> None:
    root = Path(chatlab.__file__).parent
    own = {
        f"{path.relative_to(root)}: {line.strip()}"
        for path in root.rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"\bgetLogger\(", line)
    }
    silent_or_others = {
        'live/server/connections.py: SILENT = logging.getLogger(f"{__name__}.uvicorn")',
        "live/client/http_session.py: logging.getLogger(_name).addFilter(_may_be_logged)",
    }
    assert own - silent_or_others == {"live/loggers.py: logger = logging.getLogger(name)"}
