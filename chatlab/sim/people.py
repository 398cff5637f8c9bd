"""People: their names, rooms, arrivals and messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log1p
from typing import Annotated, Literal, Protocol, overload

from msgspec import Meta

from chatlab.errors import SettingsError
from chatlab.messages import MAX_CONTENT_SIZE
from chatlab.random_streams import RandomStreams
from chatlab.settings import Duration, Name, Settings
from chatlab.sim.calendar import OrderedCalendar
from chatlab.sim.groups import Group, Membership, check_groups
from chatlab.transports.backoff import Uniform

Rate = Annotated[float, Meta(ge=0, le=1e6)]
Crowd = Annotated[int, Meta(ge=1, le=1_000_000)]
"""A number of people that fits into 2 GB of memory."""


Start = Literal["arriving", "connected"]
WARM_UP = 90.0
"""Length of the warm-up before 0, in seconds. People who are connected at the start connect during it."""
WARM_UP_ARRIVALS = 60.0
"""Seconds of the warm-up over which people connect, so that their heartbeats and polls don't coincide."""


class ScriptEntry(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One action of one person at `at`: send a `text`, connect, or disconnect."""

    at: Duration
    person: Name
    text: Annotated[str, Meta(max_length=MAX_CONTENT_SIZE // 4)] = ""
    action: Literal["send", "connect", "disconnect"] = "send"

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.action == "send") != bool(self.text):
            raise SettingsError(
                "ScriptEntry: give either a text to send, or the action 'connect' or 'disconnect'"
            )


class PeopleConfig(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The people of a scenario.

    `count` people are spread evenly over `rooms`. They first connect within `arrive_over` seconds, uniformly;
    from then on each sends `send_rate` messages a second (Poisson) of `message_size` bytes. They are named
    person-1, person-2 …; other names in the `script` replace the first of these. A person whose first
    action in the script is to connect doesn't connect before. Each of the `groups` is a share of the people.

    They arrive within the run, or are connected when it starts: then they connect `WARM_UP` seconds before,
    over `WARM_UP_ARRIVALS` seconds, at a server that has room for all.
    """

    count: Crowd = 1
    rooms: Crowd = 1
    send_rate: Rate = 0.0
    message_size: Annotated[int, Meta(ge=1, le=MAX_CONTENT_SIZE)] = 80
    arrive_over: Duration = 0.0
    start: Start = "arriving"
    script: tuple[ScriptEntry, ...] = ()
    groups: tuple[Group, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        scripted = self.scripted
        if len(scripted) > self.count:
            shown = ", ".join(scripted[:5]) + (" …" if len(scripted) > 5 else "")
            raise SettingsError(
                f"PeopleConfig.count: the script has {len(scripted)} people ({shown}), got {self.count}"
            )
        check_groups(self.groups, "people.groups")
        if self.start == "connected" and self.arrive_over:
            raise SettingsError(
                "PeopleConfig.arrive_over: people who are connected at the start don't arrive; leave it out, "
                "or set start to 'arriving'"
            )

    @property
    def scripted(self) -> list[str]:
        """The names that the script uses, in the order of their first use."""
        return list(dict.fromkeys(entry.person for entry in self.script))

    @property
    def names(self) -> list[str]:
        """The names of all people, by number."""
        return list(Names(self))

    @property
    def begins_at(self) -> float:
        """Time at which their first connections begin: 0, or before it if they are connected at 0."""
        return -WARM_UP if self.start == "connected" else 0.0

    @property
    def membership(self) -> Membership:
        """The group of each person."""
        return Membership(self.groups, self.count)

    def room(self, person: int) -> int:
        """The number of a person's room, from 0."""
        return person % self.rooms


class Names(Sequence[str]):
    """The names of all people, by number. They are made on demand, to save memory."""

    def __init__(self, people: PeopleConfig) -> None:
        self._numbers = range(people.count)
        scripted = people.scripted
        numbered = {f"person-{number + 1}": number for number in self._numbers} if scripted else {}
        used = {numbered[name] for name in scripted if name in numbered}
        free = (number for number in self._numbers if number not in used)
        self._others = {next(free): name for name in scripted if name not in numbered}

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, person: int) -> str: ...
    @overload
    def __getitem__(self, person: slice) -> list[str]: ...
    def __getitem__(self, person: int | slice) -> str | list[str]:
        number = self._numbers[person]
        if isinstance(number, range):
            return [self[each] for each in number]
        return self._others.get(number) or f"person-{number + 1}"


class Participant(Protocol):
    """A person's actions, in any world. People are numbered from 0."""

    person: int

    @property
    def name(self) -> str:
        """The person's name."""

    def connect(self) -> None:
        """Ask to be connected."""

    def disconnect(self) -> None:
        """Ask to be disconnected."""

    def submit(self, text: str) -> None:
        """Send a message."""


class MessageSource:
    """The messages of one person at random times, from now on: a Poisson process."""

    __slots__ = ("_calendar", "_participant", "_rate", "_text", "_uniform")

    def __init__(
        self, calendar: OrderedCalendar, participant: Participant, rate: float, text: str, uniform: Uniform
    ) -> None:
        self._calendar = calendar
        self._participant = participant
        self._rate = rate
        self._text = text
        self._uniform = uniform

    def wait(self) -> None:
        """Schedule the next message."""
        self._calendar.call_later(-log1p(-self._uniform()) / self._rate, self._send)

    def _send(self) -> None:
        self._participant.submit(self._text)
        self.wait()


def arrival_times(people: PeopleConfig, streams: RandomStreams) -> list[float]:
    """Return when each person first connects, unless the script connects them: before 0 if they are
    connected at 0."""
    if people.start == "connected":
        shares = streams.first("arrive", people.count)
        return [people.begins_at + WARM_UP_ARRIVALS * share for share in shares]
    if not people.arrive_over:
        return [0.0] * people.count
    return [people.arrive_over * share for share in streams.first("arrive", people.count)]


def schedule_people(
    people: PeopleConfig,
    participants: Sequence[Participant],
    calendar: OrderedCalendar,
    streams: RandomStreams,
) -> None:
    """Schedule the actions of all people."""
    text = "x" * people.message_size
    awaited = set(_first_connecting(people.script))
    arrivals = arrival_times(people, streams)
    for participant in participants:
        person = participant.person
        arrive_at = arrivals[person]
        if participant.name not in awaited:
            calendar.call_at(arrive_at, participant.connect)
        if people.send_rate:
            source = MessageSource(
                calendar, participant, people.send_rate, text, streams.uniform(person, "send")
            )
            calendar.call_at(max(arrive_at, 0.0), source.wait)
    by_name = {participant.name: participant for participant in participants}
    for entry in people.script:
        participant = by_name[entry.person]
        match entry.action:
            case "send":
                calendar.call_at(entry.at, participant.submit, entry.text)
            case "connect":
                calendar.call_at(entry.at, participant.connect)
            case "disconnect":
                calendar.call_at(entry.at, participant.disconnect)


def _first_connecting(script: Iterable[ScriptEntry]) -> list[str]:
    """Return the people whose first action in the script, by time, is to connect."""
    first: dict[str, str] = {}
    for entry in sorted(script, key=lambda entry: entry.at):
        if entry.action != "send":
            first.setdefault(entry.person, entry.action)
    return [person for person, action in first.items() if action == "connect"]
