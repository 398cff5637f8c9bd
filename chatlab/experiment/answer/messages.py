"""Sentences about messages: what was lost or late."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from chatlab.experiment.answer.facts import Facts
from chatlab.experiment.answer.phrases import joined, seconds, sentence, was_or_were

PROMPT = 1.0
"""Latency in seconds up to which messages count as shown at once."""
_FLAWS = ("lost", "undelivered", "duplicated", "out_of_order", "dropped", "expired", "failed", "refused")


def about_messages(facts: Facts) -> Iterator[str]:
    """Yield the sentences about messages, if any was sent."""
    if not facts.count("sent"):
        return
    flaws = [*_flaws(facts)]
    if flaws:
        yield sentence(joined(flaws))
    times = _latencies(facts)
    if not flaws:
        yield f"No message was lost, doubled or out of order{': ' * bool(times)}{times}."
    elif times:
        yield sentence(times)


def _flaws(facts: Facts) -> Iterator[str]:
    owed, lost, undelivered = (facts.count(name) for name in ("owed", "lost", "undelivered"))
    if lost:
        yield f"{lost:,} of {owed:,} deliveries {was_or_were(lost)} lost, though the server had the message"
    if (never := undelivered - lost) > 0:
        yield f"{never:,} of {owed:,} deliveries {was_or_were(never)} not made by the end"
    if doubled := facts.count("duplicated"):
        yield f"{doubled:,} {was_or_were(doubled)} made twice"
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
            yield f"{count:,} {'message' if count == 1 else 'messages'} {was_or_were(count)} {what}"


def _latencies(facts: Facts) -> str:
    half, most = facts.metrics.get("latency_p50"), facts.metrics.get("latency_p99")
    if half is None or most is None:
        return ""
    if half == inf:
        return "half of what was due, or more, was never shown"
    if half > PROMPT:
        rest = "" if most == inf else f", and 1 % later than {seconds(most)}"
        return f"half of what was due was shown later than {seconds(half)} after it was sent{rest}"
    rest = "" if most == inf else f", 99 % within {seconds(most)}"
    return f"half of what was due was shown within {seconds(half)}{rest}"


def is_prompt(facts: Facts) -> bool:
    """Return whether all messages were shown at once."""
    late = facts.metrics.get("latency_p99") or 0.0
    return late <= PROMPT and not any(facts.count(name) for name in _FLAWS)
