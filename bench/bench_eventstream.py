"""The event-stream parser beside its peers, for speed and conformance: `python -m bench eventstream`.

Peers that are not installed are said to be skipped; `bench/requirements.txt` names them.
"""

import gc
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from time import process_time
from typing import Any

import httpx

from bench.report import Figure, Report
from chatlab.transports.eventstream import EventStreamParser
from tests.transports.test_eventstream import CASES

ROUNDS = 5
READ = 16_384  # bytes that a socket gives at a time
Dispatched = tuple[str, str, str]  # type, data, last event id
Read = tuple[list[Dispatched], float | None]  # the events, and the reconnection time at the end


class Body(httpx.SyncByteStream):
    """A response body in given chunks."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks


class Ours:
    name = "chatlab"

    def __init__(self) -> None:
        self._parser = EventStreamParser()

    def events(self, chunks: Iterable[bytes]) -> Iterator[Any]:
        for chunk in chunks:
            if events := self._parser.feed(chunk):
                yield from events

    def read(self, stream: bytes) -> Read:
        events = [(event.type, event.data, event.last_event_id) for event in self.events([stream])]
        return events, self._parser.reconnection_time


class HttpxSSE:
    name = "httpx-sse"

    def __init__(self) -> None:
        self._module = import_module("httpx_sse")

    def events(self, chunks: Iterable[bytes]) -> Iterator[Any]:
        response = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Body(chunks))
        yield from self._module.EventSource(response).iter_sse()

    def read(self, stream: bytes) -> Read:
        return read(self.events([stream]))


class LaunchDarkly:
    name = "launchdarkly-eventsource"

    def __init__(self) -> None:
        self._reader = import_module("ld_eventsource.reader")
        self._event = import_module("ld_eventsource.actions").Event
        self._retry: float | None = None

    def _set_retry(self, milliseconds: int) -> None:
        self._retry = milliseconds / 1000

    def events(self, chunks: Iterable[bytes]) -> Iterator[Any]:
        lines = self._reader._BufferedLineReader.lines_from(chunks)
        for action in self._reader._SSEReader(lines, None, self._set_retry).events_and_comments():
            if isinstance(action, self._event):
                yield action

    def read(self, stream: bytes) -> Read:
        events = [(event.event, event.data, event.last_event_id or "") for event in self.events([stream])]
        return events, self._retry


class SSEClient:
    name = "sseclient-py"

    def __init__(self) -> None:
        self._module = import_module("sseclient")

    def events(self, chunks: Iterable[bytes]) -> Iterator[Any]:
        yield from self._module.SSEClient(chunks).events()

    def read(self, stream: bytes) -> Read:
        return read(self.events([stream]))


class OpenAI:
    name = "openai"

    def __init__(self) -> None:
        self._module = import_module(f"{self.name}._streaming")

    def events(self, chunks: Iterable[bytes]) -> Iterator[Any]:
        yield from self._module.SSEDecoder().iter_bytes(iter(chunks))

    def read(self, stream: bytes) -> Read:
        return read(self.events([stream]))


class Anthropic(OpenAI):
    name = "anthropic"


PARSERS = (Ours, HttpxSSE, LaunchDarkly, SSEClient, OpenAI, Anthropic)


def read(events: Iterable[Any]) -> Read:
    """Convert events of a peer that have `event`, `data`, `id` and `retry`."""
    dispatched: list[Dispatched] = []
    retry: float | None = None
    for event in events:
        dispatched.append((event.event or "message", event.data, event.id or ""))
        retry = retry if event.retry is None else int(event.retry) / 1000
    return dispatched, retry


def cut(stream: bytes, size: int) -> list[bytes]:
    return [stream[start : start + size] for start in range(0, len(stream), size)]


def loads() -> dict[str, tuple[int, list[bytes]]]:
    """Streams by name: their chunks and the number of events."""
    message = b'id: 4711\nevent: message\ndata: {"sender": "ada", "text": "how are you?"}\n\n'
    bare = b'data: {"sender": "ada", "text": "how are you?"}\n\n'
    large = b"data: " + b"x" * 65_536 + b"\n\n"
    return {
        "small events": (20_000, cut(message * 20_000, READ)),
        "the same with CRLF": (20_000, cut(message.replace(b"\n", b"\r\n") * 20_000, READ)),
        "small events, a chunk each": (20_000, [message] * 20_000),
        "data only, one chunk": (40_000, [bare * 40_000]),
        "64 KiB events": (200, cut(large * 200, READ)),
        "byte by byte": (1_000, cut(message * 1_000, 1)),
        "64 KiB event, byte by byte": (1, cut(large, 1)),
        "10,000 data lines": (1, cut(b"data: x\n" * 10_000 + b"\n", READ)),
        "40,000 data lines": (1, cut(b"data: x\n" * 40_000 + b"\n", READ)),
    }


def seconds(parsers: Sequence[type[Any]], events: int, chunks: list[bytes]) -> list[list[float]]:
    """Return the CPU seconds of each parser's rounds; they take turns."""
    rounds: list[list[float]] = [[] for _ in parsers]
    for _ in range(ROUNDS):
        for own, parser in zip(rounds, parsers, strict=True):
            one = parser()
            gc.collect()
            start = process_time()
            count = sum(1 for _ in one.events(chunks))
            own.append(process_time() - start)
            if count != events:
                raise RuntimeError(f"{parser.name} found {count} events, not {events}")
    return rounds


def passes(parser: type[Any]) -> int:
    """Return the number of cases of the standard that a parser reads correctly, each in one chunk."""
    passed = 0
    for case in CASES:
        try:
            passed += parser().read(case.stream) == (list(case.events), case.retry)
        except Exception:  # whatever a peer raises, it did not read the stream
            continue
    return passed


def main() -> Report:
    """Return the table of speeds as ratios, and the conformance of each parser."""
    slowest: dict[str, list[float]] = {}
    installed, skipped = [], []
    for parser in PARSERS:
        try:
            parser()
        except ImportError:
            skipped.append(parser.name)
        else:
            installed.append(parser)
    lines = [
        "### The event-stream parser",
        "",
        f"CPU time, best of {ROUNDS} in turn, in chunks of {READ:,} bytes unless stated.\nThe peers' columns "
        "are their time over ours.",
        "",
        "| stream | " + " | ".join(["MB/s", "events/s", *(peer.name for peer in installed[1:])]) + " |",
        "|---|" + "--:|" * (len(installed) + 1),
    ]
    for load, (events, chunks) in loads().items():
        rounds = seconds(installed, events, chunks)
        ours, *theirs = map(min, rounds)
        size = sum(map(len, chunks)) / 1e6
        if theirs:
            slowest[load] = [min(others) / own for own, *others in zip(*rounds, strict=True)]
        cells = [f"{size / ours:,.1f}", f"{events / ours:,.0f}", *(f"{each / ours:.2f}" for each in theirs)]
        lines.append(f"| {load} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"Of {len(CASES)} cases of the standard (events and reconnection time, each stream in one chunk):",
        "",
        "| parser | right |",
        "|---|--:|",
        *(f"| {parser.name} | {passes(parser)} |" for parser in installed),
    ]
    if skipped:
        lines += ["", "Not installed, so skipped: " + ", ".join(skipped) + "."]
    figures = [
        Figure.of_rounds(6, f"{load}: best peer's time over ours", rounds, at_least=1.0)
        for load, rounds in slowest.items()
    ]
    conforming = passes(Ours) / len(CASES)
    figures.append(
        Figure(item=6, what="cases of the standard that it reads rightly", reached=conforming, at_least=1.0)
    )
    return Report("\n".join(lines) + "\n", figures)


if __name__ == "__main__":
    sys.stdout.write(main().page)
