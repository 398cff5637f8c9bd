"""Reasons for late or missing connections, each given only if the run shows it."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from chatlab.experiment.answer.facts import Facts, reconnect_of, transport_of
from chatlab.experiment.answer.phrases import seconds
from chatlab.sim.transport_settings import TransportSettings, WebSocketSettings

SPIKE = 2.0
"""Retries of one second, as a multiple of the accept rate, from which they are said to come at once."""
_OVERFLOW = {"drop": "ignores", "refuse": "refuses", "503": "answers 503 to"}


def reasons_of(facts: Facts) -> list[str]:
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
    server, transport = facts.scenario.server, transport_of(facts.scenario)
    if server.accept_rate is None or not isinstance(transport, TransportSettings):
        return
    wait = facts.count("queue_max") / server.accept_rate
    if wait > transport.connect_timeout:
        yield (
            f"the wait in the accept queue, up to {seconds(wait)}, exceeds the time-out of "
            f"{seconds(transport.connect_timeout)}"
        )


def _retries_at_once(facts: Facts) -> Iterator[str]:
    """Yield that retries aren't spread, if the run has such a spike and the settings explain it."""
    reconnect, server = reconnect_of(facts.scenario), facts.scenario.server
    faults = [fault.at for fault in facts.scenario.faults if fault.at < facts.scenario.duration]
    if reconnect is None or server.accept_rate is None or not faults:
        return
    to_cap, what = 0.0, "the retries"
    if any(low < high for low, high in reconnect.schedule):
        return
    if not reconnect.schedule and reconnect.jitter != "none":
        if reconnect.jitter != "seed" or not reconnect.base_delay or reconnect.backoff_multiplier == 1:
            return
        delay, what = reconnect.base_delay, f"the retries at the cap of {seconds(reconnect.max_delay)}"
        while delay < reconnect.max_delay and to_cap < facts.scenario.duration:
            to_cap, delay = to_cap + 1.1 * delay, delay * reconnect.backoff_multiplier
    begins_at = max(min(faults) + to_cap, min(faults) + 1)
    peak = max(facts.series.get("attempts", ())[int(begins_at) :], default=0)
    if peak >= SPIKE * server.accept_rate * server.nodes:
        yield f"nothing spreads {what}, so that up to {peak:,} come in one second"


def _busy(facts: Facts) -> Iterator[str]:
    server, transport = facts.scenario.server, transport_of(facts.scenario)
    work = facts.count("work_max") * server.service_time
    limit = getattr(transport, "request_timeout", getattr(transport, "connect_timeout", inf))
    if work > limit:
        yield f"requests wait up to {seconds(work)} for the server, and time out after {seconds(limit)}"


def _unmet_needs(facts: Facts) -> Iterator[str]:
    late, refused = facts.count("needs_timed_out"), facts.count("needs_refused")
    names = " and ".join(need.name for need in facts.scenario.server.needs)
    if late:
        yield f"{late:,} calls of {names} got no answer within the time-out"
    if refused:
        yield f"{refused:,} calls of {names} found its queue full"


def _silence(facts: Facts) -> Iterator[str]:
    transport = transport_of(facts.scenario)
    if not any(fault.leaves_half_open for fault in facts.scenario.faults) or not facts.count("broken"):
        return
    if isinstance(transport, WebSocketSettings) and transport.heartbeat.enabled:
        beat = transport.heartbeat
        if beat.mode in ("none", "server", "both"):
            return
        yield (
            "clients notice a dead connection by a missed heartbeat only, "
            f"{beat.timeout:g} to {seconds(beat.interval + beat.timeout)} after it fell silent"
        )


def _lasting_faults(facts: Facts) -> Iterator[str]:
    duration = facts.scenario.duration
    for fault in facts.scenario.faults:
        if fault.at < duration <= fault.end_at:
            yield f"the fault {fault.kind} lasts to the end"
