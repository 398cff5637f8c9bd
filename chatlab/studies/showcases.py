"""Scenarios that show what the original document's snippets lose, beside figures measured with the snippets.

Each scenario runs with the snippets as written, and with chatlab's transports in their place. For some
figures it isn't fully known how they were measured; then a comment names the assumption. Expect such
figures to agree only in kind and order.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.settings import OutboxConfig, ReconnectConfig
from chatlab.sim.as_written.settings import SeedLongPolling, SeedShortPolling, SeedSSE, SeedWebSocket
from chatlab.sim.faults import HttpError, NoPong, ServerDown, ServerRestart
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.sim.transport_settings import (
    LongPollingSettings,
    OurTransport,
    ShortPollingSettings,
    SSESettings,
    WebSocketSettings,
)


class Shown(Struct, frozen=True):
    """The totals of a scenario.

    `attempts` to connect and messages `sent` are sums. Messages `lost`, `shown` (with repetitions) and
    `out_of_order` are means for each reader. `disconnected` people are counted at the end.
    """

    attempts: int
    sent: int
    lost: float
    shown: float
    out_of_order: float
    disconnected: int

    @property
    def lost_share(self) -> float:
        """The share of the messages that a reader loses, 0 to 1."""
        return self.lost / self.sent if self.sent else 0.0


class Showcase(Struct, frozen=True):
    """A fault of the original document's snippets.

    `scenario` answers the `question`. `ours` is the transport that replaces the snippet. `measured` has the
    figures of the snippet, by the fields of `Shown`.
    """

    question: str
    scenario: Scenario
    ours: OurTransport
    measured: Mapping[str, float] = MappingProxyType({})


def _script(texts: int, every: float, *people: str, begin: float = 1.0, gap: float = 0.0) -> PeopleConfig:
    """Return people who each send `texts` messages, `every` seconds apart, and start `gap` seconds apart."""
    script = tuple(
        ScriptEntry(at=begin + every * number + gap * place, person=person, text=f"{number + 1}")
        for number in range(texts)
        for place, person in enumerate(people)
    )
    return PeopleConfig(count=len(people), script=script)


SHOWCASES: Mapping[str, Showcase] = MappingProxyType(
    {
        # The server answers no ping from 25 s on, and is restarted 2 s after the first unanswered ping.
        "heartbeat": Showcase(
            "A server is stuck once, and restarted. How often do people connect in ten minutes?",
            Scenario(
                duration=600.0,
                people=PeopleConfig(count=1),
                transport=SeedWebSocket(),
                faults=(NoPong(at=25.0, duration=7.0), ServerRestart(at=32.0, duration=0.5)),
            ),
            WebSocketSettings(),
            {"attempts": 20},
        ),
        # 375 messages have arrived, and one is in flight. A server process that is restarted after 1 s needs
        # some time to start, so the first attempt, after 1.0 to 1.1 s, is refused.
        "queue": Showcase(
            "The server is killed while 1,000 messages are sent at 250 a second. How many are lost?",
            Scenario(
                duration=30.0,
                people=_script(1000, 1 / 250, "ada"),
                transport=SeedWebSocket(),
                network=NetworkConfig(latency=0.001),
                faults=(ServerDown(at=2.5005, duration=1.5),),
            ),
            WebSocketSettings(outbox=OutboxConfig(max_size=1000)),
            {"lost": 525},
        ),
        "long poll": Showcase(
            "Messages come at random, one a second; a round trip takes 100 ms. How many are lost?",
            Scenario(
                duration=1000.0,
                people=PeopleConfig(count=20, send_rate=0.05),
                transport=SeedLongPolling(),
                network=NetworkConfig(latency=0.05),
            ),
            LongPollingSettings(),
            {"lost_share": 0.093},
        ),
        # Assumption: 60 ms between the three messages, so that the second is lost and the third isn't. At
        # 40 ms both would be lost.
        "long poll, threes": Showcase(
            "300 messages come in threes. How many are lost?",
            Scenario(
                duration=290.0,
                people=_script(100, 2.0, "ada", "bob", "cyd", begin=30.0, gap=0.06),
                transport=SeedLongPolling(),
                network=NetworkConfig(latency=0.05),
            ),
            LongPollingSettings(),
            {"lost": 104},
        ),
        # Assumption: a new connection and its answer take 2.4 to 8 s.
        "short poll": Showcase(
            "Answers take longer than the interval. How often are 20 messages shown, and in which order?",
            Scenario(
                duration=150.0,
                people=_script(20, 3.0, "ada", begin=10.0),
                transport=SeedShortPolling(),
                network=NetworkConfig(latency=0.6, jitter=1.4, keep_alive=0.0),
            ),
            ShortPollingSettings(request_timeout=30.0),
            {"shown": 46, "out_of_order": 5},
        ),
        "stream": Showcase(
            "A proxy answers 503 while the server is deployed. Who is still away ten minutes later?",
            Scenario(
                duration=660.0,
                people=PeopleConfig(count=100, rooms=10, send_rate=0.01),
                transport=SeedSSE(),
                faults=(
                    ServerRestart(at=60.0, duration=0.5),
                    HttpError(at=60.0, duration=20.0, status=503),
                ),
            ),
            SSESettings(reconnect=ReconnectConfig(base_delay=3.0, max_attempts=None, jitter="full")),
        ),
    }
)
"""The snippets' faults by name. A fault without `measured` figures follows from the document and the
standard."""


def show(name: str, seed: int = 0, *, ours: bool = False) -> Shown:
    """Run a showcase with the snippet as written, or with `ours` in its place; return the totals.

    Errors: `KeyError` for a name that isn't in `SHOWCASES`; `SettingsError` as for `run`.
    """
    showcase = SHOWCASES[name]
    scenario = showcase.scenario.replace(seed=seed)
    return shown(run(scenario.replace(transport=showcase.ours) if ours else scenario))


def shown(result: Run) -> Shown:
    """Return the totals of a run."""
    metrics, people = result.metrics, result.scenario.people
    readers = people.count / people.rooms
    count = {name: int(metrics[name] or 0) for name in ("attempts", "sent", "lost", "out_of_order")}
    deliveries = int(metrics["delivered"] or 0) + int(metrics["duplicated"] or 0)
    return Shown(
        count["attempts"],
        count["sent"],
        count["lost"] / readers,
        deliveries / readers,
        count["out_of_order"] / readers,
        people.count - result.series["connected"][-1],
    )
