"""Sizes in bytes above TCP, headers included."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import urlencode

from chatlab.dialects.base import Answer, Request
from chatlab.dialects.serving import STREAM_TYPE

# A WebSocket's opening, as websockets and uvicorn send it, read off a socket.
UPGRADE_SIZE = len(
    "GET /ws? HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: 24 characters of base64.\r\nSec-WebSocket-Version: 13\r\n"
    "User-Agent: Python/3.11 websockets/17.4\r\n\r\n"
)
UPGRADED_SIZE = len(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: 28 characters of base64.....\r\ndate: Mon, 23 Nov 2026 06:07:08 GMT\r\n\r\n"
)
STOPPING_SIZE = len(
    "HTTP/1.1 500 Internal Server Error\r\nDate: Mon, 23 Nov 2026 06:07:08 GMT\r\nConnection: close\r\n"
    "Content-Length: 21\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nInternal Server Error"
)

# What httpx 0.28 and uvicorn with the embedded server's headers send, as read off a socket.
_REQUEST = (
    " HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nConnection: keep-alive\r\nUser-Agent: python-httpx/0.28.1\r\n"
    "Accept-Encoding: gzip\r\n\r\n"
)
_ANY = "Accept: */*\r\n"
_ANSWER = "\r\ndate: Mon, 23 Nov 2026 06:07:08 GMT\r\ncache-control: no-store\r\n\r\n"
_NOSNIFF = "x-content-type-options: nosniff\r\n"
_JSON = f"{_NOSNIFF}content-type: application/json\r\n"
STREAM_HEAD_SIZE = len(
    f"HTTP/1.1 200 OK{_ANSWER}{_NOSNIFF}content-type: {STREAM_TYPE}\r\nx-accel-buffering: no\r\n"
    "Transfer-Encoding: chunked\r\n"
)
CLOSING_SIZE = len("connection: close\r\n")
STREAM_END_SIZE = len("0\r\n\r\n")

_NAMED = frozenset(HTTPStatus)
_PLAIN = re.compile(r"[\w.~-]*", re.ASCII).fullmatch


def frame_size(content: str | bytes, *, masked: bool) -> int:
    """Return the size of a WebSocket frame with its header; a client's are masked. Source: RFC 6455 §5.2."""
    size = len(content) if isinstance(content, bytes) or content.isascii() else len(content.encode())
    return framed_size(size) + 4 * masked


def framed_size(size: int) -> int:
    """Return the size of an unmasked frame with `size` bytes of payload."""
    return size + (2 if size < 126 else 4 if size < 65536 else 10)


def payload_size(size: int) -> int:
    """Return the size of the payload in an unmasked frame of `size` bytes."""
    return size - (2 if size < 126 + 2 else 4 if size < 65536 + 4 else 10)


def upgrade_size(protocols: Sequence[str] = ()) -> int:
    """Return the size of a WebSocket's opening request without its query."""
    return UPGRADE_SIZE + (len(f"Sec-WebSocket-Protocol: {', '.join(protocols)}\r\n") if protocols else 0)


def query_size(query: Mapping[str, str]) -> int:
    """Return the size of a query; quickly, if nothing in it is to be escaped."""
    words = "".join(query) + "".join(query.values())
    if query and _PLAIN(words):
        return len(words) + 2 * len(query) - 1
    return len(urlencode(query))


def request_size(request: Request) -> int:
    """Return the size of a request, head and body."""
    size = len(request.method) + 1 + len(request.path) + len(_REQUEST)
    if request.query:
        size += 1 + query_size(request.query)
    if "Accept" not in request.headers:
        size += len(_ANY)
    size += _fields_size(request.headers)
    if request.method == "POST":
        body = len(request.body.encode())
        size += len(f"Content-Length: {body}\r\n") + body
    return size


def answer_size(answer: Answer) -> int:
    """Return the size of an answer, head and body."""
    size = _status_size(answer.status) + _fields_size(answer.headers)
    if answer.status != HTTPStatus.NO_CONTENT:
        size += len(f"content-length: {len(answer.body)}\r\n{_JSON}") + len(answer.body)
    return size


@lru_cache
def _status_size(status: int) -> int:
    """Return the size of an answer's head without the fields of the answer itself."""
    phrase = HTTPStatus(status).phrase if status in _NAMED else ""  # as uvicorn has it
    return len(f"HTTP/1.1 {status} {phrase}{_ANSWER}")


def chunk_size(data: bytes) -> int:
    """Return the size of a chunk with its length line."""
    return len(f"{len(data):x}\r\n\r\n") + len(data)


def _fields_size(headers: Mapping[str, str]) -> int:
    return sum(len(name) + len(value.encode()) + len(": \r\n") for name, value in headers.items())
