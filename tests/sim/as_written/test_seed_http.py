"""The seed's snippets over HTTP, line by line."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from chatlab.dialects import find_dialect
from chatlab.dialects.base import Answer
from chatlab.errors import SettingsError
from chatlab.messages import ConnectionStatus, DeliveryState, OutgoingMessage
from chatlab.sim.as_written.seed_factory import make_as_written
from chatlab.sim.as_written.settings import AsWritten, SeedLongPolling, SeedShortPolling, SeedSSE
from chatlab.transports.machine import (
    Answered,
    Close,
    Closed,
    Connect,
    Deliver,
    Disconnect,
    Failure,
    Fetch,
    Notify,
    Opened,
    Received,
    ReceivedBytes,
    Settle,
    Submit,
    Tick,
)

REFUSED = Failure("refused", reason="nobody there")
OK = Answer(200)


class Page:
    """A machine, and its requests by purpose."""

    def __init__(self, settings: AsWritten) -> None:
        self.machine: Any = make_as_written(settings, find_dialect("chatlab"), lambda: 0.5, "den", "ada")
        self.now = 0.0
        self.fetched: list[Fetch] = []
        self.happen(Connect())

    def happen(self, event: Any, at: float | None = None) -> list[Any]:
        self.now = self.now if at is None else at
        effects = list(self.machine.handle(event, self.now))
        self.fetched += [effect for effect in effects if isinstance(effect, Fetch)]
        return effects

    def tick(self) -> list[Any]:
        return self.happen(Tick(), self.machine.deadline)

    def last(self, purpose: str) -> Fetch:
        return next(fetch for fetch in reversed(self.fetched) if fetch.purpose == purpose)

    def count(self, purpose: str) -> int:
        return sum(fetch.purpose == purpose for fetch in self.fetched)

    def answer(self, purpose: str, answer: Answer = OK) -> list[Any]:
        return self.happen(Answered(self.last(purpose).link, answer))


def page_of(*numbers: int) -> Answer:
    messages = ",".join(f'{{"type":"message","id":"1-{n}","text":"{n}"}}' for n in numbers)
    return Answer(200, f"[{messages}]".encode(), {"chat-cursor": "1-9"})


def shown(effects: list[Any]) -> list[str]:
    messages = [effect.event.message for effect in effects if isinstance(effect, Deliver)]
    return [message.text for message in messages if message is not None]


def statuses(effects: list[Any]) -> list[str]:
    return [str(effect.change.status) for effect in effects if isinstance(effect, Notify)]


def settled(effects: list[Any]) -> list[tuple[str, str]]:
    return [(effect.client_id, str(effect.state)) for effect in effects if isinstance(effect, Settle)]


def submit(page: Page, name: str) -> list[Any]:
    return page.happen(Submit(OutgoingMessage(name, client_id=name)))


@pytest.mark.parametrize("settings", [SeedSSE(), SeedLongPolling(), SeedShortPolling()])
def test_messages_are_posted_side_by_side_and_once(settings: AsWritten) -> None:
    page = Page(settings)
    assert settled(submit(page, "early")) == []
    assert settled(page.answer("csrf")) == [("early", "sent")]
    submit(page, "late")
    assert page.count("post") == 2
    assert settled(page.answer("post", Answer(201))) == [("late", "acked")]
    first = next(fetch for fetch in page.fetched if fetch.purpose == "post")
    (failed,) = page.happen(Closed(first.link, REFUSED))
    assert failed == Settle("early", DeliveryState.FAILED, "TypeError: refused: nobody there")


def test_a_stale_token_costs_one_message() -> None:
    page = Page(SeedSSE())
    page.answer("csrf")
    submit(page, "a")
    (failed,) = page.answer("post", Answer(403))
    assert failed == Settle("a", DeliveryState.FAILED, "ChatSendError: 403", 403)
    submit(page, "b")
    assert (page.count("csrf"), page.count("post")) == (2, 1)
    submit(page, "c")
    assert page.count("csrf") == 2
    assert settled(page.answer("csrf", Answer(500))) == [("b", "failed"), ("c", "failed")]
    submit(page, "d")
    assert settled(page.answer("csrf")) == [("d", "sent")]


def test_there_is_no_snippet_for_other_settings() -> None:
    with pytest.raises(SettingsError, match="no snippet for AsWritten"):
        Page(AsWritten())
    page = Page(SeedLongPolling())
    assert page.happen(Received(1, "a frame")) == []
    assert page.happen(Connect()) == []


# The event stream


def event(number: int) -> bytes:
    data = f'{{"type":"message","id":"1-{number}","text":"{number}"}}'
    return f"id: 1-{number}\nevent: message\ndata: {data}\n\n".encode()


def test_an_event_source_resumes_by_itself_and_never_says_so() -> None:
    page = Page(SeedSSE())
    stream = page.last("stream")
    assert statuses(page.happen(Opened(stream.link, "text/event-stream"))) == ["connected"]
    assert shown(page.happen(ReceivedBytes(stream.link, b"retry: 2000\n\n" + event(7)))) == ["7"]
    assert statuses(page.happen(Closed(stream.link, REFUSED), at=5.0)) == ["reconnecting"]
    assert page.machine.deadline == 7.0
    page.tick()
    again = page.last("stream")
    assert again.request.headers["Last-Event-ID"] == "1-7"
    assert statuses(page.happen(Opened(again.link, "text/event-stream"))) == []
    assert shown(page.happen(ReceivedBytes(again.link, event(8)))) == ["8"]
    assert page.machine.status is ConnectionStatus.RECONNECTING
    assert page.happen(ReceivedBytes(stream.link, event(9))) == []


def test_an_event_source_that_has_heard_nothing_cannot_resume() -> None:
    page = Page(SeedSSE())
    page.happen(Opened(page.last("stream").link, "text/event-stream"))
    page.happen(Closed(page.last("stream").link, REFUSED))
    assert page.machine.deadline == 3.0
    page.tick()
    assert "Last-Event-ID" not in page.last("stream").request.headers


@pytest.mark.parametrize("status", [204, 301, 503])
def test_any_other_status_ends_an_event_source_for_good(status: int) -> None:
    page = Page(SeedSSE())
    assert statuses(page.answer("stream", Answer(status))) == ["reconnecting"]
    assert page.machine.deadline == inf


def test_an_event_source_can_be_closed() -> None:
    page = Page(SeedSSE())
    left = page.happen(Disconnect())
    assert left[0] == Close(page.last("stream").link)
    assert statuses(left) == ["disconnected"]
    assert page.happen(Disconnect()) == []
    assert page.happen(Opened(page.last("stream").link)) == []


# Long polling


def test_a_long_poll_has_no_cursor_and_asks_again_at_once() -> None:
    page = Page(SeedLongPolling())
    first = page.last("poll")
    effects = page.answer("poll", page_of(1, 2))
    assert (statuses(effects), shown(effects)) == (["connected"], ["1", "2"])
    second = page.last("poll")
    assert second.request == first.request
    assert second.link != first.link
    assert page.happen(Answered(first.link, page_of(3))) == []
    assert statuses(page.answer("poll", page_of())) == []
    assert page.count("poll") == 3


def test_a_time_out_looks_like_an_idle_end() -> None:
    page = Page(SeedLongPolling())
    for _ in range(5):
        link = page.last("poll").link
        effects = page.tick()
        assert effects[0] == Close(link, 1006, "TimeoutError")
    assert (page.now, page.count("poll")) == (150.0, 6)


@pytest.mark.parametrize("news", [Answer(503), Answer(204), REFUSED])
def test_a_long_poll_waits_a_second_after_an_error(news: Any) -> None:
    page = Page(SeedLongPolling())
    if isinstance(news, Answer):
        page.answer("poll", news)
    else:
        page.happen(Closed(page.last("poll").link, news))
    assert (page.machine.deadline, page.count("poll")) == (1.0, 1)
    assert [type(effect) for effect in page.tick()] == [Fetch]


@pytest.mark.parametrize("settings", [SeedLongPolling(), SeedShortPolling()])
def test_polls_cannot_be_stopped(settings: AsWritten) -> None:
    page = Page(settings)
    assert page.happen(Disconnect()) == []
    assert page.machine.deadline < inf


# Short polling


def test_short_polls_overlap_repeat_and_go_back() -> None:
    page = Page(SeedShortPolling())
    assert page.count("poll") == 0
    page.tick()
    page.tick()
    first, second = (fetch for fetch in page.fetched if fetch.purpose == "poll")
    assert page.now == 6.0
    assert first.request == second.request
    assert shown(page.happen(Answered(second.link, page_of(1, 2, 3)))) == ["1", "2", "3"]
    assert shown(page.happen(Answered(first.link, page_of(1, 2)))) == ["1", "2"]
    page.tick()
    assert page.last("poll").request.query["after"] == "1-2"
    assert shown(page.answer("poll", page_of())) == []
    page.tick()
    assert page.last("poll").request.query["after"] == "1-2"


@pytest.mark.parametrize("news", [Answer(503), Answer(410), REFUSED])
def test_short_polls_take_no_notice_of_errors(news: Any) -> None:
    page = Page(SeedShortPolling())
    page.tick()
    event = (
        Answered(page.last("poll").link, news)
        if isinstance(news, Answer)
        else Closed(page.last("poll").link, news)
    )
    assert page.happen(event) == []
    assert page.machine.deadline == 6.0
    assert page.machine.status is ConnectionStatus.CONNECTING
