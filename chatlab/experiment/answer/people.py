"""Sentences about people: who is connected, who came back and when, and why others did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import inf

from chatlab.experiment.answer.facts import Facts, last_changes, losses, reconnect_of
from chatlab.experiment.answer.messages import is_prompt
from chatlab.experiment.answer.phrases import is_or_are, number, seconds, sentence, share, was_or_were
from chatlab.experiment.answer.reasons import reasons_of
from chatlab.messages import ConnectionStatus
from chatlab.sim.as_written.settings import AsWritten

OFTEN = 2.0
"""Lost connections a person, from which they are counted for each person."""
NOTICED = 60.0
"""Seconds after the last fault from which lost connections are said to break still."""
AWAY = 1.0
"""Seconds a person from which the time of reconnecting is said."""
LATE_IN = 10.0
"""Seconds after the last arrival from which the last person is said to be in late."""
SILENT = 60
"""Seconds without an attempt from which a client as written is said to make none."""
SINCE = {
    "server_down": "the server's return",
    "server_restart": "the server's return",
    "node_down": "the node's return",
    "half_open": "the fault",
    "connection_reset": "the fault",
    "network_change": "the fault",
    "suspended": "the computers' waking",
    "throttled": "the fault",
    "blocked": "the fault",
}
_AWAY = (ConnectionStatus.RECONNECTING, ConnectionStatus.ERROR)


def about_people(facts: Facts) -> Iterator[str]:
    """Yield the sentences about people."""
    if facts.count("broken"):
        yield from _about_returns(facts)
    elif facts.connected == facts.people and facts.count("attempts") == facts.arriving:
        calm = "Nothing happened: " if is_prompt(facts) else ""
        everybody = share(facts.people, facts.people)
        everybody = everybody[0].lower() + everybody[1:] if calm else everybody
        first = "connected at the first attempt, and " if facts.arriving else ""
        yield f"{calm}{everybody} {first}stayed connected."
    else:
        yield from _about_arrivals(facts)


def _about_returns(facts: Facts) -> Iterator[str]:
    broken, unrecovered = facts.count("broken"), facts.count("unrecovered")
    back = broken - unrecovered
    faults = facts.scenario.faults
    if len(faults) == 1 and broken <= facts.people:
        who = "" if broken == facts.people else " who lost the connection"
        yield f"{share(back, broken, who)} {is_or_are(back)} back{_times(facts)}."
    else:
        lost = "the lost connection" if broken == 1 else f"{broken:,} lost connections"
        some = f"{'all' if broken > 1 else ''} {lost}" if back == broken else f"{back:,} of {lost}"
        some = f"{some.strip() if back else f'none of {lost}'} {was_or_were(back)} made again"
        if broken >= OFTEN * facts.people:
            often = f"the connection {number(broken / facts.people)} times"
            who = "The only person lost" if facts.people == 1 else "Each person lost"
            yield f"{who} {often}{' on average' if facts.people > 1 else ''}; {some}."
        else:
            yield sentence(f"{some}{_times(facts)}")
    yield from _still_breaking(facts)
    yield from _time_away(facts)
    if _others_serve(facts) and (peak := facts.count("attempts_per_second_max_after")) > 1:
        yield f"Up to {peak:,} attempts came in one second."
    reasons = reasons_of(facts)
    if unrecovered:
        gave_up = min(facts.count("gave_up"), unrecovered)
        others = unrecovered - gave_up
        trying = _no_attempts(facts) or f"{is_or_are(others)} still reconnecting at the end"
        yield _about_the_rest(facts, gave_up, others, trying, reasons)
        reasons = reasons[1:]
        yield from _last_failure(facts)
    if never := facts.count("never_connected"):
        yield f"{never:,} never got in."
    else:
        yield from _slow_arrivals(facts)
    yield from map(sentence, reasons)


def _times(facts: Facts) -> str:
    """Return when half of the people were back, and the last one."""
    faults, last = facts.scenario.faults, facts.metrics.get("last_back")
    if last is None:
        return ""
    if not last:
        return f" before the {'fault' if len(faults) == 1 else 'faults'} ended"
    kind = faults[0].kind if len(faults) == 1 else ""
    since = "the loss" if _others_serve(facts) else SINCE.get(kind, "the end of the fault")
    half, broken = facts.metrics.get("recovery_p50"), facts.count("broken")
    only = broken - facts.count("unrecovered") == 1
    if only or half is None or facts.count("unrecovered") or seconds(half) == seconds(last):
        return f", {'' if only else 'the last '}{seconds(last)} after {since}"
    return f", half of them within {seconds(half)}, the last {seconds(last)} after {since}"


def _still_breaking(facts: Facts) -> Iterator[str]:
    """Yield how long after the last fault a recorded person still lost a connection."""
    ended_at = max((fault.end_at for fault in facts.scenario.faults), default=inf)
    late = [each.at - ended_at for each in losses(facts)]
    if late and (last := max(late)) > NOTICED:
        yield f"Connections still broke {seconds(last)} after the last fault had ended."


def _time_away(facts: Facts) -> Iterator[str]:
    """Yield how long people were reconnecting, if no recovery time says so: they came back during the fault,
    or lost the connection often."""
    away = (facts.metrics.get("time_reconnecting") or 0.0) / facts.people
    often = facts.count("broken") >= OFTEN * facts.people
    if away > AWAY and (often or facts.metrics.get("last_back") == 0):
        who = "The only person" if facts.people == 1 else "On average a person"
        yield f"{who} was reconnecting for {seconds(away)} of {seconds(facts.scenario.duration)}."


def _slow_arrivals(facts: Facts) -> Iterator[str]:
    """Yield when the last person was in, if that was late."""
    last, people = facts.metrics.get("last_in_at"), facts.scenario.people
    if facts.arriving and last is not None and last > people.arrive_over + LATE_IN:
        yield f"The last person first got in {seconds(last)} after the start."


def _no_attempts(facts: Facts) -> str:
    """Return that a client as written makes no attempt any more, though it shows another status."""
    if not isinstance(facts.scenario.transport, AsWritten):
        return ""
    attempts = facts.series.get("attempts", ())
    silent = next((number for number, count in enumerate(reversed(attempts)) if count), 0)
    if silent <= SILENT:
        return ""
    status = ConnectionStatus.RECONNECTING.value
    return (
        f"still show {status!r} at the end, but no client has made an attempt in the last {seconds(silent)}"
    )


def _others_serve(facts: Facts) -> bool:
    """Whether the faults are of single nodes, while others serve."""
    return all(fault.others_serve(facts.scenario.server.nodes) for fault in facts.scenario.faults)


def _about_the_rest(facts: Facts, gave_up: int, others: int, what: str, reasons: Sequence[str]) -> str:
    """Return a sentence about people who gave up, and about the others, with what these do."""
    parts = [f"{gave_up:,} gave up{_after_retries(facts)}"] if gave_up else []
    parts += [f"{others:,} {what}"] if others else []
    return sentence(" and ".join(parts) + (f", because {reasons[0]}" if reasons else ""))


def _about_arrivals(facts: Facts) -> Iterator[str]:
    """Yield sentences about a run in which no fault broke a connection."""
    connected, attempts = facts.connected, facts.count("attempts")
    leaves = any(entry.action == "disconnect" for entry in facts.scenario.people.script)
    away = 0 if leaves else facts.people - connected
    gave_up = min(facts.count("gave_up"), away)
    reasons = reasons_of(facts)
    last = facts.metrics.get("last_in_at")
    tries = f"{attempts:,} {'attempt' if attempts == 1 else 'attempts'}"
    if not away and not leaves and last is not None:
        person = "the last after" if facts.people > 1 else "after"
        yield f"{share(connected, facts.people)} got in, {person} {seconds(last)}; it took {tries}."
        yield from map(sentence, reasons)
        return
    yield f"{share(connected, facts.people)} {is_or_are(connected)} connected at the end, after {tries}."
    if away:
        out = facts.count("never_connected") == away
        trying = f"{is_or_are(away - gave_up)} {'not in yet' if out else 'not connected'}"
        yield _about_the_rest(facts, gave_up, away - gave_up, trying, reasons)
        reasons = reasons[1:]
        yield from _last_failure(facts)
    yield from map(sentence, reasons)


def _after_retries(facts: Facts) -> str:
    """Return after how many retries the clients gave up, as recorded people or else the settings say."""
    found = {change.attempt for change in last_changes(facts) if change.status is ConnectionStatus.ERROR}
    reconnect = reconnect_of(facts.scenario)
    if not found and reconnect is not None and reconnect.enabled and reconnect.max_attempts is not None:
        found = {reconnect.max_attempts}
    if not found:
        return ""
    if found == {0}:
        return " at once"
    low, high = min(found), max(found)
    if low == high:
        return f" after {high} {'retry' if high == 1 else 'retries'}"
    return f" after {low} to {high} retries"


def _last_failure(facts: Facts) -> Iterator[str]:
    """Yield the most frequent failure that keeps recorded people away at the end."""
    failures = Counter(
        change.reason.split(";")[0].rpartition(" retries: ")[2]
        for change in last_changes(facts)
        if change.status in _AWAY and change.reason
    )
    if failures:
        yield f"Their last failure: {failures.most_common(1)[0][0]}."
