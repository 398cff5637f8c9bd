"""The state diagrams of the machines, found by walking them rather than by reading their code.

`python -m tests.transports.explore` prints them; with `--write` it puts them into the machines' docstrings.
"""

from __future__ import annotations

import copy
import sys
from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path
from types import ModuleType

from chatlab.dialects import find_dialect
from chatlab.messages import OutgoingMessage
from chatlab.settings import OutboxConfig, ReconnectConfig, WebSocketConfig
from chatlab.transports import websocket
from chatlab.transports.machine import (
    Close,
    Closed,
    Connect,
    Deliver,
    Disconnect,
    Effect,
    Event,
    Failure,
    Notify,
    Opened,
    Received,
    Settle,
    Submit,
    Tick,
    Typing,
)
from chatlab.transports.websocket import WebSocketMachine

WIDTH = 100
STATES = ["any", "idle", "connecting", "online", "draining", "waiting"]
BEGIN, END = "<diagram>\n", "</diagram>"

Step = tuple[str, str, str, str]  # state, event, next state, effects


def websocket_machine() -> WebSocketMachine:
    """A machine that meets each of its cases within a few events: one retry, one message."""
    config = WebSocketConfig(
        url="ws://127.0.0.1/",
        headers=lambda failure: {},
        reconnect=ReconnectConfig(max_attempts=1, jitter="none", stable_after=1e9),
        outbox=OutboxConfig(max_size=1, max_age=1e9),
        drain_timeout=7.0,
    )
    return WebSocketMachine(config, find_dialect("chatlab"), lambda: 0.0)


def websocket_alphabet(machine: WebSocketMachine) -> list[tuple[str, Event]]:
    """What may happen next, by the names that the diagram uses."""
    link = machine._links
    events: list[tuple[str, Event]] = [
        ("Connect", Connect()),
        ("Disconnect", Disconnect()),
        ("Submit", Submit(OutgoingMessage("hi", client_id="a"))),
        ("Typing", Typing()),
        ("Tick", Tick()),
    ]
    if machine.state == "connecting":
        events.append(("Opened", Opened(link)))
        events.append(("Closed(401)", Closed(link, Failure("http", 401))))
    if machine.state in ("online", "draining"):
        events += [
            ("message", Received(link, '{"type":"message","id":"1"}')),
            ("ack", Received(link, '{"type":"ack","client_id":"a"}')),
            ("nack", Received(link, '{"type":"nack","client_id":"a","status":422}')),
            ("pong", Received(link, '{"type":"pong","id":1}')),
            ("Closed(1000)", Closed(link, Failure("close", 1000))),
        ]
    if machine.state in ("connecting", "online", "draining"):
        events.append(("Closed(retry)", Closed(link, Failure("reset"))))
        events.append(("Closed(give up)", Closed(link, Failure("tls"))))
    return events


def shown(effect: Effect) -> str:
    """An effect with the one detail that tells it from others of its kind."""
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
        case _:
            return name


def explore(
    start: WebSocketMachine, alphabet: Callable[[WebSocketMachine], Iterable[tuple[str, Event]]]
) -> list[Step]:
    """Walk breadth-first through everything the machine can get into; return each kind of step once."""
    seen = {start.state}
    steps: dict[Step, None] = {}
    todo = deque([(start, 0.0)])
    while todo:
        before, now = todo.popleft()
        for name, event in alphabet(before):
            machine = copy.deepcopy(before)
            at = max(now, machine.deadline) if isinstance(event, Tick) and machine.deadline < inf else now
            effects = machine.handle(event, at)
            steps[before.state, name, machine.state, ", ".join(map(shown, effects))] = None
            beat = getattr(machine._state, "heartbeat", None)
            key = repr(
                (
                    machine.state,
                    machine.status,
                    machine._renewed,
                    machine._backoff.attempts,
                    machine.queued,
                    machine.unsettled,
                    beat and beat.open,
                )
            )
            if key not in seen:
                seen.add(key)
                todo.append((machine, at))
    return list(steps)


def diagram(steps: Iterable[Step]) -> str:
    """One line a transition. Events that do the same share it, and what does nothing is left out."""
    telling = [step for step in steps if step[0] != step[2] or step[3]]
    common = {(event, effects) for _, event, _, effects in telling if everywhere(telling, event, effects)}
    merged: dict[tuple[str, str, str], dict[str, None]] = {}
    for state, event, after, effects in telling:
        key = ("any", "same", effects) if (event, effects) in common else (state, after, effects)
        merged.setdefault(key, {})[event] = None
    lines = [
        f"{state} --{' | '.join(events)}--> {after}{': ' + effects if effects else ''}\n"
        for (state, after, effects), events in merged.items()
    ]
    return "".join(sorted(lines, key=lambda line: STATES.index(line.split(" ", 1)[0])))


def everywhere(steps: list[Step], event: str, effects: str) -> bool:
    """Whether the event can have these effects in every state, and changes none."""
    loops = {
        state
        for state, event_, after, effects_ in steps
        if (state, event_, effects_) == (after, event, effects)
    }
    return loops == set(STATES[1:])


def websocket_diagram() -> str:
    return diagram(explore(websocket_machine(), websocket_alphabet))


DIAGRAMS: dict[ModuleType, Callable[[], str]] = {websocket: websocket_diagram}
"""The modules whose docstrings hold a diagram, and how each is made."""


def with_diagram(source: str, drawn: str) -> str:
    """Return a module's source with the diagram in its place."""
    head, _, rest = source.partition(BEGIN)
    return head + BEGIN + drawn + rest[rest.index(END) :]


if __name__ == "__main__":
    for module, draw in DIAGRAMS.items():
        if "--write" in sys.argv[1:]:
            file = Path(str(module.__file__))
            source = file.read_text(encoding="utf-8")
            file.write_text(with_diagram(source, draw()), encoding="utf-8")
        else:
            sys.stdout.write(draw())
