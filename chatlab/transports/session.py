"""The session of a transport over HTTP: what its receiver and its poster know of one attempt.

A session begins with each attempt to connect, and ends when the receiver fails or stops. A dialect that
greets has state for it (`HttpDialect.for_connection`), and lets no message out before the server's `Welcome`.
Other dialects have one object for all sessions, and are let in from the beginning.

State diagram of a stream's greeting, made by exploring the SSE machine with a dialect that greets. Polls stay
in their states meanwhile, and the attempt has the same deadline.

<diagram>
connecting --stream 200--> greeting
greeting --Disconnect--> idle: Close(1000), Notify(disconnected)
greeting --Tick | Refused--> waiting: Close(1006), Notify(reconnecting)
greeting --Closed(retry)--> waiting: Notify(reconnecting)
greeting --welcome--> online: Notify(connected)
greeting --Refused(401)--> connecting: Close(1006), Notify(reconnecting), Fetch(stream)
greeting --Submit--> greeting: Refuse
greeting --Refused(401) | Tick | Refused--> idle: Close(1006), Notify(error)
greeting --Closed(retry)--> idle: Notify(error)
</diagram>
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import inf

from chatlab.dialects.base import HttpDialect, Incoming, Refused, Reply, Welcome
from chatlab.transports.before_welcome import BeforeWelcome
from chatlab.transports.failures import refusal
from chatlab.transports.heartbeat import agreed
from chatlab.transports.ledger import Ledger
from chatlab.transports.machine import Effect, Failure

GREETING_GAP = 0.1
"""Minimum seconds between two polls of a greeting."""


class Session:
    """The current session. `number` changes when one begins or ends; `replies` are to be posted.

    `greets`: the server lets readers in by a `Welcome`, which must come until `deadline`. `silence` is the
    longest time without an answer in seconds, if the server has stated it. `came` notes the server's events
    or answers (`what`) before the `Welcome`.
    """

    __slots__ = (
        "_timeout",
        "_what",
        "came",
        "deadline",
        "greets",
        "http",
        "let_in",
        "number",
        "replies",
        "silence",
    )

    def __init__(self, http: HttpDialect, timeout: float, what: str, *, greets: bool) -> None:
        self.http = http
        self._what = what
        self._timeout = timeout
        self.greets = greets
        self.number = 0
        self.replies: deque[Reply] = deque()
        self.end()

    def begin(self, now: float) -> None:
        """Begin a session; the dialect may carry over what it knows from the last one."""
        self.end()
        self.http = self.http.for_connection()
        self.deadline = now + self._timeout if self.greets else inf

    def end(self) -> None:
        """End the session."""
        self.number += 1
        self.replies.clear()
        self.let_in = not self.greets
        self.came = BeforeWelcome(self._what)
        self.silence: float | None = None
        self.deadline = inf

    @property
    def missing(self) -> Failure:
        """The failure of an attempt without a `Welcome` in time."""
        return self.came.missing(self._timeout)

    def welcomed_by(self, items: Sequence[Incoming]) -> bool:
        """Note a `Welcome` among the items; return whether the reader is let in by now."""
        if self.greets:
            for item in items:
                if isinstance(item, Welcome):
                    self.let_in, self.deadline = True, inf
                    self.silence = agreed(item.heartbeat_interval, item.heartbeat_timeout)
        return self.let_in

    def read(self, items: Sequence[Incoming], ledger: Ledger, out: list[Effect]) -> Failure | None:
        """Read items in order; return the failure if the server refuses the session."""
        for item in items:
            if type(item) is Refused:  # `isinstance` is slow here, and these have no subclasses.
                return refusal(item)
            if type(item) is Reply:
                self.replies.append(item)
            else:
                ledger.read(item, out)
        return None
