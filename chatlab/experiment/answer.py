"""The answer of a run: what happened to the people and their messages, in a few sentences.

Each figure is one of the run's metrics, series or recorded steps, or a setting of its scenario. A reason is
given only if the run shows it: the accept queue was full, retries came in the same second, and so on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import NamedTuple

from chatlab.experiment.percentiles import Value
from chatlab.experiment.scenario import Scenario
from chatlab.messages import ConnectionStatus, StatusChange
from chatlab.settings import ReconnectConfig
from chatlab.sim.transport_settings import AnyTransport, TransportSettings, WebSocketSettings
from chatlab.trace import Step
from chatlab.transports.machine import Notify

PROMPT = 1.0
"""Latency in seconds up to which messages count as shown at once."""
SPIKE = 2.0
"""Retries of one second, as a multiple of the accept rate, from which they are said to come at once."""
OFTEN = 2.0
"""Lost connections a person, from which they are counted for each person."""
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
_OVERFLOW = {"drop": "ignores", "refuse": "refuses", "503": "answers 503 to"}
_FLAWS = ("lost", "undelivered", "duplicated", "out_of_order", "dropped", "expired", "failed", "refused")
_AWAY = (ConnectionStatus.RECONNECTING, ConnectionStatus.ERROR)


class Facts(NamedTuple):
    """The parts of a run from which an answer is made."""

    scenario: Scenario
    metrics: Mapping[str, Value]
    series: Mapping[str, Sequence[int]]
    steps: Sequence[Step]

    def count(self, name: str) -> int:
        """Return a metric that counts; 0 if the run doesn't have it."""
        return int(self.metrics.get(name) or 0)

    @property
    def people(self) -> int:
        """Number of people."""
        return self.scenario.people.count

    @property
    def arriving(self) -> int:
        """Number of people who aren't connected when the run begins."""
        return 0 if self.scenario.people.start == "connected" else self.people

    @property
    def connected(self) -> int:
        """Number of people who are connected at the end."""
        return (self.series.get("connected") or [0])[-1]


def answer(facts: Facts) -> str:
    """Return what happened in a run, in one to four sentences."""
    return " ".join([*_about_people(facts), *_about_messages(facts)])


def relevant(metrics: Mapping[str, Value]) -> list[str]:
    """Return the names of the metrics that matter in a run.

    It leaves out those that are 0 or missing, seconds in each status, bytes, and a peak since the first fault
    that is the peak of the whole run.
    """
    return [
        name
        for name, value in metrics.items()
        if value
        and not name.startswith(("time_", "bytes_"))
        and not (name.endswith("_after") and metrics.get(name.removesuffix("_after")) == value)
    ]


# People


def _about_people(facts: Facts) -> Iterator[str]:
    if facts.count("broken"):
        yield from _about_returns(facts)
    elif facts.connected == facts.people and facts.count("attempts") == facts.arriving:
        calm = "Nothing happened: " if _is_prompt(facts) else ""
        everybody = _share(facts.people, facts.people)
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
        yield f"{_share(back, broken, who)} {_is(back)} back{_times(facts)}."
    else:
        lost = "the lost connection" if broken == 1 else f"{broken:,} lost connections"
        some = f"{'all' if broken > 1 else ''} {lost}" if back == broken else f"{back:,} of {lost}"
        often = f", {broken / facts.people:.2g} of each person," if broken >= OFTEN * facts.people else ""
        times = "" if often else _times(facts)
        yield _sentence(
            f"{some.strip() if back else f'none of {lost}'}{often} {_was(back)} made again{times}"
        )
    if _others_serve(facts) and (peak := facts.count("attempts_per_second_max_after")) > 1:
        yield f"Up to {peak:,} attempts came in one second."
    reasons = _reasons(facts)
    if unrecovered:
        gave_up = min(facts.count("gave_up"), unrecovered)
        yield _about_the_rest(facts, gave_up, unrecovered - gave_up, "still reconnecting at the end", reasons)
        reasons = reasons[1:]
        yield from _last_failure(facts)
    if never := facts.count("never_connected"):
        yield f"{never:,} never got in."
    yield from map(_sentence, reasons)


def _times(facts: Facts) -> str:
    """Return when half of the people were back, and the last one."""
    faults, last = facts.scenario.faults, facts.metrics.get("last_back")
    if last is None:
        return ""
    if not last:
        return " before the fault ended"
    kind = faults[0].kind if len(faults) == 1 else ""
    since = "the loss" if _others_serve(facts) else SINCE.get(kind, "the end of the fault")
    half, broken = facts.metrics.get("recovery_p50"), facts.count("broken")
    only = broken - facts.count("unrecovered") == 1
    if only or half is None or facts.count("unrecovered") or _seconds(half) == _seconds(last):
        return f", {'' if only else 'the last '}{_seconds(last)} after {since}"
    return f", half of them within {_seconds(half)}, the last {_seconds(last)} after {since}"


def _others_serve(facts: Facts) -> bool:
    """Whether the faults are of single nodes, while others serve."""
    return all(fault.others_serve(facts.scenario.server.nodes) for fault in facts.scenario.faults)


def _about_the_rest(facts: Facts, gave_up: int, others: int, what: str, reasons: Sequence[str]) -> str:
    parts = [f"{gave_up:,} gave up{_after_retries(facts)}"] if gave_up else []
    parts += [f"{others:,} {_is(others)} {what}"] if others else []
    return _sentence(" and ".join(parts) + (f", because {reasons[0]}" if reasons else ""))


def _about_arrivals(facts: Facts) -> Iterator[str]:
    """Yield sentences about a run in which no fault broke a connection."""
    connected, attempts = facts.connected, facts.count("attempts")
    leaves = any(entry.action == "disconnect" for entry in facts.scenario.people.script)
    away = 0 if leaves else facts.people - connected
    gave_up = min(facts.count("gave_up"), away)
    reasons = _reasons(facts)
    last = facts.metrics.get("last_in_at")
    tries = f"{attempts:,} {'attempt' if attempts == 1 else 'attempts'}"
    if not away and not leaves and last is not None:
        person = "the last after" if facts.people > 1 else "after"
        yield f"{_share(connected, facts.people)} got in, {person} {_seconds(last)}; it took {tries}."
        yield from map(_sentence, reasons)
        return
    yield f"{_share(connected, facts.people)} {_is(connected)} connected at the end, after {tries}."
    if away:
        out = facts.count("never_connected") == away
        trying = "not in yet" if out else "not connected"
        yield _about_the_rest(facts, gave_up, away - gave_up, trying, reasons)
        reasons = reasons[1:]
        yield from _last_failure(facts)
    yield from map(_sentence, reasons)


def _after_retries(facts: Facts) -> str:
    """Return after how many retries the clients gave up, as recorded people or else the settings say."""
    found = {change.attempt for change in _last_changes(facts) if change.status is ConnectionStatus.ERROR}
    reconnect = _reconnect(facts.scenario)
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


# Reasons


def _reasons(facts: Facts) -> list[str]:
    """Return the reasons for late or missing connections that the run shows, as clauses."""
    found = [
        *_full_queue(facts),
        *_long_queue(facts),
        *_retries_at_once(facts),
        *_busy(facts),
        *_unmet_needs(facts),
        *_silence(facts),
    ]
    if facts.count("unrecovered") and not found:
        found += _lasting_faults(facts)
    return found


def _full_queue(facts: Facts) -> Iterator[str]:
    server = facts.scenario.server
    if server.accept_rate is not None and facts.count("queue_max") >= server.backlog:
        yield (
            f"{_each_node(facts)} accepts {server.accept_rate:,g} connections a second, and "
            f"{_OVERFLOW[server.overflow]} those that find its accept queue of {server.backlog:,} full"
        )


def _each_node(facts: Facts) -> str:
    nodes = facts.scenario.server.nodes
    return "the server" if nodes == 1 else f"each of {nodes} nodes"


def _long_queue(facts: Facts) -> Iterator[str]:
    server, transport = facts.scenario.server, _transport(facts.scenario)
    if server.accept_rate is None or not isinstance(transport, TransportSettings):
        return
    wait = facts.count("queue_max") / server.accept_rate
    if wait > transport.connect_timeout:
        yield (
            f"the wait in the accept queue, up to {_seconds(wait)}, exceeds the time-out of "
            f"{_seconds(transport.connect_timeout)}"
        )


def _retries_at_once(facts: Facts) -> Iterator[str]:
    """Yield that retries aren't spread, if the run has such a spike and the settings explain it."""
    reconnect, server = _reconnect(facts.scenario), facts.scenario.server
    faults = [fault.at for fault in facts.scenario.faults if fault.at < facts.scenario.duration]
    if reconnect is None or server.accept_rate is None or not faults:
        return
    to_cap, what = 0.0, "the retries"
    if any(low < high for low, high in reconnect.schedule):
        return
    if not reconnect.schedule and reconnect.jitter != "none":
        if reconnect.jitter != "seed" or not reconnect.base_delay or reconnect.backoff_multiplier == 1:
            return
        delay, what = reconnect.base_delay, f"the retries at the cap of {_seconds(reconnect.max_delay)}"
        while delay < reconnect.max_delay and to_cap < facts.scenario.duration:
            to_cap, delay = to_cap + 1.1 * delay, delay * reconnect.backoff_multiplier
    begins_at = max(min(faults) + to_cap, min(faults) + 1)
    peak = max(facts.series.get("attempts", ())[int(begins_at) :], default=0)
    if peak >= SPIKE * server.accept_rate * server.nodes:
        yield f"nothing spreads {what}, so that up to {peak:,} come in one second"


def _busy(facts: Facts) -> Iterator[str]:
    server, transport = facts.scenario.server, _transport(facts.scenario)
    work = facts.count("work_max") * server.service_time
    limit = getattr(transport, "request_timeout", getattr(transport, "connect_timeout", inf))
    if work > limit:
        yield f"requests wait up to {_seconds(work)} for the server, and time out after {_seconds(limit)}"


def _unmet_needs(facts: Facts) -> Iterator[str]:
    late, refused = facts.count("needs_timed_out"), facts.count("needs_refused")
    names = " and ".join(need.name for need in facts.scenario.server.needs)
    if late:
        yield f"{late:,} calls of {names} got no answer within the time-out"
    if refused:
        yield f"{refused:,} calls of {names} found its queue full"


def _silence(facts: Facts) -> Iterator[str]:
    transport = _transport(facts.scenario)
    if not any(fault.leaves_half_open for fault in facts.scenario.faults) or not facts.count("broken"):
        return
    if isinstance(transport, WebSocketSettings) and transport.heartbeat.enabled:
        beat = transport.heartbeat
        if beat.mode in ("none", "server", "both"):
            return
        yield (
            "clients notice a dead connection by a missed heartbeat only, "
            f"{beat.timeout:g} to {_seconds(beat.interval + beat.timeout)} after it fell silent"
        )


def _lasting_faults(facts: Facts) -> Iterator[str]:
    duration = facts.scenario.duration
    for fault in facts.scenario.faults:
        if fault.at < duration <= fault.end_at:
            yield f"the fault {fault.kind} lasts to the end"


def _last_failure(facts: Facts) -> Iterator[str]:
    """Yield the most frequent failure that keeps recorded people away at the end."""
    failures = Counter(
        change.reason.split(";")[0].rpartition(" retries: ")[2]
        for change in _last_changes(facts)
        if change.status in _AWAY and change.reason
    )
    if failures:
        yield f"Their last failure: {failures.most_common(1)[0][0]}."


def _last_changes(facts: Facts) -> list[StatusChange]:
    """Return the last change of each recorded person's status, or the failure before the current attempt."""
    last: dict[str, StatusChange] = {}
    for step in facts.steps:
        for effect in step.effects:
            if isinstance(effect, Notify) and effect.change.reason != "trying again":
                last[step.person] = effect.change
    return list(last.values())


def _transport(scenario: Scenario) -> AnyTransport | None:
    """Return the transport that all people have; None if groups of them have others."""
    return None if scenario.people.groups else scenario.transport


def _reconnect(scenario: Scenario) -> ReconnectConfig | None:
    transport = _transport(scenario)
    return transport.reconnect if isinstance(transport, TransportSettings) else None


# Messages


def _about_messages(facts: Facts) -> Iterator[str]:
    if not facts.count("sent"):
        return
    flaws = [*_flaws(facts)]
    if flaws:
        yield _sentence(_joined(flaws))
    times = _latencies(facts)
    if not flaws:
        yield f"No message was lost, doubled or out of order{': ' * bool(times)}{times}."
    elif times:
        yield _sentence(times)


def _flaws(facts: Facts) -> Iterator[str]:
    owed, lost, undelivered = (facts.count(name) for name in ("owed", "lost", "undelivered"))
    if lost:
        yield f"{lost:,} of {owed:,} deliveries {_was(lost)} lost, though the server had the message"
    if (never := undelivered - lost) > 0:
        yield f"{never:,} of {owed:,} deliveries {_was(never)} not made by the end"
    if doubled := facts.count("duplicated"):
        yield f"{doubled:,} {_was(doubled)} made twice"
    if late := facts.count("out_of_order"):
        yield f"{late:,} came out of order"
    given_up = {
        "dropped": "dropped from a full outbox",
        "expired": "given up as too old",
        "failed": "given up by the sender",
        "refused": "refused by a full outbox",
    }
    for name, what in given_up.items():
        if count := facts.count(name):
            yield f"{count:,} {'message' if count == 1 else 'messages'} {_was(count)} {what}"


def _latencies(facts: Facts) -> str:
    half, most = facts.metrics.get("latency_p50"), facts.metrics.get("latency_p99")
    if half is None or most is None:
        return ""
    if half == inf:
        return "half of what was due, or more, was never shown"
    rest = "" if most == inf else f", 99 % within {_seconds(most)}"
    return f"half of what was due was shown within {_seconds(half)}{rest}"


def _is_prompt(facts: Facts) -> bool:
    late = facts.metrics.get("latency_p99") or 0.0
    return late <= PROMPT and not any(facts.count(name) for name in _FLAWS)


# Words


def _share(part: int, whole: int, who: str = "") -> str:
    if part == whole:
        return f"The only person{who}" if whole == 1 else f"All {whole:,} people{who}"
    return f"{part:,} of {whole:,} people{who}" if part else f"Nobody{who and ' of those'}{who}"


def _is(count: int) -> str:
    return "is" if count <= 1 else "are"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _seconds(value: float) -> str:
    if 0 < value < 0.9995:
        return f"{1000 * value:.3g} ms"
    return f"{value:.3g} s" if value < 99.95 else f"{value:,.0f} s"


def _joined(parts: Sequence[str]) -> str:
    """Return clauses as one: "a", "a, and b", "a, b, and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])}, and {parts[-1]}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
