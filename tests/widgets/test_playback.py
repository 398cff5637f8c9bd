"""One person's recorded run, as a panel shows it at a moment."""

from __future__ import annotations

from chatlab import ChatEvent, ChatMessage, ConnectionStatus, OutgoingMessage, Scenario, StatusChange
from chatlab.experiment.run import Run
from chatlab.messages import DeliveryState
from chatlab.sim.faults import AnyFault, ServerDown
from chatlab.sim.people import PeopleConfig, ScriptEntry
from chatlab.trace import Step
from chatlab.transports.machine import Connect, Deliver, Effect, Event, Notify, Refuse, Settle, Submit, Tick
from chatlab.widgets.playback import Playback

ADA = PeopleConfig(script=(ScriptEntry(at=1.0, person="ada", text="hello"),))


def playback(*steps: tuple[float, Event, *tuple[Effect, ...]], faults: tuple[AnyFault, ...] = ()) -> Playback:
    trace = [Step(at, "ada", event, tuple(effects)) for at, event, *effects in steps]
    scenario = Scenario(duration=60.0, people=ADA, faults=faults)
    return Playback(Run("wire", scenario, ["ada"], {}, {}, [], trace), "ada")


def texts(shown: Playback, at: float) -> list[str]:
    return [row["text"] for row in shown.messages(at).values()]


def delivered(sender: str, id: str, client_id: str = "") -> Deliver:
    message = ChatMessage(id=id, sender=sender, text=f"from {sender}", client_id=client_id)
    return Deliver(ChatEvent("message", message, sender))


def test_an_own_message_has_one_row_and_others_of_the_same_id_have_theirs() -> None:
    shown = playback(
        (1.0, Submit(OutgoingMessage("mine", client_id="1"))),
        (2.0, Tick(), Settle("1", DeliveryState.SENT), Settle("unknown", DeliveryState.SENT)),
        (3.0, Tick(), delivered("ada", "7", "1"), delivered("bob", "8", "1"), delivered("ada", "9", "2")),
    )
    assert texts(shown, 3.0) == ["mine", "from bob", "from ada"]
    assert [shown.messages(at)["1"]["state"] for at in (1.0, 2.0)] == ["queued", "sent"]
    assert [shown.waiting(at) for at in (0.5, 1.0, 2.0)] == [0, 1, 1]
    assert [row["own"] for row in shown.messages(3.0).values()] == [True, False, False]


def test_a_refused_message_is_dropped_with_the_reason() -> None:
    shown = playback((1.0, Submit(OutgoingMessage("one too many", client_id="1")), Refuse("1", "full")))
    row = shown.messages(1.0)["1"]
    assert (row["state"], row["reason"]) == ("dropped", "the outbox is full")
    assert shown.waiting(1.0) == 0


def test_notices_are_those_of_the_panel() -> None:
    def presence(sender: str, state: str) -> Deliver:
        return Deliver(ChatEvent("presence", sender=sender, payload={"state": state}))

    gave_up = StatusChange(ConnectionStatus.ERROR, "gave up after 3 attempts")
    shown = playback(
        (1.0, Tick(), presence("bob", "joined"), presence("ada", "joined"), presence("bob", "here")),
        (2.0, Tick(), presence("bob", "left")),
        (3.0, Tick(), Deliver(ChatEvent("resync", reason="the history is gone"))),
        (4.0, Tick(), Deliver(ChatEvent("typing", sender="bob")), Notify(gave_up)),
    )
    assert texts(shown, 4.0) == [
        "bob joined.",
        "bob left.",
        "Messages may be missing here: the history is gone.",
        "Gave up after 3 attempts.",
    ]
    assert {row["kind"] for row in shown.messages(4.0).values()} == {"notice"}
    assert shown.change(4.0) == gave_up
    assert shown.change(3.9).status is ConnectionStatus.DISCONNECTED


def test_a_fault_is_shown_from_its_beginning_on() -> None:
    shown = playback(
        (0.0, Connect()), faults=(ServerDown(at=10.0, duration=5.0), ServerDown(at=30.0, duration=90.0))
    )
    assert shown.moments == [0.0, 10.0, 15.0, 30.0, 60.0]
    assert [len(shown.faults(at)) for at in (9.9, 10.0, 30.0)] == [0, 1, 2]
    marks = [[mark["label"] for mark in shown.lane(at)["marks"]] for at in (9.9, 10.0)]
    assert marks == [[], ["server down"]]
    assert [shown.words(at) for at in (5.0, 12.0, 15.0, 61.0)] == [
        "0.000 s: nothing yet.",
        "10.000 s: server down begins.",
        "15.000 s: server down is over.",
        "60.000 s: the end.",
    ]
    assert (shown.preceding(0.0), shown.following(60.0)) == (0.0, 60.0)


def test_moments_closer_than_a_microsecond_are_one() -> None:
    sent = Submit(OutgoingMessage("1", client_id="1"))
    shown = playback((1.0, sent), (1.0 + 1e-12, sent), (1.001, sent))
    assert [round(at, 6) for at in shown.moments] == [0.0, 1.0, 1.001, 60.0]
    assert len(shown.steps(1.0)) == 2
    assert shown.following(1.0) == 1.001
    assert shown.preceding(1.001) == shown.present(1.0005)
