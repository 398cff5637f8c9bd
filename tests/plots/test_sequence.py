from __future__ import annotations

from itertools import pairwise

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from chatlab.dialects.base import Answer, Request
from chatlab.errors import SettingsError
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.messages import ConnectionStatus
from chatlab.plots.sequence import plot_sequence, sequence
from chatlab.sim.faults import HalfOpen, ServerDown
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.trace import Step
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Effect,
    Event,
    Failure,
    Fetch,
    Opened,
    OpenWebSocket,
    Ping,
    Pinged,
    Pong,
    Received,
    ReceivedBytes,
    Send,
    SendBytes,
    Tick,
)


def say(at: float, person: str, text: str) -> ScriptEntry:
    return ScriptEntry(at=at, person=person, text=text)


@pytest.fixture(scope="module")
def story() -> Run:
    """Return a run with a server that is down for a while, and then a link that goes silent."""
    script = (
        say(5.0, "ada", "hi"),
        say(12.0, "bob", "hello ada"),
        say(21.0, "ada", "there?"),
        say(52.0, "ada", "x"),
    )
    return run(
        Scenario(
            duration=90.0,
            people=PeopleConfig(count=2, script=script),
            network=NetworkConfig(latency=0.04),
            faults=(ServerDown(at=20.0, duration=2.0), HalfOpen(at=50.0)),
        )
    )


def test_lines_tell_the_story(story: Run) -> None:
    lines = [(line.note, line.direction, line.text, line.lost) for line in sequence(story.steps("ada"))]
    assert lines[:8] == [
        ("connecting", "up", "open WebSocket", False),
        ("connected", "down", "open", False),
        ("", "down", "welcome", False),
        ("sends “hi”", "up", "message: “hi”", False),
        ("", "down", "ada: “hi”", False),
        ("", "down", "bob: “hello ada”", False),
        ("retries in 1.0 s", "down", "reset", False),
        ("sends “there?”", None, "", False),
    ]
    assert ("", "down", "refused", False) in [(("", *line[1:])) for line in lines]
    lost = [line[2] for line in lines if line[3]]
    assert lost == ["message: “x”", "ping 1", "close 4000"]
    again = lines[lines.index(("retries in 1.0 s", "up", "close 4000", True)) :]
    assert ("", "up", "message: “x”", False) in again
    times = [line.at for line in sequence(story.steps("ada"))]
    assert all(before <= after for before, after in pairwise(times))


@pytest.mark.parametrize(
    ("event", "effect", "expected"),
    [
        (Tick(), Ping(1, 7), [("up", "Ping 7")]),
        (Pong(1, 7), None, [("down", "Pong 7")]),
        (Pinged(1), None, [("down", "Ping")]),
        (Tick(), SendBytes(1, b"12345"), [("up", "5 bytes")]),
        (
            ReceivedBytes(1, b'id: 1-1\nevent: message\ndata: {"type":"message","text":"hi"}\n\n'),
            None,
            [("down", "message: “hi”")],
        ),
        (ReceivedBytes(1, b": \n\n"), None, [("down", "keep-alive")]),
        (Tick(), Fetch(1, "post", Request("POST", "/messages", body='{"text":"hi"}')), [("up", "POST “hi”")]),
        (ReceivedBytes(1, b"x" * 1234), None, [("down", "1,234 bytes")]),
        (Received(1, "plain text"), None, [("down", "“plain text”")]),
        (Tick(), Send(1, '{"type":"pong","id":3}'), [("up", "pong 3")]),
        (Tick(), Fetch(1, "poll", Request("GET", "/messages")), [("up", "GET /messages")]),
        (Answered(1, Answer(200, b"[]")), None, [("down", "200, 2 bytes")]),
        (Closed(1, Failure("http", 503)), None, [("down", "HTTP 503")]),
        (Closed(1, Failure("close", 1012)), None, [("down", "close 1012")]),
        (Closed(1, Failure("timeout")), None, [(None, "timeout")]),
        (Tick(), Close(1, 1006), [(None, "gives the link up")]),
        (Tick(), None, []),
    ],
)
def test_every_kind_of_step_has_its_words(
    event: Event, effect: Effect | None, expected: list[object]
) -> None:
    lines = sequence([Step(1.0, "ada", event, (effect,) if effect else ())])
    assert [(line.direction, line.text or line.note) for line in lines] == expected


def test_an_open_that_nobody_answers_is_lost_and_one_that_is_refused_is_not() -> None:
    def steps(failure: Failure) -> list[Step]:
        return [
            Step(0.0, "ada", Tick(), (OpenWebSocket(1),)),
            Step(2.0, "ada", Closed(1, failure), ()),
            Step(3.0, "ada", Tick(), (OpenWebSocket(2),)),
            Step(4.0, "ada", Opened(2), ()),
        ]

    assert [line.lost for line in sequence(steps(Failure("timeout"))) if line.direction == "up"] == [
        True,
        False,
    ]
    assert [line.lost for line in sequence(steps(Failure("refused"))) if line.direction == "up"] == [
        False,
        False,
    ]


def test_an_answer_to_the_last_word_of_a_link_is_lost_too() -> None:
    steps = [
        Step(0.0, "ada", Opened(1), (Ping(1, 1),)),
        Step(1.0, "ada", Received(1, "hello"), (Send(1, "hello yourself"),)),
        Step(2.0, "ada", Closed(1, Failure("close", 1006)), ()),
    ]
    assert [(line.text, line.lost) for line in sequence(steps) if line.direction == "up"] == [
        ("Ping 1", False),
        ("“hello yourself”", True),
    ]


def texts(ax: Axes, gid: str = "frame") -> list[str]:
    return [text.get_text() for text in ax.texts if text.get_gid() == gid]


def test_the_diagram_shows_lines_lost_frames_statuses_and_faults(story: Run) -> None:
    ax = plot_sequence(story, "ada", limit=100)
    lines = sequence(story.steps("ada"))
    assert texts(ax) == [line.text for line in lines if line.direction]
    assert len([line for line in ax.lines if line.get_gid() == "cross"]) == 3
    bars = [
        patch
        for patch in ax.patches
        if isinstance(patch, Rectangle) and patch.get_gid() in list(ConnectionStatus)
    ]
    assert [bar.get_gid() for bar in bars] == [
        "disconnected",
        "connecting",
        "connected",
        "reconnecting",
        "connected",
        "reconnecting",
        "connected",
    ]
    assert sum(bar.get_height() for bar in bars) == pytest.approx(len(lines))
    (shade,) = [patch for patch in ax.patches if patch.get_gid() == "fault"]
    inside = [row for row, line in enumerate(lines) if 20.0 <= line.at < 22.0]
    box = shade.get_extents().transformed(ax.transData.inverted())
    assert sorted((box.y0, box.y1)) == pytest.approx([inside[0] - 0.5, inside[-1] + 0.5])
    words = {text.get_text() for text in ax.texts}
    assert {"server\ndown", "half\nopen", "ada", "server", "5.00 s", "time runs down, not to scale"} <= words


def test_a_part_of_it_begins_with_the_status_before(story: Run) -> None:
    ax = plot_sequence(story, "ada", start=50.0, end=60.0)
    assert texts(ax) == ["message: “x”", "ping 1"]
    bars = [patch.get_gid() for patch in ax.patches if patch.get_gid() in list(ConnectionStatus)]
    assert bars == ["connected"]
    short = plot_sequence(story, "ada", limit=3)
    assert len(texts(short)) == 3
    more = len(sequence(story.steps("ada"))) - 3
    assert f"{more} more lines until 90 s" in {text.get_text() for text in short.texts}


@pytest.mark.slow
def test_texts_stay_in_their_places(story: Run) -> None:
    script = (say(1.0, "ada", "a message that is much too long for any diagram"),)
    result = run(Scenario(duration=3.0, people=PeopleConfig(count=1, script=script)))
    for ax in (plot_sequence(result, "ada"), plot_sequence(story, "ada", limit=100)):
        figure = ax.get_figure(root=True)
        assert figure is not None
        figure.draw_without_rendering()
        client, server = (ax.transData.transform((x, 0))[0] for x in (0, 1))
        for text in ax.texts:
            box = text.get_window_extent()
            if text.get_gid() == "frame":
                assert client < box.x0 < box.x1 < server
            elif text.get_text():
                assert box.x0 >= 0
                assert box.x1 <= figure.bbox.x1


def test_it_draws_on_given_axes_and_refuses_nothing(story: Run) -> None:
    left, right = Figure(figsize=(9, 9)).subplots(1, 2)
    assert plot_sequence(story, "bob", ax=right) is right
    assert not left.texts
    with pytest.raises(SettingsError, match="nothing happened to 'bob' from 60 to 60"):
        plot_sequence(story, "bob", start=60.0, end=60.0)
    with pytest.raises(SettingsError, match="no steps of 'eve'"):
        plot_sequence(story, "eve")
