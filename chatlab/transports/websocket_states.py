"""The states of a WebSocket machine.

- *idle*: not connected, and not trying. The status is `disconnected`, or `error` if it gave up.
- *connecting*: a link is being opened; the deadline is the connect timeout.
- *greeting*: the link is open, and the dialect `greets`: no message is sent before the server's `Welcome`.
  The deadline is still the attempt's connect timeout.
- *online*: the reader is connected; the deadline is the heartbeat's. The outbox is sent, and received
  messages move the cursor.
- *draining*: as online, but the application has asked to disconnect; it ends once the outbox is empty, or at
  the deadline.
- *waiting*: the link was lost; the deadline is the time of the next attempt.

State diagram of the greeting, made by exploring the machine with a dialect that greets; its other states are
as in `websocket.py`:

<diagram>
connecting --Opened--> greeting
greeting --Disconnect--> idle: Close(1000), Notify(disconnected)
greeting --Tick--> waiting: Close(1006), Notify(reconnecting)
greeting --welcome | ping--> greeting: Send
greeting --Refused--> waiting: Close(1000), Notify(reconnecting)
greeting --Refused(401)--> connecting: Close(1000), Notify(reconnecting), OpenWebSocket
greeting --Closed(retry)--> waiting: Notify(reconnecting)
greeting --Closed(give up) | Closed(retry)--> idle: Notify(error)
greeting --Submit--> greeting: Refuse
greeting --pong--> online: Notify(connected)
greeting --Refused(401) | Refused--> idle: Close(1000), Notify(error)
greeting --pong--> online: Notify(connected), Send, Settle(sent)
greeting --Tick--> idle: Close(1006), Notify(error)
</diagram>
"""

from __future__ import annotations

from math import inf

from chatlab.dialects.base import Opening
from chatlab.transports.before_welcome import BeforeWelcome
from chatlab.transports.heartbeat import Heartbeat, Silence

LONG_AGO = -inf  # One object for all machines; each `-inf` would create another.


class Idle:
    """The state without a link or a retry."""

    __slots__ = ()
    name = "idle"
    link = 0
    deadline = inf


class Connecting:
    """The state while a link is being opened."""

    __slots__ = ("deadline", "link", "opening")
    name = "connecting"

    def __init__(self, link: int, deadline: float, opening: Opening) -> None:
        self.link = link
        self.deadline = deadline
        self.opening = opening


class Open:
    """The part that the states with an open link share. Pongs are sent, and items are read."""

    __slots__ = ("answered_at", "link", "other_protocol")
    heartbeat: Heartbeat | Silence | None

    def __init__(self, link: int) -> None:
        self.link = link
        self.answered_at = LONG_AGO
        self.other_protocol = ""


class Greeting(Open):
    """The state while a link is open, and the server hasn't let the reader in."""

    __slots__ = ("came", "deadline")
    name = "greeting"
    heartbeat = None

    def __init__(self, link: int, deadline: float) -> None:
        super().__init__(link)
        self.deadline = deadline
        self.came = BeforeWelcome("frame")


class Online(Open):
    """The state while the reader is connected; `draining` once `drain_until` is set."""

    __slots__ = ("drain_until", "heartbeat", "opened_at")

    def __init__(self, link: int, now: float, heartbeat: Heartbeat | Silence | None) -> None:
        super().__init__(link)
        self.opened_at = now
        self.heartbeat = heartbeat
        self.drain_until = inf

    @property
    def name(self) -> str:
        return "online" if self.drain_until == inf else "draining"

    @property
    def deadline(self) -> float:
        until, heartbeat = self.drain_until, self.heartbeat
        return until if heartbeat is None or until < heartbeat.deadline else heartbeat.deadline


class Waiting:
    """The state between two attempts; the next one starts at the deadline."""

    __slots__ = ("deadline",)
    name = "waiting"
    link = 0

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline


IDLE = Idle()
