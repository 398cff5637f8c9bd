"""One person's recorded run as a panel shows it at a moment: messages, frames, and statuses so far."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import count
from math import inf
from typing import Any

from chatlab.conversation import explain_end
from chatlab.experiment.run import Run
from chatlab.experiment.spans import FaultSpan, status_spans
from chatlab.messages import ChatEvent, ChatMessage, ConnectionStatus, DeliveryState, StatusChange
from chatlab.plots.sequence_lines import SequenceLine, sequence
from chatlab.sim.faults.phrases import phrase_of
from chatlab.text import short_name
from chatlab.trace import Step
from chatlab.transports.machine import Deliver, Notify, Refuse, Settle, Submit
from chatlab.widgets.frames import frame_rows
from chatlab.widgets.timeline import Lane, Mark, Span

INSTANT = 1e-6
"""Seconds within which two times are the same moment."""
_UNSETTLED = (DeliveryState.QUEUED.value, DeliveryState.SENT.value)

Rows = dict[str, dict[str, Any]]
"""Rows of a feed by their `id`, in order."""


class Playback:
    """The steps of `person` in a run. Each method returns what the person knows `at` seconds into it."""

    def __init__(self, run: Run, person: str) -> None:
        self.run = run
        self.person = person
        self._steps = run.steps(person)
        self._times = [step.at for step in self._steps]
        self.end = run.scenario.duration
        lines = [line.at for line in sequence(self._steps)]
        faults = [at for fault in run.faults for at in (fault.start, fault.end) if at < inf]
        self.moments = list(
            _distinct(sorted(at for at in (0.0, *lines, *faults, self.end) if 0 <= at <= self.end))
        )

    def following(self, at: float) -> float:
        """Return the next moment at which something happens to the person, or a fault begins or ends."""
        place = bisect_right(self.moments, at + INSTANT)
        return self.moments[place] if place < len(self.moments) else self.end

    def preceding(self, at: float) -> float:
        """Return the moment before this one."""
        place = bisect_left(self.moments, at - INSTANT)
        return self.moments[place - 1] if place else 0.0

    def present(self, at: float) -> float:
        """Return the latest moment."""
        return self.moments[bisect_right(self.moments, at + INSTANT) - 1]

    def steps(self, at: float) -> list[Step]:
        """Return the steps."""
        return self._steps[: bisect_right(self._times, at + INSTANT)]

    def lines(self, at: float) -> list[SequenceLine]:
        """Return the lines of the sequence diagram."""
        return sequence(self.steps(at))

    def faults(self, at: float) -> list[FaultSpan]:
        """Return the faults that have begun."""
        return [fault for fault in self.run.faults if fault.start <= at + INSTANT]

    def messages(self, at: float) -> Rows:
        """Return the rows of a `ChatLog`, with `at` in milliseconds since the start."""
        rows: Rows = {}
        numbers = count(1)

        def add(key: str, step: Step, text: str, **fields: str | bool) -> None:
            row = {"sender": "", "own": False, "state": "", "reason": "", "kind": "message"} | fields
            rows[key] = {"id": key, "at": step.at * 1000, "text": text, **row}

        for step in self.steps(at):
            if isinstance(step.event, Submit):
                message = step.event.message
                add(message.client_id, step, message.text, sender=self.person, own=True, state="queued")
            for effect in step.effects:
                match effect:
                    case Settle(key, state, reason) if key in rows:
                        rows[key] |= {"state": state.value, "reason": reason}
                    case Refuse(key, reason) if key in rows:
                        rows[key] |= {"state": "dropped", "reason": f"the outbox is {reason}"}
                    case Deliver(ChatEvent(message=ChatMessage() as received)):
                        if received.client_id not in rows or received.sender != self.person:
                            add(f"received-{received.id}", step, received.text, sender=received.sender)
                    case Deliver(event) if text := self._notice(event):
                        add(f"notice-{next(numbers)}", step, text, kind="notice")
                    case Notify(change) if text := explain_end(change):
                        add(f"notice-{next(numbers)}", step, text, kind="notice")
                    case _:
                        pass
        return rows

    def _notice(self, event: ChatEvent) -> str:
        """Describe an event that isn't a message, as the panel does; empty if the panel doesn't show it."""
        state = event.payload.get("state") if isinstance(event.payload, dict) else None
        if event.type == "presence" and state in ("joined", "left") and event.sender != self.person:
            return f"{short_name(event.sender)} {state}."
        return f"Messages may be missing here: {event.reason}." if event.type == "resync" else ""

    def frames(self, at: float) -> Rows:
        """Return the rows of a `FrameLog`, with `at` in milliseconds since the start."""
        numbered = enumerate((step.at, frame) for step in self.steps(at) for frame in frame_rows(step))
        return {
            f"frame-{number}": {"id": f"frame-{number}", "at": seconds * 1000, **frame}
            for number, (seconds, frame) in numbered
        }

    def waiting(self, at: float) -> int:
        """Return the number of own messages that aren't settled."""
        return sum(row["own"] and row["state"] in _UNSETTLED for row in self.messages(at).values())

    def change(self, at: float) -> StatusChange:
        """Return the latest change of status."""
        changes = [
            effect.change for step in self.steps(at) for effect in step.effects if isinstance(effect, Notify)
        ]
        return changes[-1] if changes else StatusChange(ConnectionStatus.DISCONNECTED)

    def lane(self, at: float) -> Lane:
        """Return a lane of the timeline: statuses, attempts, and the faults that have begun."""
        statuses = status_spans(self.steps(at), at)
        spans: list[Span] = [
            {"status": span.status.value, "start": span.start, "end": span.end} for span in statuses
        ]
        if spans:
            spans[-1]["end"] = None
        attempts: list[Mark] = [
            {"kind": "attempt", "label": "attempt", "at": each} for span in statuses for each in span.attempts
        ]
        faults: list[Mark] = [
            {"kind": "fault", "label": phrase_of(fault, duration=False), "at": fault.at}
            for fault in self.run.scenario.faults
            if fault.at <= at + INSTANT
        ]
        return {
            "name": self.person,
            "spans": spans,
            "marks": sorted(attempts + faults, key=lambda mark: mark["at"]),
        }

    def words(self, at: float) -> str:
        """Describe the latest moment in a sentence."""
        moment = self.present(at)
        words = [said(line) for line in self.lines(at) if abs(line.at - moment) <= INSTANT]
        for fault in self.run.faults:
            name = fault.kind.replace("_", " ")
            words += [f"{name} begins"] if abs(fault.start - moment) <= INSTANT else []
            words += (
                [f"{name} is over"] if fault.start < fault.end and abs(fault.end - moment) <= INSTANT else []
            )
        if moment >= self.end:
            words.append("the end")
        return f"{moment:.3f} s: {'; '.join(words) or 'nothing yet'}."


def _distinct(times: list[float]) -> Iterator[float]:
    """Yield times in order, and only the last of those at the same moment."""
    for number, at in enumerate(times):
        if number + 1 == len(times) or times[number + 1] - at > INSTANT:
            yield at


def said(line: SequenceLine) -> str:
    """Return a line of a sequence diagram in words."""
    way = {"up": "to the server: ", "down": "from the server: ", None: ""}[line.direction]
    return ", ".join(part for part in (line.note, f"{way}{line.text}" if line.text else "") if part)
