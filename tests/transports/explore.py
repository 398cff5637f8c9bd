"""The state diagrams of the machines, found by exploring their states.

`python -m tests.transports.explore` prints them; with `--write` it writes them into the machines' docstrings.
"""

from __future__ import annotations

import copy
import sys
from collections import deque
from collections.abc import Callable
from functools import cache
from math import inf
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from chatlab.dialects import find_dialect
from chatlab.dialects.base import Answer
from chatlab.messages import OutgoingMessage
from chatlab.settings import (
    FallbackConfig,
    LongPollingConfig,
    OutboxConfig,
    ReconnectConfig,
    SSEConfig,
    WebSocketConfig,
)
from chatlab.transports import fallback, polling, session, sse, websocket, websocket_states
from chatlab.transports.factory import make_machine
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Connect,
    Deliver,
    Disconnect,
    Effect,
    Event,
    Failure,
    Fetch,
    Notify,
    Opened,
    Received,
    ReceivedBytes,
    Settle,
    Submit,
    Tick,
    Typing,
)
from tests.dialects.greeting import GreetingDialect

WIDTH = 100
BEGIN, END = "<diagram>\n", "</diagram>"

Step = tuple[str, str, str, str]  # state, event, next state, effects
Alphabet = Callable[[Any], list[tuple[str, Event]]]


class Walk(NamedTuple):
    """An exploration: a machine, its possible events, and the part of its memory that makes a difference."""

    start: Any
    alphabet: Alphabet
    memory: Callable[[Any], object]
    states: tuple[str, ...]
    posts: bool = (
        False  # whether to show the poster's effects, which are the same in all states of the receiver
    )
    only: str = ""  # the state whose steps to show, to and from; "": all


COMMON: dict[str, Any] = {
    "headers": lambda failure: {},
    "reconnect": ReconnectConfig(max_attempts=1, jitter="none", stable_after=1e9),
    "outbox": OutboxConfig(max_size=1, max_age=1e9),
    "drain_timeout": 7.0,
}
"""Settings that lead to each case within a few events: one retry, one message."""

WHIMS: list[tuple[str, Event]] = [
    ("Connect", Connect()),
    ("Disconnect", Disconnect()),
    ("Submit", Submit(OutgoingMessage("hi", client_id="a"))),
    ("Typing", Typing()),
    ("Tick", Tick()),
]


def machine_of(config: Any) -> Any:
    return make_machine(config, find_dialect(config.dialect), lambda: 0.0)


def http_machine_of(config: Any) -> Any:
    """Return a machine that has its CSRF token already, which halves the exploration."""
    machine = machine_of(config)
    machine._poster._csrf_held = True
    return machine


def websocket_alphabet(machine: Any) -> list[tuple[str, Event]]:
    """Return the possible next events by their names in the diagram."""
    link = machine._links._latest
    events = list(WHIMS)
    if machine.state == "connecting":
        events.append(("Opened", Opened(link)))
        events.append(("Closed(401)", Closed(link, Failure("http", 401))))
    if machine.state in ("online", "draining"):
        events += [
            ("message", Received(link, '{"type":"message","id":"1"}')),
            ("ack", Received(link, '{"type":"ack","client_id":"a"}')),
            ("nack", Received(link, '{"type":"nack","client_id":"a","status":422}')),
            ("nack(503)", Received(link, '{"type":"nack","client_id":"a","status":503}')),
            ("pong", Received(link, '{"type":"pong","id":1}')),
            ("Closed(1000)", Closed(link, Failure("close", 1000))),
        ]
    if machine.state in ("connecting", "online", "draining"):
        events.append(("Closed(retry)", Closed(link, Failure("reset"))))
        events.append(("Closed(give up)", Closed(link, Failure("tls"))))
    return events


def retry_state_of(machine: Any) -> tuple[object, ...]:
    retry_state = machine._retry_state
    return (
        machine.state,
        machine.status,
        retry_state._renewed,
        retry_state._was_connected,
        retry_state.backoff.attempts,
        len(machine._ledger.outbox._queue),
        machine.unsettled,
    )


def greeting_alphabet(machine: Any) -> list[tuple[str, Event]]:
    """Return the events of a WebSocket whose dialect greets."""
    link = machine._links._latest
    events = [(name, event) for name, event in websocket_alphabet(machine) if "ack" not in name]
    if machine.state == "greeting":
        events += [
            ("welcome", Received(link, '{"type":"welcome","cursor":"0"}')),
            ("pong", Received(link, '{"type":"pong","id":0}')),
            ("ping", Received(link, '{"type":"ping","id":1}')),
            ("Refused", Received(link, '{"type":"refused","reason":"full"}')),
            ("Refused(401)", Received(link, '{"type":"refused","reason":"who","status":401}')),
            ("Closed(retry)", Closed(link, Failure("reset"))),
            ("Closed(give up)", Closed(link, Failure("tls"))),
        ]
    return events


def websocket_memory(machine: Any) -> object:
    beat = getattr(machine._state, "heartbeat", None)
    held = bool(getattr(machine._wire, "_held", ()))
    return (*retry_state_of(machine), beat and beat.open, held)


def http_memory(machine: Any) -> object:
    poster = machine._poster
    late = getattr(machine._receiver, "_late", False)
    return *retry_state_of(machine), poster.link > 0, late


def posting_alphabet(machine: Any) -> list[tuple[str, Event]]:
    """Return the events of the poster, without typing, refusals and waits, as they are the same in all
    states."""
    events = [whim for whim in WHIMS if whim[0] != "Typing"]
    link = machine._poster.link
    if link:
        events.append(("post 201", Answered(link, Answer(201, b'{"type":"ack","client_id":"a"}'))))
    return events


def sse_alphabet(machine: Any) -> list[tuple[str, Event]]:
    events = posting_alphabet(machine)
    link = machine._receiver.link
    if machine.state == "connecting":
        events += [
            ("stream 200", Opened(link, "text/event-stream")),
            ("stream 200 HTML", Opened(link, "text/html")),
            ("stream 204", Answered(link, Answer(204))),
            ("stream 401", Answered(link, Answer(401))),
            ("stream 503", Answered(link, Answer(503))),
        ]
    if machine.state == "online":
        events.append(("message", ReceivedBytes(link, b'data: {"type":"message","id":"1"}\n\n')))
    if link:
        events.append(("Closed(retry)", Closed(link, Failure("reset"))))
    return events


def greeting_stream_alphabet(machine: Any) -> list[tuple[str, Event]]:
    """Return the events of a stream whose dialect greets."""
    link = machine._receiver.link
    events = sse_alphabet(machine)
    if machine.state == "greeting":
        events += [
            ("welcome", ReceivedBytes(link, b'data: {"type":"welcome","cursor":"0"}\n\n')),
            ("Refused", ReceivedBytes(link, b'data: {"type":"refused","reason":"full"}\n\n')),
            ("Refused(401)", ReceivedBytes(link, b'data: {"type":"refused","reason":"x","status":401}\n\n')),
        ]
    return events


def poll_alphabet(machine: Any) -> list[tuple[str, Event]]:
    events = posting_alphabet(machine)
    link = machine._receiver.link
    if link:
        events += [
            ("poll 200", Answered(link, Answer(200, b"[]"))),
            ("poll 200 in full", Answered(link, Answer(200, b'[{"id":"1"}]', {"chat-more": "1"}))),
            ("poll 410", Answered(link, Answer(410))),
            ("poll 401", Answered(link, Answer(401))),
            ("poll 503", Answered(link, Answer(503))),
            ("Closed(retry)", Closed(link, Failure("reset"))),
        ]
    return events


def poll_memory(machine: Any) -> object:
    return http_memory(machine), machine._ledger.cursor.last_id


def fallback_alphabet(machine: Any) -> list[tuple[str, Event]]:
    events = [whim for whim in WHIMS if whim[0] in ("Connect", "Disconnect", "Tick")]
    for name, inner in (("", machine._current), ("probe ", machine._probe)):
        if inner is None:
            continue
        webby = hasattr(inner, "_links")
        link = inner._state.link if webby else inner._receiver.link
        if inner.state == "connecting":
            events.append((f"{name}opened", Opened(link, "text/event-stream")))
        if inner.state == "online":
            received = Received(link, '{"type":"pong","id":0}') if webby else ReceivedBytes(link, b":\n")
            events.append((f"{name}received", received))
        if link:
            events.append((f"{name}Closed(retry)", Closed(link, Failure("reset"))))
            events.append((f"{name}Closed(give up)", Closed(link, Failure("tls"))))
    return events


def fallback_memory(machine: Any) -> object:
    inner = [each and (each.state, each.status) for each in (machine._current, machine._probe)]
    return machine.state, machine.status, inner, machine._tries, machine._backoff.attempts


def shown(effect: Effect) -> str:
    """Return an effect with the detail that distinguishes it from others of its kind."""
    name = type(effect).__name__
    match effect:
        case Notify(change):
            return f"{name}({change.status})"
        case Settle(state=state):
            return f"{name}({state})"
        case Close(code=code):
            return f"{name}({code})"
        case Deliver(event):
            return f"{name}({event.type})"
        case Fetch(purpose=purpose):
            return f"{name}({purpose})"
        case _:
            return name


def posts(effect: Effect, before: Any) -> bool:
    """Return whether an effect is the poster's."""
    poster = before._poster
    match effect:
        case Fetch(purpose=purpose):
            return purpose == "post"
        case Close(link=link):
            return bool(link == poster.link)
        case _:
            return isinstance(effect, Settle)


@cache
def explore(walk: Walk) -> list[Step]:
    """Walk breadth-first through all reachable states; return each kind of step once."""
    start = walk.start()
    seen = {repr(walk.memory(start))}
    steps: dict[Step, None] = {}
    todo = deque([(start, 0.0)])
    while todo:
        before, now = todo.popleft()
        for name, event in walk.alphabet(before):
            machine = copy.deepcopy(before)
            at = max(now, machine.deadline) if isinstance(event, Tick) and machine.deadline < inf else now
            effects = machine.handle(event, at)
            telling = [effect for effect in effects if walk.posts or not posts(effect, before)]
            steps[before.state, name, machine.state, ", ".join(map(shown, telling))] = None
            key = repr(walk.memory(machine))
            if key not in seen:
                seen.add(key)
                todo.append((machine, at))
    return list(steps)


def diagram(walk: Walk) -> str:
    """Return the diagram: one line per transition. Events with the same transition share a line, and those
    without effect are left out."""
    steps = explore(walk)
    telling = [step for step in steps if step[0] != step[2] or step[3]]
    if walk.only:
        telling = [step for step in telling if walk.only in (step[0], step[2])]
    common = {
        (event, effects)
        for _, event, _, effects in telling
        if everywhere(telling, event, effects, walk.states)
    }
    merged: dict[tuple[str, str, str], dict[str, None]] = {}
    for state, event, after, effects in telling:
        key = ("any", "same", effects) if (event, effects) in common else (state, after, effects)
        merged.setdefault(key, {})[event] = None
    lines = [
        f"{state} --{' | '.join(events)}--> {after}{': ' + effects if effects else ''}\n"
        for (state, after, effects), events in merged.items()
    ]
    return "".join(sorted(lines, key=lambda line: ("any", *walk.states).index(line.split(" --", 1)[0])))


def everywhere(steps: list[Step], event: str, effects: str, states: tuple[str, ...]) -> bool:
    """Return whether the event can have these effects in every state, without a change of state."""
    loops = {
        state
        for state, event_, after, effects_ in steps
        if (state, event_, effects_) == (after, event, effects)
    }
    return loops == set(states)


WALKS: dict[ModuleType, Walk] = {
    websocket: Walk(
        lambda: machine_of(WebSocketConfig(url="ws://h/", **COMMON)),
        websocket_alphabet,
        websocket_memory,
        ("idle", "connecting", "online", "draining", "waiting"),
        posts=True,
    ),
    websocket_states: Walk(
        lambda: machine_of(WebSocketConfig(url="ws://h/", dialect=GreetingDialect(), **COMMON)),
        greeting_alphabet,
        websocket_memory,
        ("idle", "connecting", "greeting", "online", "draining", "waiting"),
        posts=True,
        only="greeting",
    ),
    sse: Walk(
        lambda: http_machine_of(SSEConfig(url="http://h/", **COMMON)),
        sse_alphabet,
        http_memory,
        ("idle", "connecting", "online", "waiting", "draining"),
    ),
    session: Walk(
        lambda: http_machine_of(SSEConfig(url="http://h/", dialect=GreetingDialect(), **COMMON)),
        greeting_stream_alphabet,
        http_memory,
        ("idle", "connecting", "greeting", "online", "waiting", "draining"),
        only="greeting",
    ),
    polling: Walk(
        lambda: http_machine_of(LongPollingConfig(url="http://h/", **COMMON)),
        poll_alphabet,
        poll_memory,
        ("idle", "asking", "pausing", "waiting", "draining"),
    ),
    fallback: Walk(
        lambda: machine_of(
            FallbackConfig(
                transports=(
                    WebSocketConfig(url="ws://h/", **COMMON),
                    SSEConfig(url="http://h/", **COMMON),
                ),
                attempts_per_transport=1,
                upgrade_after=1.0,
            )
        ),
        fallback_alphabet,
        fallback_memory,
        ("idle", "trying 1", "working 1", "trying 2", "working 2", "working 2 + probe", "waiting"),
        posts=True,
    ),
}
"""The modules with a diagram in their docstring, and the exploration that makes it."""


def with_diagram(source: str, drawn: str) -> str:
    """Return a module's source with the new diagram in its docstring."""
    head, _, rest = source.partition(BEGIN)
    return head + BEGIN + drawn + rest[rest.index(END) :]


if __name__ == "__main__":
    for module, walk in WALKS.items():
        if "--write" in sys.argv[1:]:
            file = Path(str(module.__file__))
            source = file.read_text(encoding="utf-8")
            file.write_text(with_diagram(source, diagram(walk)), encoding="utf-8")
        else:
            sys.stdout.write(f"{module.__name__}\n{diagram(walk)}\n")
