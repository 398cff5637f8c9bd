"""Requests on a real server and hub; only the person's end is a bare recorder of events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest

from chatlab.dialects.base import Answer, Request
from chatlab.dialects.chatlab import ChatlabHttp
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import OutgoingMessage
from chatlab.random_streams import RandomStreams
from chatlab.settings import ShortPollingConfig
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.environment import LadderEnvironment
from chatlab.sim.http_connection import SERVER_KEEP_ALIVE, Exchange, Purpose
from chatlab.sim.http_session import Session
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.network import Network
from chatlab.sim.path import Impairment, Paths
from chatlab.sim.retransmission import GIVE_UP
from chatlab.sim.server import Server
from chatlab.sim.sizes import STREAM_HEAD_SIZE, answer_size, chunk_size, request_size
from chatlab.transports.failures import CUT_SHORT, REFUSED, RESET, STREAM_ENDED
from chatlab.transports.machine import Answered, Closed, Event, Failure, Opened, ReceivedBytes
from tests.http_clients import http_client

D = 0.25  # one-way latency; a power of two, so that sums of it are exact
HTTP = ChatlabHttp()
CONFIG = ShortPollingConfig(url="http://127.0.0.1:8000", room="den", sender="ada")
POLL = HTTP.poll(CONFIG, None, None)
CSRF = HTTP.csrf
STREAM = HTTP.stream(CONFIG, None)


def held(cursor: str, hold: float = 20.0) -> Request:
    return HTTP.poll(CONFIG, cursor, hold)


def post(text: str = "hi", client_id: str = "a-1") -> Request:
    return HTTP.post(CONFIG, OutgoingMessage(text, client_id=client_id))


class World:
    """One person, one server."""

    def __init__(self, *, tls: bool = False, kept: float = 4.0, **server: Any) -> None:
        self.environment = LadderEnvironment()
        self.server = Server(self.environment, ServerConfig(**server))
        self.network = Network(self.environment, self.server, tls=tls)
        self.path = Paths(NetworkConfig(latency=D), RandomStreams(0)).make(0)
        self.session = Session(self.network, self.server, self.path, self, HTTP, kept)
        self.seen: list[tuple[float, Any]] = []
        self.latest = 0

    def handle(self, event: Event) -> None:
        self.seen.append((self.environment.now, event))

    def lose(self, event: Closed | Answered) -> None:
        self.handle(event)

    def wake(self) -> None:
        """Is never at rest."""

    def fetch(self, request: Request, purpose: Purpose = "poll") -> Exchange:
        self.latest += 1
        return self.session.fetch(self.latest, purpose, request)

    def run(self, until: float) -> list[tuple[float, Any]]:
        """Advance the time; return what has come, and forget it."""
        self.environment.run(until=until)
        seen, self.seen = self.seen, []
        return seen

    def answer(self, request: Request, purpose: Purpose = "poll") -> Answer:
        """Make a request, and wait for its answer."""
        exchange = self.fetch(request, purpose)
        seen = self.run(self.environment.now + 8 * D)
        [event] = [event for _, event in seen if event.link == exchange.number]
        assert isinstance(event, Answered)
        return event.answer

    def token(self) -> World:
        assert self.answer(CSRF, "csrf") == Answer(200)
        return self


# Connections


@pytest.mark.parametrize(("tls", "first"), [(False, 4 * D), (True, 6 * D)])
def test_a_new_connection_costs_round_trips_and_an_idle_one_none(tls: bool, first: float) -> None:
    world = World(tls=tls)
    world.fetch(POLL)
    assert [at for at, _ in world.run(2.0)] == [first]
    world.fetch(POLL)
    assert [at for at, _ in world.run(4.0)] == [2.0 + 2 * D]
    assert len(world.session.connections) == 1
    world.environment.run(until=2.5 + 4.0 - 0.01)
    assert len(world.session.connections) == 1
    world.environment.run(until=10.0)
    assert world.session.connections == []
    world.fetch(POLL)
    assert [at for at, _ in world.run(20.0)] == [10.0 + first]


def test_concurrent_requests_use_separate_connections() -> None:
    world = World()
    world.fetch(POLL)
    world.fetch(POLL)
    assert [at for at, _ in world.run(2.0)] == [4 * D, 4 * D]
    assert world.network.requests == 2
    assert len(world.session.connections) == 2


def test_a_server_that_is_down_refuses_and_one_that_dies_cuts_short() -> None:
    world = World()
    world.server.stop()
    world.fetch(POLL)
    assert world.run(2.0) == [(2 * D, Closed(1, REFUSED))]
    world.server.start()
    world.fetch(POLL)
    world.environment.run(until=2.0 + 2.5 * D)
    world.server.stop()
    assert world.run(5.0) == [(2 + 3.5 * D, Closed(2, CUT_SHORT))]
    world = World()
    world.fetch(POLL)
    world.environment.run(until=1.5 * D)
    world.server.stop()
    [(_, event)] = world.run(5.0)
    assert event in (Closed(1, RESET), Closed(1, CUT_SHORT))
    assert world.session.connections == []


def test_a_full_backlog_refuses_and_a_slow_accept_queue_delays() -> None:
    world = World(accept_rate=0.5, backlog=1, overflow="refuse")
    world.fetch(POLL)
    world.fetch(POLL)
    refused, answered = world.run(10.0)
    assert refused == (2 * D, Closed(2, REFUSED))
    assert answered[0] == D + 2.0 + D


@pytest.mark.parametrize(("rate", "failure"), [(0.5, RESET), (None, CUT_SHORT)])
def test_a_server_that_dies_resets_connections_in_its_accept_queue(
    rate: float | None, failure: Failure
) -> None:
    world = World(accept_rate=rate, overflow="refuse")
    world.fetch(POLL)
    world.environment.run(until=2.5 * D)
    world.server.stop()
    assert world.run(5.0) == [(3.5 * D, Closed(1, failure))]


def test_an_abandoned_request_takes_its_connection_along_and_may_still_arrive() -> None:
    world = World().token()
    world.fetch(post(), "post").close(1006, "no answer")
    assert world.session.connections == []
    assert world.run(4.0) == []
    assert json.loads(world.answer(POLL).body)[0]["text"] == "hi"


def test_a_silent_connection_never_answers() -> None:
    world = World()
    world.path.unreachable_until = 100.0
    world.fetch(POLL)
    assert world.run(100.0) == []
    world.fetch(POLL)
    world.run(102.0)
    world.session.connections[1].silence(102.0, ["up", "down"])
    world.fetch(POLL)
    assert world.run(110.0) == []


def test_the_server_closes_an_idle_connection_and_requests_on_it_are_lost() -> None:
    world = World()
    world.fetch(POLL)
    [(answered_at, _)] = world.run(2.0)
    [connection] = world.session.connections
    connection.silence(2.0, ["up"])
    world.fetch(POLL)
    assert world.run(20.0) == [(answered_at + SERVER_KEEP_ALIVE, Closed(2, CUT_SHORT))]
    assert not connection.server_open


def test_a_post_is_published_though_its_answer_is_lost() -> None:
    world = World().token()
    [connection] = world.session.connections
    connection.silence(world.environment.now, ["down"])
    world.fetch(post(), "post")
    assert world.run(world.environment.now + 5.0) == []
    assert json.loads(world.answer(POLL).body)[0]["text"] == "hi"


@pytest.mark.parametrize("direction", ["up", "down"])
def test_the_server_gives_up_a_silent_stream_at_last(direction: Literal["up", "down"]) -> None:
    world = World()
    world.fetch(STREAM, "stream")
    world.run(2.0)
    [connection] = world.session.connections
    connection.silence(2.0, [direction])
    world.run(2.0 + GIVE_UP - 20)
    assert connection.server_open
    world.run(2.0 + GIVE_UP + 20)
    assert not connection.server_open


# Capacity


def test_too_many_connections_are_answered_503_and_closed() -> None:
    world = World(max_connections=1)
    world.fetch(POLL)
    world.fetch(POLL)
    for _, event in world.run(2.0):
        assert isinstance(event, Answered)
        assert (event.answer.status, event.answer.headers) == (503, {"retry-after": "2"})
        break
    assert len(world.session.connections) <= 1
    assert world.answer(POLL).status == 200


def test_requests_take_service_time_one_after_the_other() -> None:
    world = World(service_time=0.5)
    for _ in range(3):
        world.fetch(POLL)
    assert [at for at, _ in world.run(9.0)] == [4 * D + 0.5, 4 * D + 1.0, 4 * D + 1.5]
    assert world.server.nodes[0].work.longest == 3


def test_work_for_a_closed_connection_is_not_done() -> None:
    world = World(service_time=0.5).token()
    world.run(3.0)
    exchange = world.fetch(post(), "post")
    world.environment.run(until=3.0 + 1.5 * D)
    world.server.stop()
    world.server.start()
    assert [event for _, event in world.run(9.0)] == [Closed(exchange.number, CUT_SHORT)]
    assert json.loads(world.answer(POLL).body) == []


def test_posting_too_fast_is_answered_with_Retry_After() -> None:
    world = World(rate=0.1, burst=2).token()
    statuses = [world.answer(post(client_id=f"a-{number}"), "post") for number in range(3)]
    assert [answer.status for answer in statuses] == [201, 201, 429]
    assert 1 <= int(statuses[-1].headers["retry-after"]) <= 10


# Polls and streams


def test_a_long_poll_is_answered_at_a_message_or_a_time_out() -> None:
    world = World().token()
    cursor = world.answer(POLL).headers["chat-cursor"]
    now = world.environment.now
    poll = world.fetch(held(cursor))
    assert world.run(now + 3.0) == []
    world.fetch(post(), "post")
    accepted, news = world.run(now + 6.0)  # Its sender is answered first.
    assert (news[0], news[1].link) == (now + 3.0 + 4 * D, poll.number)  # the POST needs a new connection
    assert json.loads(news[1].answer.body)[0]["text"] == "hi"
    assert (accepted[0], accepted[1].answer.status) == (now + 3.0 + 4 * D, 201)
    world = World()
    cursor = world.answer(POLL).headers["chat-cursor"]
    now = world.environment.now
    world.fetch(held(cursor, hold=2.0))
    [(at, event)] = world.run(now + 10)
    assert at == now + 2 * D + 2.0
    assert isinstance(event, Answered)
    assert event.answer == Answer(200, b"[]", {"chat-cursor": cursor})
    world.fetch(held(cursor, hold=99.0))
    [(at, _)] = world.run(now + 50)
    assert at == now + 10 + 4 * D + 25.0  # the server's own limit


def test_a_restart_answers_long_polls_ends_streams_and_makes_tokens_stale() -> None:
    world = World().token()
    cursor = world.answer(POLL).headers["chat-cursor"]
    poll = world.fetch(held(cursor))
    stream = world.fetch(STREAM, "stream")
    now = world.environment.now + 5
    world.run(now)
    assert stream.up_to_date
    world.server.stop(1012, "service restart")
    (first_at, first), (second_at, second) = world.run(now + 3)
    assert first_at == second_at == now + D
    assert first == Answered(poll.number, Answer(200, b"[]", {"chat-cursor": cursor}))
    assert second == Closed(stream.number, STREAM_ENDED)
    world.server.start()
    assert world.answer(post(), "post").status == 403
    assert world.token().answer(post(), "post").status == 201


def test_a_stream_arrives_event_by_event_with_keep_alive_comments() -> None:
    world = World(keep_alive=5.0, reconnection_time=2.0)
    world.fetch(STREAM, "stream")
    opened, retry, welcome = world.run(3.0)
    assert opened == (4 * D, Opened(1, "text/event-stream; charset=utf-8"))
    assert retry == (4 * D, ReceivedBytes(1, b"retry: 2000\n\n"))
    data = b'id: 1-0\nevent: welcome\ndata: {"type":"welcome","cursor":"1-0"}\n\n'
    assert welcome == (4 * D, ReceivedBytes(1, data))
    size = STREAM_HEAD_SIZE + chunk_size(b"retry: 2000\n\n") + chunk_size(data)
    assert world.network.bytes_down == size
    assert world.run(7.0) == [(3 * D + 5.0 + D, ReceivedBytes(1, b": \n\n"))]
    world.path.add_impairment(Impairment(mute=True))
    assert world.run(30.0) == []


def test_a_stream_resumes_after_the_last_event_id() -> None:
    world = World().token()
    world.answer(post(), "post")
    world.answer(post("ho", "a-2"), "post")
    world.fetch(HTTP.stream(CONFIG, "1-1"), "stream")
    _, welcome, message = [event for _, event in world.run(world.environment.now + 3)]
    assert b'"cursor":"1-1"' in welcome.data
    assert message.data.startswith(b"id: 1-2\nevent: message\ndata: {")


def test_a_proxy_buffers_a_stream_until_its_size_is_reached() -> None:
    world = World().token()
    head = STREAM_HEAD_SIZE + chunk_size(
        b'id: 1-0\nevent: welcome\ndata: {"type":"welcome","cursor":"1-0"}\n\n'
    )
    world.path.add_impairment(Impairment(buffer=head + 1))
    stream = world.fetch(STREAM, "stream")
    assert world.run(world.environment.now + 5.0) == []
    assert not stream.up_to_date
    now = world.environment.now
    world.fetch(post(), "post")
    types = [type(event) for at, event in world.run(now + 3) if at == now + 4 * D]
    assert types == [Opened, ReceivedBytes, ReceivedBytes, Answered]
    assert stream.up_to_date


def test_a_removed_proxy_flushes_its_buffer() -> None:
    world = World()
    impairment = Impairment(buffer=1e9)
    world.path.add_impairment(impairment)
    stream = world.fetch(STREAM, "stream")
    assert world.run(5.0) == []
    world.path.remove_impairment(impairment)
    for connection in world.session.connections:
        connection.adapt()
    assert [(at, type(event)) for at, event in world.run(9.0)] == [
        (5 + D, Opened),
        (5 + D, ReceivedBytes),
    ]
    assert stream.up_to_date


@pytest.mark.parametrize(("keep_alive", "cut"), [(2.0, False), (4.0, True)])
def test_a_proxy_resets_idle_connections_only(keep_alive: float, cut: bool) -> None:
    world = World(keep_alive=keep_alive)
    world.path.add_impairment(Impairment(idle_timeout=3.0))
    world.fetch(STREAM, "stream")
    last = world.run(20.0)[-1]
    assert (last == (4 * D + 3.0 + D, Closed(1, RESET))) == cut
    assert isinstance(last[1], Closed) == cut


def test_bytes_leave_a_narrow_line_one_after_the_other() -> None:
    world = World()
    world.path.add_impairment(Impairment(bandwidth=1000.0))
    world.fetch(POLL)
    [(at, event)] = world.run(10.0)
    size = request_size(POLL) + answer_size(event.answer)
    assert at == pytest.approx(4 * D + size / 1000)


# The same as the real thing


class Wire:
    """Counts the bytes between a real client and the real server."""

    def __init__(self) -> None:
        self.up = self.down = 0
        self.port = 0


@asynccontextmanager
async def counted(server: EmbeddedServer) -> AsyncIterator[Wire]:
    """Pass everything on, for one client that keeps its connection."""
    wire, finished = Wire(), asyncio.Event()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        while data := await reader.read(65536):
            setattr(wire, name, getattr(wire, name) + len(data))
            writer.write(data)
        writer.close()
        await writer.wait_closed()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(pass_on(reader, inner_writer, "up"), pass_on(inner_reader, writer, "down"))
        finished.set()

    proxy = await asyncio.start_server(connect, "127.0.0.1", 0)
    wire.port = proxy.sockets[0].getsockname()[1]
    async with proxy:
        yield wire
        await finished.wait()


def requests(token: str) -> list[Request]:
    """Requests of clients, right and wrong; `*` stands for the epoch of each server's ids."""
    with_token = {"x-csrf-token": token}
    posts = [
        Request(request.method, request.path, request.query, request.headers | with_token, request.body)
        for request in (post(), post(), post("ho", "a-2"))
    ]
    query = {"room": "den", "limit": "200"}
    return [
        post(),
        *posts,
        Request("POST", "/messages", posts[0].query, posts[0].headers, '{"type":"message","client_id":"q"}'),
        Request("POST", "/messages", posts[0].query, posts[0].headers, TOO_LONG),
        Request("POST", "/messages", {"room": "den", "sender": " "}, posts[0].headers, posts[0].body),
        Request("POST", "/typing", posts[0].query, posts[0].headers, "{}"),
        Request("GET", "/messages", query),
        Request("GET", "/messages", query | {"history": "1"}),
        Request("GET", "/messages", query | {"limit": "1"}),
        Request("GET", "/messages", query | {"after": "*-1"}),
        Request("GET", "/messages", query | {"after": "other-1"}),
        Request("GET", "/messages", query | {"room": " "}),
        Request("GET", "/messages/poll", query | {"hold": "0"}),
        Request("GET", "/messages/poll", query | {"after": "*-2", "hold": "0.05"}),
        Request("GET", "/messages/poll", query | {"after": "*-1", "hold": "5"}),
        Request("GET", "/stream", {"room": "den", "sender": " "}, {"Accept": "text/event-stream"}),
        Request("GET", "/nowhere"),
    ]


TOO_LONG = json.dumps({"type": "message", "client_id": "a-3", "text": "x" * 70_000})


def in_epoch(request: Request, epoch: str) -> Request:
    query = {name: value.replace("*", epoch) for name, value in request.query.items()}
    return Request(request.method, request.path, query, request.headers, request.body)


def gist(answer: Answer, epoch: str) -> tuple[int, dict[str, str], Any]:
    """An answer without what differs from server to server: the epoch, and the times."""
    body = json.loads(answer.body) if answer.body else None
    if isinstance(body, list):
        body = [message | {"posted_at": ""} for message in body]
    if answer.status == 404:
        body = ["error"]
    text = json.dumps(body).replace(f"{epoch}-", "*-")
    headers = {name: value.replace(f"{epoch}-", "*-") for name, value in answer.headers.items()}
    return answer.status, headers, text


async def test_the_models_server_answers_as_the_embedded_one() -> None:
    """And requests and answers have exactly the bytes that httpx and uvicorn send."""
    world = World().token()
    model_token = world.session._csrf_token
    async with (
        EmbeddedServer() as server,
        counted(server) as wire,
        http_client(headers={"Accept-Encoding": "gzip"}) as client,
    ):
        url = f"http://127.0.0.1:{wire.port}"
        token = (await client.get(f"{url}/csrf")).json()["token"]
        assert len(token) == len(model_token)
        epoch = (await client.get(f"{url}/healthz")).json()["epoch"]
        for real, modelled in zip(requests(token), requests(model_token), strict=True):
            request = in_epoch(real, epoch)
            up, down = wire.up, wire.down
            response = await client.request(
                request.method,
                url + request.path,
                params=request.query,
                headers=request.headers,
                content=request.body if request.method == "POST" else None,
            )
            names = ("chat-cursor", "chat-more", "retry-after")
            kept = {name: response.headers[name] for name in names if name in response.headers}
            answer = Answer(response.status_code, response.content, kept)
            assert wire.up - up == request_size(request) + len(f"{wire.port}") - len("8000"), request
            assert wire.down - down == answer_size(answer), request
            other = world.answer(in_epoch(modelled, "1"))
            assert gist(answer, epoch) == gist(other, "1"), request


@pytest.mark.parametrize(
    ("end", "failure"),
    [
        (lambda world: world.server.stop(), CUT_SHORT),
        (lambda world: world.server.stop(1012, "service restart"), STREAM_ENDED),
        (lambda world: world.session.connections[0].reset(), RESET),
    ],
)
def test_the_end_of_a_stream_has_its_own_failure(end: Callable[[World], None], failure: Failure) -> None:
    world = World()
    world.fetch(STREAM, "stream")
    world.run(3.0)
    end(world)
    assert world.run(9.0) == [(3 + D, Closed(1, failure))]
