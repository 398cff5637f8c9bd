"""Loggers whose records hold no secrets: their texts may quote an address, a header or a server's answer.

Secrets of all transports are removed from a record's text and traceback, and every URL in them is redacted.
The exception itself is dropped, since a handler could read its text.
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
    logger.addFilter(_without_secrets)  # Adds the filter only once.
    return logger


def _without_secrets(record: logging.LogRecord) -> bool:
    record.msg, record.args = _clean(record.getMessage()), None
    if record.exc_info:
        record.exc_text = _clean("".join(format_exception(record.exc_info[1])).rstrip("\n"))
        record.exc_info = None
    return True


def _clean(text: str) -> str:
    return _URL.sub(lambda url: redacted(url[0]), scrub(text, known_secrets()))
