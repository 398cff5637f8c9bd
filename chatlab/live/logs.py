"""Loggers whose records hold no secrets: what they log may quote an address, a header or a server's words.

A record's text and its traceback are written without what any transport knows as a secret, and with every
URL redacted. The exception itself is not passed on, since a handler could read its text.
"""

from __future__ import annotations

import logging
import re
from traceback import format_exception

from chatlab.live.redaction import known_secrets
from chatlab.settings import scrub
from chatlab.settings.urls import redacted

_URL = re.compile(r"[A-Za-z][-+.0-9A-Za-z]*://[^\s'\"<>]+")


def get_logger(name: str = "chatlab") -> logging.Logger:
    """Return the logger of that name, whose records hold no secrets."""
    logger = logging.getLogger(name)
    logger.addFilter(_without_secrets)  # Which adds it once.
    return logger


def _without_secrets(record: logging.LogRecord) -> bool:
    record.msg, record.args = _clean(record.getMessage()), None
    if record.exc_info:
        record.exc_text = _clean("".join(format_exception(record.exc_info[1])).rstrip("\n"))
        record.exc_info = None
    return True


def _clean(text: str) -> str:
    return _URL.sub(lambda url: redacted(url[0]), scrub(text, known_secrets()))
