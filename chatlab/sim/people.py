"""People: who they are, in which room, when they come, and what they send."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log1p
from typing import Annotated, Literal

from msgspec import Meta

from chatlab.errors import SettingsError
from chatlab.luck import Luck
from chatlab.messages import MAX_CONTENT_SIZE
from chatlab.settings import Duration, Name, Settings, Size
from chatlab.sim.driver import Driver
from chatlab.sim.environment import LadderEnvironment
from chatlab.transports.backoff import Uniform

Rate = Annotated[float, Meta(ge=0, le=1e6)]


class ScriptEntry(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one person does at `at`: send a `text`, or connect or disconnect."""

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
    """Who takes part.

    `count` people are spread evenly over `rooms`. They first connect within `arrive_over` seconds, uniformly;
    from then on each sends `send_rate` messages a second (Poisson) of `message_size` bytes. The first have
    the names that the `script` uses, the others are person-1, person-2 …; whom the script tells to connect
    doesn't come before.
    """

    count: Size = 1
    rooms: Size = 1
    send_rate: Rate = 0.0
    message_size: Annotated[int, Meta(ge=1, le=MAX_CONTENT_SIZE)] = 80
    arrive_over: Duration = 0.0
    script: tuple[ScriptEntry, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        scripted = self.scripted
        if len(scripted) > self.count:
            shown = ", ".join(scripted[:5]) + (" …" if len(scripted) > 5 else "")
            raise SettingsError(
                f"PeopleConfig.count: the script has {len(scripted)} people ({shown}), got {self.count}"
            )

    @property
    def scripted(self) -> list[str]:
        """The names that the script uses, in the order of their first use."""
        return list(dict.fromkeys(entry.person for entry in self.script))

    @property
    def names(self) -> list[str]:
        """Everybody's name, by their numbers."""
        names = [f"person-{number}" for number in range(1, self.count + 1)]
        scripted = self.scripted
        numbered = set(names).intersection(scripted)
        free = (number for number, name in enumerate(names) if name not in numbered)
        for name in scripted:
            if name not in numbered:
                names[next(free)] = name
        return names

    def room(self, person: int) -> int:
        """The number of a person's room, from 0."""
        return person % self.rooms


class Sender:
    """Lets one person send at random times, from now on: a Poisson process."""

    __slots__ = ("_driver", "_environment", "_rate", "_text", "_uniform")

    def __init__(
        self, environment: LadderEnvironment, driver: Driver, rate: float, text: str, uniform: Uniform
    ) -> None:
        self._environment = environment
        self._driver = driver
        self._rate = rate
        self._text = text
        self._uniform = uniform

    def wait(self) -> None:
        """Wait until the next message is to be sent."""
        self._environment.call_later(-log1p(-self._uniform()) / self._rate, self._send)

    def _send(self) -> None:
        self._driver.submit(self._text)
        self.wait()


def bring(
    people: PeopleConfig, drivers: Sequence[Driver], environment: LadderEnvironment, luck: Luck
) -> None:
    """Schedule what everybody will do."""
    text = "x" * people.message_size
    awaited = set(_first_connecting(people.script))
    for driver in drivers:
        arrive_at = (
            people.arrive_over * luck.uniform(driver.person, "arrive")() if people.arrive_over else 0.0
        )
        if driver.name not in awaited:
            environment.call_at(arrive_at, driver.connect)
        if people.send_rate:
            sender = Sender(environment, driver, people.send_rate, text, luck.uniform(driver.person, "send"))
            environment.call_at(arrive_at, sender.wait)
    by_name = {driver.name: driver for driver in drivers}
    for entry in people.script:
        driver = by_name[entry.person]
        match entry.action:
            case "send":
                environment.call_at(entry.at, driver.submit, entry.text)
            case "connect":
                environment.call_at(entry.at, driver.connect)
            case "disconnect":
                environment.call_at(entry.at, driver.disconnect)


def _first_connecting(script: Iterable[ScriptEntry]) -> list[str]:
    """The people of whom the script first tells, by time, that they connect."""
    first: dict[str, str] = {}
    for entry in sorted(script, key=lambda entry: entry.at):
        if entry.action != "send":
            first.setdefault(entry.person, entry.action)
    return [person for person, action in first.items() if action == "connect"]
