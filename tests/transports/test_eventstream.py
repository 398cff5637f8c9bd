"""HOSTILE A33: the event-stream parser against the standard, by a table of its rules and by its algorithm."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatlab.errors import EventTooLarge
from chatlab.transports.eventstream import EventStreamParser, StreamEvent
from tests.sizes import examples

BOM = b"\xef\xbb\xbf"
Dispatched = tuple[str, str, str]  # type, data, last event id


@dataclass(frozen=True)
class Case:
    """The standard's result for a stream; `rule` is a section of WHATWG HTML §9.2, if it names no other."""

    rule: str
    stream: bytes
    events: tuple[Dispatched, ...] = ()
    retry: float | None = None
    last_id: str = ""


def case(
    rule: str, stream: bytes, *events: str | Dispatched, retry: float | None = None, last_id: str = ""
) -> Case:
    """Return a case; an event given only by its data has type `message` and the stream's last id."""
    full = tuple(("message", event, last_id) if isinstance(event, str) else event for event in events)
    return Case(rule, stream, full, retry, last_id)


CASES = [
    # The standard's own examples.
    case("6 example: stock ticker", b"data: YHOO\ndata: +2\ndata: 10\n\n", "YHOO\n+2\n10"),
    case(
        "6 example: four blocks",
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        ("message", "first event", "1"),
        ("message", "second event", ""),
        ("message", " third event", ""),
    ),
    case("6 example: empty data, unfinished block", b"data\n\ndata\ndata\n\ndata:", "", "\n"),
    case("6 example: the space is optional", b"data:test\n\ndata: test\n\n", "test", "test"),
    case(
        "1 example: named events",
        b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n",
        ("add", "73857293", ""),
        ("remove", "2153", ""),
        ("add", "113411", ""),
    ),
    case(
        "1 example: two-line messages",
        b"data: This is the first message.\n\ndata: This is the second message, it\ndata: has two lines.\n\n",
        "This is the first message.",
        "This is the second message, it\nhas two lines.",
    ),
    # §9.2.5: a stream is an optional byte order mark and events; a line ends with CRLF, LF or CR.
    case("5 line end LF", b"data: a\n\n", "a"),
    case("5 line end CR", b"data: a\r\r", "a"),
    case("5 line end CRLF", b"data: a\r\n\r\n", "a"),
    case("5 line ends LF then CR", b"data: a\n\r", "a"),
    case("5 line ends CR then CRLF", b"data: a\r\r\n", "a"),
    case("5 line ends LF then CRLF", b"data: a\n\r\n", "a"),
    case("5 line ends CRLF then CR", b"data: a\r\n\r", "a"),
    case("5 line ends CRLF then LF", b"data: a\r\n\n", "a"),
    case("5 CRLF is one line end", b"data: a\r\ndata: b\r\n\r\n", "a\nb"),
    case("5 CR CR is two", b"data: a\r\rdata: b\r\r", "a", "b"),
    case("5 CR, then a line that LF ends", b"data: a\rx\n\rdata: b\n\n", "a", "b"),
    case("5 LF CR is two", b"data: a\n\rdata: b\n\r", "a", "b"),
    case("5 CR CR LF is two", b"data: a\r\r\ndata: b\r\r\n", "a", "b"),
    case("5 all three in one event", b"data: a\ndata: b\rdata: c\r\ndata: d\n\n", "a\nb\nc\nd"),
    case("5 WPT newline mix", b"data: test\r\ndata\ndata: test\r\n\r\n", "test\n\ntest"),
    case("5 empty lines only", b"\n\r\r\n\n\r\r\r\n"),
    case("5 CR alone", b"\r"),
    case("5 CRLF alone", b"\r\n"),
    case("5 leading empty lines", b"\r\n\n\rdata: a\n\n", "a"),
    case("5 vertical tab ends no line", b"data: a\x0bdata: b\n\n", "a\x0bdata: b"),
    case("5 form feed ends no line", b"data: a\x0cdata: b\n\n", "a\x0cdata: b"),
    case("5 file to unit separators end no line", b"data: a\x1c\x1d\x1e\x1fb\n\n", "a\x1c\x1d\x1e\x1fb"),
    case("5 NEL ends no line", "data: a\u0085b\n\n".encode(), "a\u0085b"),
    case("5 LINE SEPARATOR ends no line", "data: a\u2028b\n\n".encode(), "a\u2028b"),
    case("5 PARAGRAPH SEPARATOR ends no line", "data: a\u2029b\n\n".encode(), "a\u2029b"),
    case("5 NEL in an id", "id: a\u0085b\n\n".encode(), last_id="a\u0085b"),
    case("5 empty stream", b""),
    # §9.2.5 with Encoding §6: UTF-8 decode strips one byte order mark, at the start only.
    case("Encoding 6: BOM", BOM + b"data: a\n\n", "a"),
    case("Encoding 6: second BOM is text", BOM + BOM + b"data: a\n\ndata: b\n\n", "b"),
    case("Encoding 6: BOM alone", BOM),
    case("Encoding 6: BOM, then an empty line", BOM + b"\ndata: a\n\n", "a"),
    case("Encoding 6: BOM, then CRLF", BOM + b"\r\ndata: a\r\n\r\n", "a"),
    case("Encoding 6: BOM before a comment", BOM + b": a\ndata: b\n\n", "b"),
    case("Encoding 6: BOM in a second event", b"data: a\n\n" + BOM + b"data: b\n\n", "a"),
    case("Encoding 6: BOM after an empty line", b"\n" + BOM + b"data: a\n\n"),
    case("Encoding 6: BOM after a space", b" " + BOM + b"data: a\n\n"),
    case("Encoding 6: BOM in a second line", b"data: a\n" + BOM + b"data: b\n\n", "a"),
    case("Encoding 6: BOM in a value", b"data:" + BOM + b"a\n\n", "\ufeffa"),
    case("Encoding 6: BOM at the end of a line", b"data: a" + BOM + b"\n\n", "a\ufeff"),
    case("Encoding 6: two thirds of a BOM", BOM[:2] + b"data: a\n\ndata: b\n\n", "b"),
    case("Encoding 6: one third of a BOM", BOM[:1] + b"\ndata: b\n\n", "b"),
    case("Encoding 6: UTF-16 BOM is not one", b"\xff\xfedata: a\n\ndata: b\n\n", "b"),
    # §9.2.5 with Encoding §8.1.1: the UTF-8 decoder, one U+FFFD per maximal broken part.
    case("Encoding 8.1.1: two bytes", "data: é\n\n".encode(), "é"),
    case("Encoding 8.1.1: three bytes", "data: €\n\n".encode(), "€"),
    case("Encoding 8.1.1: four bytes", "data: 😀\n\n".encode(), "😀"),
    case("Encoding 8.1.1: highest", b"data: \xf4\x8f\xbf\xbf\n\n", "\U0010ffff"),
    case("Encoding 8.1.1: above the highest", b"data: \xf4\x90\x80\x80\n\n", "\ufffd" * 4),
    case("Encoding 8.1.1: lone continuation", b"data: \x80\n\n", "\ufffd"),
    case("Encoding 8.1.1: impossible bytes", b"data: \xfe\xff\xc0\xc1\xf5\n\n", "\ufffd" * 5),
    case("Encoding 8.1.1: overlong two", b"data: \xc0\xaf\n\n", "\ufffd" * 2),
    case("Encoding 8.1.1: overlong three", b"data: \xe0\x80\xaf\n\n", "\ufffd" * 3),
    case("Encoding 8.1.1: overlong four", b"data: \xf0\x80\x80\xaf\n\n", "\ufffd" * 4),
    case("Encoding 8.1.1: surrogate", b"data: \xed\xa0\x80\n\n", "\ufffd" * 3),
    case("Encoding 8.1.1: four cut after one", b"data: \xf0a\n\n", "\ufffda"),
    case("Encoding 8.1.1: four cut after two", b"data: \xf0\x9fa\n\n", "\ufffda"),
    case("Encoding 8.1.1: four cut after three", b"data: \xf0\x9f\x98a\n\n", "\ufffda"),
    case("Encoding 8.1.1: three cut after two", b"data: \xe2\x82a\n\n", "\ufffda"),
    case("Encoding 8.1.1: cut by a start byte", b"data: \xf0\x9f\xe2\x82\xac\n\n", "\ufffd€"),
    case("Encoding 8.1.1: cut by LF", b"data: \xf0\x9f\x98\ndata: a\n\n", "\ufffd\na"),
    case("Encoding 8.1.1: cut by CR", b"data: \xe2\x82\rdata: a\r\r", "\ufffd\na"),
    case("Encoding 8.1.1: cut by CRLF", b"data: \xc3\r\n\r\n", "\ufffd"),
    case("Encoding 8.1.1: cut by a colon", b"data\xc3: a\ndata: b\n\n", "b"),
    case("Encoding 8.1.1: after the space", b"data: \xa9\n\n", "\ufffd"),
    case("Encoding 8.1.1: in an id", b"id: \xff\ndata: a\n\n", "a", last_id="\ufffd"),
    case("Encoding 8.1.1: in a type", b"event: \xff\ndata: a\n\n", ("\ufffd", "a", "")),
    case("Encoding 8.1.1: overlong LF is no line end", b"data: a\xc0\x8adata: b\n\n", "a\ufffd\ufffddata: b"),
    case("5 always UTF-8: windows-1252", "data: é\n\n".encode("cp1252"), "\ufffd"),
    # §9.2.6: lines.
    case("6 comment", b": a\n\n"),
    case("6 comment without text", b":\n\n"),
    case("6 comments only", b":a\n: b\n:\r:c\r\n"),
    case("6 comment between data", b"data: a\n:data: b\ndata: c\n\n", "a\nc"),
    case("6 comment like a field", b":data: a\n:id: 1\n:retry: 1\n\n"),
    case("6 comment ends no event", b"data: a\n:\n", last_id=""),
    case("6 one leading space goes", b"data: a\n\n", "a"),
    case("6 only one leading space goes", b"data:  a\n\n", " a"),
    case("6 only a space goes, not a tab", b"data:\ta\n\n", "\ta"),
    case("6 only a space goes, not NBSP", "data:\u00a0a\n\n".encode(), "\u00a0a"),
    case("6 tab after the space stays", b"data: \ta\n\n", "\ta"),
    case("6 trailing space stays", b"data: a \n\n", "a "),
    case("6 space alone", b"data: \n\n", ""),
    case("6 two spaces", b"data:  \n\n", " "),
    case("6 first colon parts", b"data:a:b\n\n", "a:b"),
    case("6 first colon parts, space at a later", b"data:a: b\n\n", "a: b"),
    case("6 first colon parts, space at both", b"data: a: b\n\n", "a: b"),
    case("6 value of a colon", b"data::\n\n", ":"),
    case("6 value of a colon and space", b"data:: a\n\n", ": a"),
    case("6 value of a space and colons", b"data: ::\n\n", "::"),
    case("6 no colon: whole line is the name", b"data\n\n", ""),
    case("6 no colon: id", b"id: 1\n\nid\ndata: a\n\n", ("message", "a", "")),
    case("6 no colon: event", b"event: a\nevent\ndata: b\n\n", "b"),
    case("6 no colon: retry", b"retry: 1000\nretry\n\n", retry=1.0),
    case("6 no colon: unknown", b"unknown\ndata: a\n\n", "a"),
    case("6 line of one space", b"data: a\n \ndata: b\n\n", "a\nb"),
    case("6 line of one tab", b"data: a\n\t\ndata: b\n\n", "a\nb"),
    case("6 JSON keeps its colons", b'data: {"a": "b: c"}\n\n', '{"a": "b: c"}'),
    case("6 JSON without spaces", b'data:{"a":"b: c"}\n\n', '{"a":"b: c"}'),
    # §9.2.6: field names, compared literally.
    case("6 unknown field", b"foo: a\nbar:b\ndata: c\n\n", "c"),
    case("6 unknown field only", b"foo: a\n\n"),
    case("6 case: DATA", b"DATA: a\n\n"),
    case("6 case: Data, Event, Id, Retry", b"Event: a\nId: 1\nRetry: 1\nData: a\ndata: b\n\n", "b"),
    case("6 leading space in the name", b" data: a\n\n"),
    case("6 trailing space in the name", b"data : a\n\n"),
    case("6 trailing tab in the name", b"data\t: a\n\n"),
    case("6 longer name", b"database: a\nidx: 1\nevents: e\nretrying: 1\ndata: b\n\n", "b"),
    case("6 shorter name", b"dat: a\nd: b\ni: 1\ndata: c\n\n", "c"),
    case("6 NUL in the name", b"data\x00: a\nda\x00ta: b\ndata: c\n\n", "c"),
    case("6 fullwidth name", "ｄａｔａ: a\n\n".encode()),
    # §9.2.6: event.
    case("6 event", b"event: typing\ndata: a\n\n", ("typing", "a", "")),
    case("6 event after data", b"data: a\nevent: typing\n\n", ("typing", "a", "")),
    case("6 event: last wins", b"event: a\nevent: b\ndata: c\n\n", ("b", "c", "")),
    case("6 event: empty means message", b"event:\ndata: a\n\n", "a"),
    case("6 event: empty resets", b"event: a\nevent:\ndata: b\n\n", "b"),
    case("6 event: spaces stay", b"event:  a \ndata: b\n\n", (" a ", "b", "")),
    case("6 event: NUL stays", b"event: a\x00\ndata: b\n\n", ("a\x00", "b", "")),
    case("6 event: any text", "event: é: 😀\ndata: b\n\n".encode(), ("é: 😀", "b", "")),
    case("6 event: no data", b"event: a\n\ndata: b\n\n", "b"),
    case("6 event: message", b"event: message\ndata: a\n\n", "a"),
    # §9.2.6: data.
    case("6 data: lines joined by LF", b"data: a\ndata: b\ndata: c\n\n", "a\nb\nc"),
    case("6 data: only the last LF goes", b"data: a\ndata:\ndata:\n\n", "a\n\n"),
    case("6 data: empty first line", b"data:\ndata: a\n\n", "\na"),
    case("6 data: three empty lines", b"data\ndata:\ndata: \n\n", "\n\n"),
    case("6 data: NUL stays", b"data: a\x00b\n\n", "a\x00b"),
    case("6 data: interleaved", b"data: a\nid: 1\ndata: b\nfoo\ndata: c\n\n", "a\nb\nc", last_id="1"),
    case("6 data: long", b"data: " + b"x" * 70_000 + b"\n\n", "x" * 70_000),
    # §9.2.6: id.
    case("6 id", b"id: 1\ndata: a\n\n", "a", last_id="1"),
    case("6 id after data", b"data: a\nid: 1\n\n", "a", last_id="1"),
    case("6 id: last wins", b"id: 1\nid: 2\ndata: a\n\n", "a", last_id="2"),
    case(
        "6 id persists", b"id: 1\ndata: a\n\ndata: b\n\nevent: e\n\ndata: c\n\n", "a", "b", "c", last_id="1"
    ),
    case(
        "6 id: empty resets",
        b"id: 1\ndata: a\n\nid:\ndata: b\n\n",
        ("message", "a", "1"),
        ("message", "b", ""),
    ),
    case("6 id: NUL is ignored", b"id: 1\nid: 2\x003\ndata: a\n\n", "a", last_id="1"),
    case("6 id: NUL alone is ignored", b"id: 1\n\nid: \x00\ndata: a\n\n", "a", last_id="1"),
    case("6 id: NUL at the end is ignored", b"id: 1\x00\ndata: a\n\n", "a"),
    case("6 id: spaces stay", b"id:  1 \ndata: a\n\n", "a", last_id=" 1 "),
    case("6 id: any text", "id: é😀\ndata: a\n\n".encode(), "a", last_id="é😀"),
    case("6 id: no number needed", b"id: a:b: c\ndata: a\n\n", "a", last_id="a:b: c"),
    case("6 id without data is set", b"id: 1\n\n", last_id="1"),
    case("6 id without data goes along", b"id: 1\n\ndata: a\n\n", "a", last_id="1"),
    case("6 id of an unfinished block is not set", b"id: 1\ndata: a\n\nid: 2\ndata: b\n", "a", last_id="1"),
    # §9.2.6: retry, in milliseconds.
    case("6 retry", b"retry: 1500\n\n", retry=1.5),
    case("6 retry: at once, without an empty line", b"retry: 1500\n", retry=1.5),
    case("6 retry: with an event", b"retry: 10\ndata: a\n\n", "a", retry=0.01),
    case("6 retry: last wins", b"retry: 1\nretry: 2000\n\n", retry=2.0),
    case("6 retry: bad one changes nothing", b"retry: 2000\nretry: x\n\n", retry=2.0),
    case("6 retry: zero", b"retry: 0\n\n", retry=0.0),
    case("6 retry: leading zeros are base ten", b"retry: 0010\n\n", retry=0.01),
    case("6 retry: no space", b"retry:3000\n\n", retry=3.0),
    case("6 retry: two spaces", b"retry:  3000\n\n"),
    case("6 retry: trailing space", b"retry: 3000 \n\n"),
    case("6 retry: plus", b"retry: +1000\n\n"),
    case("6 retry: minus", b"retry: -1000\n\n"),
    case("6 retry: fraction", b"retry: 1000.5\n\n"),
    case("6 retry: exponent", b"retry: 1e3\n\n"),
    case("6 retry: hexadecimal", b"retry: 0x10\n\n"),
    case("6 retry: underscore", b"retry: 1_000\n\n"),
    case("6 retry: trailing letters", b"retry: 1000ms\n\n"),
    case("6 retry: NUL", b"retry: 1000\x00\n\n"),
    case("6 retry: words for no number", b"retry: inf\nretry: nan\n\n"),
    case("6 retry: empty", b"retry:\n\n"),
    case("6 retry: Arabic digits", "retry: ١٢٣\n\n".encode()),
    case("6 retry: fullwidth digits", "retry: １２３\n\n".encode()),
    case("6 retry: superscript digit", "retry: 1²\n\n".encode()),
    case("6 retry: 10^12", b"retry: 1000000000000\n\n", retry=1e9),
    case("6 retry: 5,000 digits, capped", b"retry: " + b"9" * 5_000 + b"\n\n", retry=2**53 / 1000),
    case("6 retry: 5,000 zeros", b"retry: " + b"0" * 5_000 + b"7\n\n", retry=0.007),
    # §9.2.6: dispatch.
    case("6 dispatch 1: id even when nothing is dispatched", b"id: 1\nevent: e\n\n", last_id="1"),
    case("6 dispatch 2: no data, no event", b"event: a\nid: 1\nretry: 1\n\n", retry=0.001, last_id="1"),
    case("6 dispatch 2: type forgotten", b"event: a\n\n\ndata: b\n\n", "b"),
    case("6 dispatch 3: data of one LF", b"data\ndata\n\n", "\n"),
    case("6 dispatch 6: type and data forgotten", b"event: a\ndata: b\n\ndata: c\n\n", ("a", "b", ""), "c"),
    case("6 dispatch: empty lines between", b"data: a\n\n\n\n\ndata: b\n\n", "a", "b"),
    # §9.2.6: at the end of the file, pending data is discarded.
    case("6 end: no empty line", b"data: a\n"),
    case("6 end: no line end", b"data: a"),
    case("6 end: after an event", b"data: a\n\ndata: b\n", "a"),
    case("6 end: one CRLF is one line end", b"data: a\r\n"),
    case("6 end: in a name", b"data: a\n\nda", "a"),
    case("6 end: in a UTF-8 sequence", b"data: a\n\ndata: \xf0\x9f", "a"),
    case("6 end: retry on an unfinished line", b"retry: 1000"),
    case("6 end: id on an unfinished line", b"data: a\n\nid: 1", "a"),
]


@dataclass
class Outcome:
    """The result of parsing a stream."""

    events: list[Dispatched] = field(default_factory=list)
    retry: float | None = None
    last_id: str = ""
    too_large: bool = False


def parse(chunks: Iterable[bytes], max_event_size: int = 1 << 20) -> Outcome:
    parser = EventStreamParser(max_event_size)
    outcome = Outcome()
    for chunk in chunks:
        try:
            events = parser.feed(chunk)
        except EventTooLarge as error:
            events = list(error.events)
            outcome.too_large = True
        outcome.events += [(event.type, event.data, event.last_event_id) for event in events]
        if outcome.too_large:
            break
    outcome.retry, outcome.last_id = parser.reconnection_time, parser.last_event_id
    return outcome


def cut(stream: bytes, positions: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted(positions), len(stream)]
    return [stream[start:end] for start, end in pairwise(bounds)]


def chunkings(stream: bytes) -> Iterator[list[bytes]]:
    """Yield the stream whole, byte by byte, split after each CR and LF, and, if short, split in two
    anywhere."""
    yield [stream]
    yield cut(stream, range(len(stream)))
    yield cut(stream, (at for at in range(1, len(stream)) if stream[at - 1] in b"\r\n"))
    if len(stream) <= 200:
        for at in range(1, len(stream)):
            yield cut(stream, [at])
            yield cut(stream, [at, at])  # an empty chunk says nothing


@pytest.mark.parametrize("expected", CASES, ids=lambda case: case.rule)
def test_A33_the_standard_whatever_the_chunks(expected: Case) -> None:
    for chunks in chunkings(expected.stream):
        outcome = parse(chunks)
        assert outcome == Outcome(list(expected.events), expected.retry, expected.last_id), chunks


@pytest.mark.slow
@pytest.mark.parametrize("expected", CASES, ids=lambda case: case.rule)
def test_reference_agrees_with_the_table(expected: Case) -> None:
    assert reference(expected.stream) == Outcome(list(expected.events), expected.retry, expected.last_id)


def test_cases_are_distinct() -> None:
    assert len({case.rule for case in CASES}) == len(CASES) >= 110


# An independent, slow implementation of the standard, word by word.


def utf8_decode(stream: bytes) -> str:
    """Decode by WHATWG Encoding §6 "UTF-8 decode" and §8.1.1 "UTF-8 decoder"."""
    queue = list(stream.removeprefix(BOM))
    text = ""
    code_point = needed = seen = 0
    lower, upper = 0x80, 0xBF
    while queue:
        byte = queue.pop(0)
        if needed == 0:
            if byte <= 0x7F:
                text += chr(byte)
            elif 0xC2 <= byte <= 0xDF:
                needed, code_point = 1, byte & 0x1F
            elif 0xE0 <= byte <= 0xEF:
                lower = 0xA0 if byte == 0xE0 else lower
                upper = 0x9F if byte == 0xED else upper
                needed, code_point = 2, byte & 0xF
            elif 0xF0 <= byte <= 0xF4:
                lower = 0x90 if byte == 0xF0 else lower
                upper = 0x8F if byte == 0xF4 else upper
                needed, code_point = 3, byte & 0x7
            else:
                text += "\ufffd"
            continue
        if not lower <= byte <= upper:
            code_point = needed = seen = 0
            lower, upper = 0x80, 0xBF
            queue.insert(0, byte)
            text += "\ufffd"
            continue
        lower, upper = 0x80, 0xBF
        code_point = (code_point << 6) | (byte & 0x3F)
        seen += 1
        if seen == needed:
            text += chr(code_point)
            code_point = needed = seen = 0
    return text + ("\ufffd" if needed else "")


def reference(stream: bytes, max_event_size: int = 1 << 20) -> Outcome:
    """Parse by WHATWG HTML §9.2.6, with the limit of chatlab."""
    outcome = Outcome()
    data_buffer = event_type_buffer = last_event_id_buffer = ""
    lines = re.split("\r\n|\n|\r", utf8_decode(stream))
    sizes = [len(line) for line in re.split(b"\r\n|\n|\r", stream)]
    for number, (line, size) in enumerate(zip(lines, sizes, strict=True), start=1):
        if size > max_event_size:
            outcome.too_large = True
            break
        if number == len(lines):
            break  # it has no end, so it is not a line
        if line == "":
            outcome.last_id = last_event_id_buffer
            if data_buffer != "":
                data = data_buffer[:-1] if data_buffer[-1] == "\n" else data_buffer
                outcome.events.append((event_type_buffer or "message", data, outcome.last_id))
            data_buffer = event_type_buffer = ""
            continue
        if line[0] == ":":
            continue
        name, value = line, ""
        if ":" in line:
            name, value = line[: line.index(":")], line[line.index(":") + 1 :]
            if value != "" and value[0] == " ":
                value = value[1:]
        if name == "event":
            event_type_buffer = value
        elif name == "data":
            data_buffer += value + "\n"
            if len(data_buffer.encode()) > max_event_size:
                outcome.too_large = True
                break
        elif name == "id" and "\x00" not in value:
            last_event_id_buffer = value
        elif name == "retry" and value != "" and all(character in "0123456789" for character in value):
            digits = value.lstrip("0")
            outcome.retry = min(int(digits[:17] or "0"), 2**53) / 1000
    return outcome


FIELDS = [b"data", b"id", b"event", b"retry", b"other", b"data: y\n", b"id: z\n", b"retry: 9\n"]
SIGNS = [b":", b": ", b" ", b"\n", b"\n\n", b"\r", b"\r\n", b"\r\n\r\n", b"\x00", b"7", b"-", b"x"]
TEXTS = [
    BOM,
    BOM[:1],
    BOM[1:],
    "é".encode(),
    "€".encode(),
    "😀".encode(),
    b"\xf0\x9f",
    b"\x98\x80",
    b"\xed\xa0",
]
FRAGMENTS = st.sampled_from([*FIELDS, *SIGNS, *TEXTS]) | st.binary(max_size=3)
STREAMS = st.lists(FRAGMENTS, max_size=40).map(b"".join)


@pytest.mark.slow
@settings(max_examples=examples(400))
@given(
    stream=STREAMS,
    cuts=st.lists(st.integers(0, 150)),
    limit=st.sampled_from([0, 1, 7, 8, 9, 20, 40, 1 << 20]),
)
@example(stream=b"data: x\r\n\r\n", cuts=[8, 10], limit=7)
@example(stream=b"data\ndata\n" * 4, cuts=[], limit=7)
@example(stream=b"data: " + b"\xff" * 10 + b"\n\n", cuts=[], limit=20)
def test_any_stream_in_any_chunks_is_read_as_the_standard_reads_it(
    stream: bytes, cuts: list[int], limit: int
) -> None:
    expected = reference(stream, limit)
    for chunks in (
        [stream],
        cut(stream, range(len(stream))),
        cut(stream, [at for at in cuts if at < len(stream)]),
    ):
        assert parse(chunks, limit) == expected, chunks


@pytest.mark.slow
def test_streams_longer_than_a_window_are_read_the_same() -> None:
    block = "id: 7\r\nevent: é\rdata: 😀\ndata: \r\n\n".encode() + b"data: \xf0\x9f\n\r\n"
    stream = BOM + block * 9_000
    expected = [("é", "😀\n", "7"), ("message", "\ufffd", "7")] * 9_000
    for size in (len(stream), 65_536, 65_537, 100_003):
        assert parse(cut(stream, range(size, len(stream), size))).events == expected


@pytest.mark.parametrize("ends", [b"", b"\n", b"\n\n", b"\n\ndata: z\n\n"], ids=repr)
@pytest.mark.parametrize("second", [0, 1, 991, 992, 993, 994, 995, 996, 2_000])
@pytest.mark.parametrize("first", [0, 1, 991, 992, 993, 994, 995, 996, 2_000])
def test_long_lines_are_split_as_short_ones_are(first: int, second: int, ends: bytes) -> None:
    stream = b"data: " + b"x" * first + b"\ndata: " + b"y" * second + ends
    assert parse([stream]).events == parse(cut(stream, range(len(stream)))).events
    whole = ["x" * first + "\n" + "y" * second] if ends.startswith(b"\n\n") else []
    assert [data for _, data, _ in parse([stream]).events] == whole + ["z"] * ends.count(b"z")


def test_events_are_dispatched_by_the_byte_that_ends_them() -> None:
    parser = EventStreamParser()
    assert parser.feed(b"data: a\r") == []
    assert parser.feed(b"\r") == [StreamEvent(type="message", data="a", last_event_id="")]
    assert parser.feed(b"\n") == []  # of the CR before
    assert parser.feed(b"\n") == []
    assert parser.feed(b"data: b\n\n") == [StreamEvent(type="message", data="b", last_event_id="")]


def test_last_event_id_is_set_when_its_block_ends_and_reconnection_time_when_its_line_does() -> None:
    parser = EventStreamParser()
    parser.feed(b"id: 1\nretry: 250\n")
    assert (parser.last_event_id, parser.reconnection_time) == ("", 0.25)
    parser.feed(b"\n")
    assert (parser.last_event_id, parser.reconnection_time) == ("1", 0.25)


def test_a_reconnected_stream_goes_on_from_the_id_before() -> None:
    parser = EventStreamParser(last_event_id="41")
    assert parser.last_event_id == "41"
    assert parser.feed(b"data: a\n\nid: 42\ndata: b\n\n") == [
        StreamEvent(type="message", data="a", last_event_id="41"),
        StreamEvent(type="message", data="b", last_event_id="42"),
    ]


# Limits.

LIMIT = 100
MIB = 1 << 20


@pytest.mark.parametrize(
    ("stream", "larger"),
    [
        pytest.param(b"data:" + b"x" * 95, b"data:" + b"x" * 96, id="line"),
        pytest.param(BOM + b":" + b"x" * 96, BOM + b":" + b"x" * 97, id="comment after a BOM"),
        pytest.param(
            b"data:" + b"x" * 49 + b"\ndata:" + b"y" * 49, b"data\ndata:" + b"y" * 98 + b"\ndata", id="event"
        ),
        pytest.param(b"data\n" * 100, b"data\n" * 101, id="empty data lines"),
        pytest.param(
            "data:é\n".encode() * 33 + b"data", "data:é\n".encode() * 33 + b"data:x", id="two-byte letters"
        ),
        pytest.param(
            b"data:\xff\n" * 25, b"data:\xff\n" * 25 + b"data", id="bad bytes, three each once decoded"
        ),
    ],
)
@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"])
def test_what_is_as_large_as_the_limit_is_read_and_one_byte_more_is_not(
    stream: bytes, larger: bytes, line_end: bytes
) -> None:
    for whole, too_large in ((stream, False), (larger, True)):
        lines = whole + b"\n\n" + b"data: end\n\n"
        for chunks in chunkings(lines.replace(b"\n", line_end)):
            outcome = parse(chunks, LIMIT)
            assert outcome.too_large == too_large
            assert outcome.events[-1:] == ([] if too_large else [("message", "end", "")])


def test_a_line_without_end_is_too_large_before_it_ends() -> None:
    parser = EventStreamParser(LIMIT)
    parser.feed(b"data: a\n\n" + b"x" * LIMIT)
    with pytest.raises(EventTooLarge, match="a line above 100 bytes"):
        parser.feed(b"x")


def test_many_small_events_comments_and_ids_are_not_too_large() -> None:
    stream = b": comment\nid: 1\nevent: e\nother: x\n" * 100 + b"data: x\n\n" * 100
    assert len(parse([stream], LIMIT).events) == 100


def test_a_feed_that_fails_hands_over_what_came_before_and_closes_the_parser() -> None:
    parser = EventStreamParser(LIMIT)
    with pytest.raises(EventTooLarge) as first:
        parser.feed(b"retry: 5\nid: 1\ndata: a\n\n" + b"data: " + b"x" * LIMIT + b"\n\nid: 2\ndata: b\n\n")
    assert list(first.value.events) == [StreamEvent(type="message", data="a", last_event_id="1")]
    for chunk in (b"", b"x", b"\n\n", b"data: c\n\n"):
        with pytest.raises(EventTooLarge) as again:
            parser.feed(chunk)
        assert str(again.value) == str(first.value)
        assert not again.value.events
    assert (parser.last_event_id, parser.reconnection_time) == ("1", 0.005)


def peak_memory(chunks: Iterable[bytes], max_event_size: int = MIB) -> tuple[int, list[bool]]:
    """Return the peak bytes of parsing besides the input, and for each chunk whether it was refused."""
    refused = []
    parser = EventStreamParser(max_event_size)
    tracemalloc.start()
    try:
        for chunk in chunks:
            try:
                parser.feed(chunk)
            except EventTooLarge:
                refused.append(True)
            else:
                refused.append(False)
        return tracemalloc.get_traced_memory()[1], refused
    finally:
        tracemalloc.stop()


def test_a_line_of_100_mb_in_small_chunks_leaves_memory_flat() -> None:
    chunk = b"x" * 65_536
    peak, refused = peak_memory(chunk for _ in range(1_600))
    assert refused.index(True) == 16  # the first chunk above 1 MiB
    assert all(refused[16:])
    assert peak < 3 * MIB


def test_a_closed_parser_holds_nothing() -> None:
    parser = EventStreamParser()
    tracemalloc.start()
    try:
        parser.feed(b"data: " + b"x" * (MIB // 2) + b"\n")
        parser.feed(b"x" * (MIB - 1))
        held = tracemalloc.get_traced_memory()[0]
        with pytest.raises(EventTooLarge):
            parser.feed(b"xx")
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held > MIB * 1.5
    assert left < MIB / 8


@pytest.mark.parametrize(
    "giant", [b"x" * 100_000_000, b"data: " + b"\xff" * 100_000_000], ids=["letters", "bad bytes"]
)
def test_a_line_of_100_mb_in_one_chunk_leaves_memory_flat(giant: bytes) -> None:
    peak, refused = peak_memory([giant])
    assert refused == [True]
    assert peak < 3 * MIB


@pytest.mark.proof
@pytest.mark.parametrize("size", [9, 65_536, MIB], ids=["lines", "small chunks", "one chunk"])
def test_an_event_of_endless_data_lines_leaves_memory_flat(size: int) -> None:
    line = b"data: ab\n"  # so little data in a line that an object for each would show
    stream = line * (size // len(line))
    peak, refused = peak_memory((stream for _ in range(MIB // len(stream))), MIB // 4)
    assert refused[-1]
    assert peak < 3 * MIB


@pytest.mark.slow
def test_an_event_of_a_million_data_lines_is_read() -> None:
    (event,) = EventStreamParser().feed(b"data\n" * 1_000_000 + b"\n")
    assert event.data == "\n" * 999_999


@pytest.mark.slow
def test_empty_lines_and_comments_without_end_leave_memory_flat() -> None:
    for stream in (b"\n" * 1_000_000, b"\r\n" * 500_000, b":\n" * 500_000):
        peak, refused = peak_memory([stream])
        assert refused == [False]
        assert peak < 3 * MIB
