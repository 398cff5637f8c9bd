"""Each sentence of an answer is made from a run's figures, and says no more than they do."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import inf
from typing import Any

import pytest
from msgspec.structs import replace

from chatlab.experiment.answer import Facts, answer, relevant
from chatlab.experiment.library import load_scenario
from chatlab.experiment.run import Run
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.worlds.runner import run
from chatlab.messages import ConnectionStatus, StatusChange
from chatlab.trace import Step
from chatlab.transports.machine import Notify, Tick

DOWN = '[[faults]]\nkind = "server_down"\nat = 40.0\nduration = 10.0\n'
RESET = '[[faults]]\nkind = "connection_reset"\nat = 40.0\n'


def change(person: int, status: str, reason: str = "", attempt: int = 0) -> Step:
    return Step(
        person=f"person-{person}",
        at=1.0,
        event=Tick(),
        effects=(Notify(StatusChange(ConnectionStatus(status), reason, attempt)),),
    )


def told(toml: str = "", *, people: int = 10, **given: Any) -> str:
    """Return the answer of a run with these metrics; those that aren't given are missing.

    `connected` is the number of people connected at the end, `attempts` has those of each second.
    """
    scenario = Scenario.from_toml(f"duration = 300.0\npeople.count = {people}\n{toml}")
    series = {"connected": [given.pop("connected", people)], "attempts": given.pop("attempts", [people])}
    steps = given.pop("steps", ())
    return answer(Facts(scenario, {"attempts": people, **given}, series, steps))


def test_nothing_happened() -> None:
    assert told() == "Nothing happened: all 10 people connected at the first attempt, and stayed connected."
    assert told(people=1) == (
        "Nothing happened: the only person connected at the first attempt, and stayed connected."
    )


def test_a_calm_run_with_messages() -> None:
    assert told(sent=5, latency_p50=0.08, latency_p99=0.0812) == (
        "Nothing happened: all 10 people connected at the first attempt, and stayed connected. "
        "No message was lost, doubled or out of order: half of what was due was shown within 80 ms, "
        "99 % within 81.2 ms."
    )
    late = told(sent=5, latency_p50=31.0, latency_p99=120.0)
    assert late.startswith("All 10 people connected at the first attempt, and stayed connected. No message")
    assert late.endswith(
        "half of what was due was shown later than 31 s after it was sent, and 1 % later than 120 s."
    )
    assert told(sent=1).endswith("No message was lost, doubled or out of order.")
    assert "Nothing happened" not in told(sent=5, lost=1, owed=9, undelivered=1)


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        (
            {"lost": 26, "undelivered": 26},
            "26 of 3,075 deliveries were lost, though the server had",
        ),
        (
            {"lost": 1, "undelivered": 3},
            "though the server had the message, and 2 of 3,075 deliveries were not",
        ),
        ({"undelivered": 1}, "1 of 3,075 deliveries was not made by the end."),
        ({"duplicated": 2, "out_of_order": 1}, "2 were made twice, and 1 came out of order."),
        ({"dropped": 1}, "1 message was dropped from a full outbox."),
        (
            {"expired": 2, "failed": 3},
            "2 messages were given up as too old, and 3 messages were",
        ),
        ({"refused": 4}, "4 messages were refused by a full outbox."),
        (
            {"failed": 1, "latency_p50": inf, "latency_p99": inf},
            "Half of what was due, or more, was never",
        ),
        (
            {"failed": 1, "latency_p50": 0.5, "latency_p99": inf},
            " Half of what was due was shown within 500",
        ),
        (
            {"failed": 1, "latency_p50": 31.6, "latency_p99": inf},
            " Half of what was due was shown later than 31.6 s after it was sent.",
        ),
    ],
)
def test_flaws_of_messages(metrics: Mapping[str, Any], sentence: str) -> None:
    said = told(sent=10, owed=3_075, **metrics)
    assert sentence in said
    assert "No message" not in said


def test_everybody_is_back() -> None:
    back: dict[str, Any] = {"broken": 1_000, "recovery_p50": 33.55, "last_back": 76.71}
    assert told(DOWN, people=1_000, **back) == (
        "All 1,000 people are back, half of them within 33.5 s, the last 76.7 s after the server's return."
    )
    assert told(RESET, people=1, broken=1, recovery_p50=2.0, last_back=2.0) == (
        "The only person is back, 2 s after the fault."
    )
    assert told(DOWN, broken=4, recovery_p50=2.0, last_back=2.001) == (
        "All 4 people who lost the connection are back, the last 2 s after the server's return."
    )
    assert told(RESET, broken=10, recovery_p50=0.0, last_back=0.0) == (
        "All 10 people are back before the fault ended."
    )
    assert told(DOWN, broken=10) == "All 10 people are back."  # a run of an earlier version


def test_some_gave_up_and_others_are_still_trying() -> None:
    gone: dict[str, Any] = {"broken": 10, "unrecovered": 7, "gave_up": 4, "last_back": 174.2}
    assert told(DOWN, connected=3, **gone) == (
        "3 of 10 people are back, the last 174 s after the server's return. "
        "4 gave up after 10 retries and 3 are still reconnecting at the end."
    )
    assert told(DOWN, connected=0, broken=10, unrecovered=10) == (
        "Nobody is back. 10 are still reconnecting at the end."
    )
    assert "9 of 10 people are back. 1 is still" in told(DOWN, broken=10, unrecovered=1)
    assert told(DOWN, broken=3, unrecovered=3).startswith("Nobody of those who lost the connection is back.")


def test_after_how_many_retries_is_seen_or_else_set() -> None:
    gone = {"broken": 10, "unrecovered": 10, "gave_up": 10, "connected": 0}
    assert "10 gave up after 1 retry." in told(DOWN + "[transport.reconnect]\nmax_attempts = 1", **gone)
    unlimited = '[transport.reconnect]\nmax_attempts = "none"\n'
    assert "10 gave up." in told(DOWN + unlimited, **gone)
    assert "10 gave up." in told(DOWN + '[transport]\nkind = "seed_sse"', **gone)
    seen: tuple[Step, ...] = (
        change(1, "error", "gave up after 3 retries: refused: nobody", 3),
        change(2, "connected"),
    )
    assert "10 gave up after 3 retries. Their last failure: refused: nobody." in told(
        DOWN, steps=seen, **gone
    )
    seen += (change(2, "error", "closed 4001: no; ask", 0),)
    assert "10 gave up after 0 to 3 retries." in told(DOWN, steps=seen, **gone)
    assert "10 gave up at once. Their last failure: closed 4001: no." in told(DOWN, steps=seen[2:], **gone)


def test_connections_that_were_lost_several_times() -> None:
    assert told(DOWN + RESET, broken=12, recovery_p50=3.0, last_back=9.0) == (
        "All 12 lost connections were made again, half of them within 3 s, the last 9 s after the end of the "
        "fault."
    )
    assert told(DOWN + RESET, broken=190).startswith(
        "Each person lost the connection 19 times on average; all 190 lost connections were made again."
    )
    assert told(DOWN + RESET, broken=65, unrecovered=1).startswith(
        "Each person lost the connection 6.5 times on average; 64 of 65 lost connections were made again."
    )
    assert told(DOWN + RESET, people=1, broken=1234).startswith(
        "The only person lost the connection 1,234 ti"
    )
    assert told(DOWN + RESET, broken=1) == "The lost connection was made again."
    assert told(DOWN + RESET, broken=12, unrecovered=11).startswith(
        "1 of 12 lost connections was made again."
    )
    assert told(DOWN + RESET, broken=12, unrecovered=12).startswith("None of 12 lost connections were made")


def test_connections_that_break_when_the_faults_are_over() -> None:
    """The last step counts; those within a minute of the end of the last fault don't, nor leaving."""

    def broke(at: float, status: str = "reconnecting") -> str:
        steps = (change(1, "connected"), replace(change(1, status), at=at))
        return told(DOWN + RESET, broken=1, steps=steps)

    assert "Connections still broke 61 s after the last fault had ended." in broke(111.0)
    assert "still broke" not in broke(110.0)
    assert "still broke" not in broke(111.0, "disconnected")
    first = (replace(change(1, "reconnecting"), at=200.0),)
    assert "still broke" not in told(DOWN + RESET, broken=1, steps=first)


def test_how_long_people_were_away_if_no_recovery_says_it() -> None:
    during: dict[str, Any] = {"broken": 4, "recovery_p50": 0.0, "last_back": 0.0}
    assert told(RESET, **during, time_reconnecting=296.0).endswith(
        "before the fault ended. On average a person was reconnecting for 29.6 s of 300 s."
    )
    assert told(DOWN + RESET, **during).endswith("before the faults ended.")
    often: dict[str, Any] = {"broken": 20, "last_back": 9.0}
    assert "was reconnecting for 2 s of" in told(DOWN + RESET, **often, time_reconnecting=20.0)
    assert "The only person was reconnecting" in told(DOWN, people=1, **often, time_reconnecting=20.0)
    assert "was reconnecting" not in told(DOWN + RESET, **often, time_reconnecting=10.0)
    assert "was reconnecting" not in told(DOWN, broken=10, last_back=9.0, time_reconnecting=99.0)


def test_arrivals_that_took_long_are_said_beside_the_returns() -> None:
    slow = told("people.arrive_over = 5.0\n" + DOWN, broken=4, last_in_at=92.0)
    assert slow.endswith("The last person first got in 92 s after the start.")
    assert "got in" not in told("people.arrive_over = 90.0\n" + DOWN, broken=4, last_in_at=92.0)
    assert "got in" not in told('people.start = "connected"\n' + DOWN, broken=4, last_in_at=92.0)


def test_clients_as_written_that_make_no_attempt_any_more() -> None:
    gone: dict[str, Any] = {"broken": 10, "unrecovered": 10, "connected": 0}
    seed = '[transport]\nkind = "seed_sse"\n'
    said = told(DOWN + seed, attempts=[10] + [0] * 61, **gone)
    assert (
        "10 still show 'reconnecting' at the end, but no client has made an attempt in the last 61 s." in said
    )
    for toml, quiet in ((seed, 60), ("", 90)):
        said = told(DOWN + toml, attempts=[10] + [0] * quiet, **gone)
        assert "10 are still reconnecting at the end." in said


@pytest.mark.parametrize(
    ("toml", "metrics", "said"),
    [
        (
            "",
            {"connected": 10, "last_in_at": 92.0},
            "All 10 people got in, the last after 92 s; it took 40",
        ),
        (
            "",
            {"connected": 7},
            "7 of 10 people are connected at the end, after 40 attempts. 3 are not connected.",
        ),
        (
            "",
            {"connected": 0, "gave_up": 10},
            "Nobody is connected at the end, after 40 attempts. 10 gave",
        ),
        (
            "",
            {"connected": 7, "gave_up": 1},
            "40 attempts. 1 gave up after 10 retries and 2 are not connected.",
        ),
        (
            '[[people.script]]\nperson = "ada"\nat = 1.0\naction = "disconnect"\n',
            {"connected": 9},
            "9 of 10 people are connected at the end, after 40 attempts.",
        ),
    ],
)
def test_arrivals_that_needed_more_than_one_attempt(toml: str, metrics: Any, said: str) -> None:
    metrics = dict(metrics)
    connected = metrics.pop("connected")
    scenario = Scenario.from_toml(f"people.count = 10\n{toml}")
    facts = Facts(scenario, {"attempts": 40, **metrics}, {"connected": [connected], "attempts": [40]}, ())
    assert said in answer(facts)
    if toml:
        assert answer(facts).endswith("40 attempts.")


def full(overflow: str) -> str:
    return f'server = {{ accept_rate = 40.0, backlog = 10, overflow = "{overflow}" }}\n'


@pytest.mark.parametrize(
    ("overflow", "does"), [("drop", "ignores"), ("refuse", "refuses"), ("503", "answers 503 to")]
)
def test_a_full_accept_queue_is_a_reason_if_it_was_full(overflow: str, does: str) -> None:
    away = {"broken": 10, "unrecovered": 10, "connected": 0}
    said = told(full(overflow) + DOWN, queue_max=10, **away)
    assert (
        f"10 are still reconnecting at the end, because the server accepts 40 connections a second, and "
        f"{does} those that find its accept queue of 10 full."
    ) in said
    assert "accepts" not in told(full(overflow) + DOWN, queue_max=9, **away)


def test_a_wait_beyond_the_time_out_is_a_reason() -> None:
    server = "server = { accept_rate = 4.0, backlog = 100 }\n"
    assert "The wait in the accept queue, up to 15 s, exceeds the time-out of 10 s." in told(
        server + DOWN, broken=10, queue_max=60
    )
    assert "wait" not in told(server + DOWN, broken=10, queue_max=40)


def test_retries_that_come_at_once() -> None:
    """With the seed's jitter, the cap of 30 s is reached 1 + 2 + 4 + 8 + 16 s and 10 % after the fault."""
    spike = [0] * 60 + [500] + [0] * 30 + [90] + [0] * 10
    lost: dict[str, Any] = {"broken": 10, "queue_max": 10, "attempts": spike}
    assert "Nothing spreads the retries at the cap of 30 s, so that up to 90 come in one second." in told(
        full("drop") + DOWN, **lost
    )
    none = '[transport.reconnect]\njitter = "none"\n'
    assert "Nothing spreads the retries, so that up to 500 come in one second." in told(
        full("drop") + DOWN + none, **lost
    )
    for spread in (
        '[transport.reconnect]\njitter = "full"\n',
        "[transport.reconnect]\nschedule = [[1, 2]]\n",
        "[transport.reconnect]\nbackoff_multiplier = 1\n",
        '[transport]\nkind = "seed_sse"\n',
    ):
        assert "spreads" not in told(full("drop") + DOWN + spread, **lost)
    fixed = "[transport.reconnect]\nschedule = [[2, 2]]\n"
    assert "Nothing spreads the retries, so" in told(full("drop") + DOWN + fixed, **lost)
    assert "spreads" not in told(full("drop") + DOWN, broken=10, attempts=[0] * 90 + [79])
    assert "spreads" not in told(DOWN, **lost)
    assert "spreads" not in told(full("drop"), **lost)


def test_a_busy_server_and_silence_and_lasting_faults() -> None:
    busy = 'server.service_time = 0.006\n[transport]\nkind = "short_polling"\nrequest_timeout = 2.0\n'
    gone = {"broken": 10, "unrecovered": 10, "connected": 0}
    assert "because requests wait up to 61.2 s for the server, and time out after 2 s." in told(
        busy + DOWN, work_max=10_195, **gone
    )
    assert "because" not in told(busy + DOWN, work_max=300, **gone)
    silent = '[[faults]]\nkind = "half_open"\nat = 40.0\n'
    assert told(silent, broken=10, recovery_p50=25.1, last_back=40.5) == (
        "All 10 people are back, half of them within 25.1 s, the last 40.5 s after the fault. Clients notice "
        "a dead connection by a missed heartbeat only, 10 to 40 s after it fell silent."
    )
    assert "heartbeat" not in told(silent + "[transport.heartbeat]\nenabled = false", broken=10)
    lasting = '[[faults]]\nkind = "http_error"\nat = 40.0\nduration = 400.0\n'
    assert "at the end, because the fault http_error lasts to the end." in told(lasting, **gone)
    assert "lasts" not in told(lasting, broken=10)


def test_services_that_were_too_slow_are_reasons() -> None:
    token = '[[server.needs]]\nname = "token"\nrate = 5.0\n'
    gone = {"broken": 10, "unrecovered": 10, "connected": 0}
    assert "because 1,200 calls of token got no answer within the time-out" in told(
        token + RESET, needs_timed_out=1200, **gone
    )
    assert "3 calls of token found its queue full" in told(token + RESET, needs_refused=3, **gone)
    assert "token" not in told(token + RESET, **gone)


def test_another_network_is_silence_too() -> None:
    changed = '[[faults]]\nkind = "network_change"\nat = 40.0\n'
    assert "Clients notice a dead connection by a missed heartbeat only" in told(changed, broken=10)


def test_people_who_were_connected_before_the_run_and_people_who_never_got_in() -> None:
    started = 'people.start = "connected"\n'
    scenario = Scenario.from_toml(f"people.count = 10\n{started}")
    calm = Facts(scenario, {"attempts": 0}, {"connected": [10], "attempts": [0]}, ())
    assert answer(calm) == "Nothing happened: all 10 people stayed connected."
    out: dict[str, Any] = {"connected": 7, "attempts": [40]}
    scenario = Scenario.from_toml("people.count = 10")
    facts = Facts(scenario, {"attempts": 40, "never_connected": 3}, {"connected": [7], "attempts": [40]}, ())
    assert answer(facts).endswith("after 40 attempts. 3 are not in yet.")
    assert "All 4 people who lost the connection are back. 2 never got in." in told(
        DOWN, broken=4, never_connected=2, **out
    )


def test_each_node_has_its_own_accept_queue() -> None:
    nodes = "server = { nodes = 3, accept_rate = 40.0, backlog = 10 }\n"
    assert "Each of 3 nodes accepts 40 connections a second, and ignores" in told(
        nodes + DOWN, broken=10, queue_max=10
    )
    spike = [0] * 42 + [100] + [0] * 10
    none = '[transport.reconnect]\njitter = "none"\n'
    assert "spreads" not in told(nodes + DOWN + none, broken=10, attempts=spike)


def test_a_node_that_restarts_leaves_its_people_to_the_others() -> None:
    rolling = '[[faults]]\nkind = "rolling_restart"\nat = 1.0\n'
    figures: dict[str, Any] = {"recovery_p50": 1.0, "last_back": 4.0, "attempts_per_second_max_after": 30}
    several = told("server.nodes = 3\n" + rolling, broken=17, **figures)
    assert (
        "17 lost connections were made again, half of them within 1 s, the last 4 s after the loss."
        in several
    )
    assert "Up to 30 attempts came in one second." in several
    alone = told(rolling, broken=10, **figures)
    assert "the last 4 s after the end of the fault." in alone
    assert "Up to" not in alone


def test_what_matters_is_not_0() -> None:
    metrics = {
        "sent": 0,
        "attempts": 5,
        "latency_p50": None,
        "recovery_p99": inf,
        "time_connected": 9.0,
        "bytes_up": 7,
        "queue_max": 4,
        "queue_max_after": 4,
        "attempts_per_second_max": 3,
        "attempts_per_second_max_after": 2,
    }
    assert relevant(metrics) == [
        "attempts",
        "recovery_p99",
        "queue_max",
        "attempts_per_second_max",
        "attempts_per_second_max_after",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "seed_stream",
            "100 still show 'reconnecting' at the end, but no client has made an attempt in the last",
        ),
        (
            "seed_heartbeat",
            "Each person lost the connection 19 times on average; all 380 lost connections were",
        ),
        ("seed_heartbeat", " Connections still broke 562 s after the last fault had ended."),
        ("sse_buffering", "On average a person was reconnecting for 218 s of 600 s."),
        ("sse_buffering", "Half of what was due was shown later than 31.6 s after it was sent."),
    ],
)
def test_a_scenario_about_a_fault_has_an_answer_that_says_it(name: str, said: str) -> None:
    assert said in ready_made(name).answer


@cache
def ready_made(name: str) -> Run:
    return run(load_scenario(name))


@cache
def herd(overflow: str) -> Run:
    scenario = load_scenario("thundering_herd")
    return run(scenario.replace(server=scenario.server.replace(overflow=overflow)))


@pytest.mark.slow
def test_the_answer_of_the_herd_agrees_with_its_run() -> None:
    """People who are back, who gave up and who are away add up, and the last one is the longest recovery."""
    refused = herd("refuse")
    back = refused.series["connected"][-1]
    assert refused.answer.startswith(
        f"{back} of 1,000 people are back, the last 174 s after the server's return."
    )
    assert (
        f" {1_000 - back} gave up after 10 retries, because the server accepts 40 connections a second"
        in (refused.answer)
    )
    assert refused.metrics["gave_up"] == 1_000 - back
    assert refused.answer in refused._repr_html_().replace("&#x27;", "'")
    assert herd("drop").answer.startswith("All 1,000 people are back, half of them within 33.6 s")
    last = max(second for second, here in enumerate(herd("drop").series["connected"]) if here < 1_000) + 1
    assert herd("drop").metrics["last_back"] == pytest.approx(last - 50, abs=1)
