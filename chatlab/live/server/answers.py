"""Parsing of requests to the server, and their JSON answers."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from chatlab.dialects import serving
from chatlab.dialects.base import Answer
from chatlab.dialects.chatlab import MAX_FRAME_SIZE
from chatlab.hub.requests import Refusal
from chatlab.messages import MAX_CONTENT_SIZE

PATHS = ("/ws", "/stream", "/messages", "/messages/poll", "/typing", "/csrf", "/healthz")
PARAMETERS = frozenset({"room", "sender", "after", "history", "limit", "hold"})


def parse_query(connection: HTTPConnection) -> dict[str, str]:
    """Return the parameters that the service knows, percent-decoded. Others, which may be secret, are
    ignored.

    Errors: `HTTPException` 400.
    """
    try:
        raw = connection.scope["query_string"].decode("ascii")
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise HTTPException(400, "the query must be percent-encoded UTF-8 with at most 50 fields") from None
    query: dict[str, str] = {}
    for name, value in pairs:
        if name in query:
            raise HTTPException(400, f"give {name} only once")
        if name in PARAMETERS:
            query[name] = value
    return query


async def body_of(request: Request) -> bytes:
    """Return the body of a JSON POST.

    Errors: `HTTPException` 415 if its content type isn't JSON, 413 if it is larger than any message.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "post JSON, with the header Content-Type: application/json")
    body = bytearray()
    if int(request.headers.get("content-length", 0)) <= MAX_FRAME_SIZE:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FRAME_SIZE:
                break
        else:
            return bytes(body)
    raise HTTPException(413, f"the body is too large; a message holds at most {MAX_CONTENT_SIZE:,} bytes")


def response(answer: Answer, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer as JSON that no cache stores."""
    own = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(
        answer.body, answer.status, {**own, **answer.headers, **(headers or {})}, "application/json"
    )


def problem(status: int, error: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a refusal as JSON."""
    return response(serving.problem(status, error), headers)


async def refuse(connection: HTTPConnection, exc: HTTPException | Refusal) -> Response | None:
    """Answer a request, or refuse a WebSocket's handshake, with a problem."""
    status: int
    headers: Mapping[str, str] | None
    if isinstance(exc, Refusal):
        status, error, headers = exc.status, exc.error, exc.answer.headers
    else:
        status, error, headers = exc.status_code, _error(exc), exc.headers
    if isinstance(connection, WebSocket):
        await deny(connection, status, error, headers)
        return None
    return problem(status, error, headers)


def _error(exc: HTTPException) -> str:
    if exc.status_code == 404:
        return f"there is no such path; the server has {', '.join(PATHS)}"
    if exc.status_code == 405:
        allowed = set((exc.headers or {})["Allow"].split(", ")) - {"HEAD"}
        return f"this path allows only {' and '.join(sorted(allowed))}"
    return exc.detail


async def deny(
    websocket: WebSocket, status: int, error: str, headers: Mapping[str, str] | None = None
) -> None:
    """Refuse a WebSocket's handshake with a problem.

    A browser hides that answer from its page, which would only see that the connection was lost (1006).
    Therefore a browser's handshake is accepted and the connection closed at once: with 1013 if the page may
    come back, otherwise with 4000 plus the status.
    """
    if not _is_browser(websocket):
        await websocket.send_denial_response(problem(status, error, headers))
        return
    await websocket.accept(next(iter(websocket.scope["subprotocols"]), None))
    websocket.scope["state"]["connection"].close(1013 if status == 503 else 4000 + status, error)


def _is_browser(websocket: WebSocket) -> bool:
    """Whether a page makes this handshake: every browser's name begins with "Mozilla/". Source: HTML standard
    §8.9.1.1."""
    return "origin" in websocket.headers and websocket.headers.get("user-agent", "").startswith("Mozilla/")


async def internal_error(request: Request, exc: Exception) -> Response:
    """Answer a request that failed inside the server with 500; `Guard` logs the error."""
    return problem(500, "internal server error; see the log of the server")
