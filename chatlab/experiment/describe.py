"""Descriptions of events and effects in plain text, for people and for the comparison of runs."""

from __future__ import annotations

import re

from chatlab.dialects.base import Request
from chatlab.messages import ChatEvent, StatusChange
from chatlab.text import visible_line
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Connect,
    Deliver,
    Disconnect,
    Effect,
    Event,
    Fetch,
    Notify,
    Opened,
    OpenWebSocket,
    Ping,
    Pinged,
    Pong,
    Received,
    ReceivedBytes,
    Refuse,
    Send,
    SendBytes,
    Settle,
    Submit,
    Tick,
    Typing,
)

_TIME_OF_DAY = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_IGNORED_HEADERS = frozenset({"content-type"})


def describe_event(event: Event) -> str:
    """Return a description of an event."""
    match event:
        case Connect():
            return "asks to connect"
        case Disconnect():
            return "asks to disconnect"
        case Submit(message):
            return f"sends {message.client_id}: {_quoted(message.text)}"
        case Typing():
            return "types"
        case Opened(link, protocol):
            return f"link {link} opens{f' ({protocol})' if protocol else ''}"
        case Received(link, data) | ReceivedBytes(link, data):
            return f"link {link} receives {_content(data)}"
        case Answered(link, answer):
            kept = {
                name: value for name, value in sorted(answer.headers.items()) if name not in _IGNORED_HEADERS
            }
            headers = "".join(f", {name}: {value}" for name, value in kept.items())
            return f"link {link} is answered {answer.status}{headers} {_content(answer.body)}".rstrip()
        case Pong(link, id):
            return f"link {link} receives pong {id}"
        case Pinged(link):
            return f"link {link} answers a ping"
        case Closed(link, failure):
            return f"link {link} ends ({failure})"
        case Tick():
            return "its deadline has come"


def describe_effect(effect: Effect) -> str:
    """Return a description of an effect."""
    match effect:
        case OpenWebSocket(link, query):
            return f"opens a WebSocket, link {link}{_query(query)}"
        case Fetch(link, purpose, request):
            return f"sends a {purpose} request, link {link}: {_request(request)}"
        case Send(link, data) | SendBytes(link, data):
            return f"link {link} sends {_content(data)}"
        case Ping(link, id):
            return f"link {link} sends ping {id}"
        case Close(link, code, reason):
            return f"closes link {link} ({code}{f': {reason}' if reason else ''})"
        case Deliver(event):
            return describe_delivery(event)
        case Notify(change):
            return describe_status(change)
        case Settle(client_id, state, reason):
            return f"{client_id} is {state}{f' ({reason})' if reason else ''}"
        case Refuse(client_id, reason):
            return f"{client_id} is refused ({reason})"


def describe_delivery(event: ChatEvent) -> str:
    """Return a description of a delivery."""
    if event.message is None:
        return f"gets the event {event.type}"
    return f"shows {event.message.client_id or event.message.id}: {_quoted(event.message.text)}"


def describe_status(change: StatusChange, *, reason: bool = True) -> str:
    """Return a description of a status, with its reason unless `reason` is False."""
    attempt = f", attempt {change.attempt}" if change.attempt else ""
    why = f" ({change.reason})" if reason and change.reason else ""
    return f"is {change.status}{attempt}{why}"


def _quoted(text: str) -> str:
    shown = visible_line(text)
    return f"“{shown[:40]}…”" if len(shown) > 40 else f"“{shown}”"


def _content(data: str | bytes) -> str:
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    return visible_line(_TIME_OF_DAY.sub("…", text))


def _query(query: dict[str, str]) -> str:
    return "?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else ""


def _request(request: Request) -> str:
    body = f" {_content(request.body)}" if request.body else ""
    return f"{request.method} {request.path}{_query(request.query)}{body}"
