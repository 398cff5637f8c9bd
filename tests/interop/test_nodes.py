"""Three nodes behind nginx and HAProxy, as docs/deploying.md configures them, through a rolling restart.

The people are real clients. In the first test the nodes are processes, and no message may be lost. In the
others they are servers in this process, and as many people are disconnected as in the model.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from math import sqrt
from pathlib import Path
from statistics import mean, variance
from typing import Any

import pytest

from chatlab import Scenario, run
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import ConnectionStatus, DeliveryState
from chatlab.settings import ReconnectConfig
from tests.docs.blocks import ROOT, blocks
from tests.http_clients import http_client
from tests.interop.haproxy import haproxy
from tests.interop.nginx import Nginx
from tests.live.watch import Watch, talking, until
from tests.processes import address_of, free_port, serve

pytestmark = [
    pytest.mark.proof,
    pytest.mark.requires("nginx", "haproxy"),
    pytest.mark.xdist_group("nodes"),
]

RECONNECTING = ConnectionStatus.RECONNECTING
PEOPLE = 60
NODES = 3
RUNS, TRIES = 20, 3
DRAIN = 0.3
CHECKED = 1.2
"""Seconds after which HAProxy knows that a node is up."""
AT_ONCE = ReconnectConfig(max_attempts=None, base_delay=0.01, max_delay=0.05, jitter="full")


def configured(language: str, ports: Sequence[int], **changes: str) -> str:
    """Return the configuration of nodes in docs/deploying.md, with other ports."""
    page = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    [text] = [block.text for block in blocks(page) if block.language == language and ":8003" in block.text]
    replaced = {"listen 80;": "listen 127.0.0.1:PORT;", "bind :80": "bind 127.0.0.1:PORT", **changes}
    for there, here in replaced.items():
        assert there in text or there in ("listen 80;", "bind :80"), f"docs/deploying.md has no {there!r}"
        text = text.replace(there, here)
    for number, port in enumerate(ports, 1):
        assert f"127.0.0.1:800{number}" in text
        text = text.replace(f"127.0.0.1:800{number}", f"127.0.0.1:{port}")
    return text


@contextmanager
def behind(proxy: str, ports: Sequence[int], **changes: str) -> Iterator[str]:
    """Run a proxy in front of the nodes; yield its root URL."""
    text = configured(proxy, ports, **changes)
    if proxy == "haproxy":
        with haproxy(text) as url:
            yield url
    else:
        with Nginx(text, connections=1024) as nginx:
            yield nginx.url


def people(stack: ExitStack, url: str, kinds: Sequence[str], **settings: Any) -> list[tuple[Any, Watch]]:
    """Return people who take turns in the kinds of their transports."""
    return [
        stack.enter_context(
            talking(kinds[number % len(kinds)], url, f"p{number}", reconnect=AT_ONCE, **settings)
        )
        for number in range(PEOPLE)
    ]


# Nothing is lost


@pytest.mark.parametrize("proxy", ["nginx", "haproxy"])
async def test_a_rolling_restart_loses_doubles_and_swaps_no_message(proxy: str, tmp_path: Path) -> None:
    """At each node somebody posts, and people behind the proxy read, by every transport."""
    ports = [free_port() for _ in range(NODES)]

    def begin(number: int) -> Any:
        return serve(
            "--port", str(ports[number]), "--db", str(tmp_path / "chat.db"), "--node", f"n{number + 1}",
            "--drain", "1", "--trust-proxy", "127.0.0.1",
        )  # fmt: skip

    nodes = [begin(number) for number in range(NODES)]
    try:
        for node in nodes:
            await asyncio.to_thread(address_of, node)
        with ExitStack() as stack:
            url = stack.enter_context(behind(proxy, ports))
            readers = people(stack, url, ["websocket", "sse", "long_polling"], hold=5.0)
            posters = [
                stack.enter_context(
                    talking("websocket", f"http://127.0.0.1:{port}", f"n{port}", reconnect=AT_ONCE)
                )[0]
                for port in ports
            ]
            transports = [transport for transport, _ in readers] + posters
            await asyncio.gather(*(transport.connect() for transport in transports))
            restarted = asyncio.Event()
            receipts = []

            async def post() -> None:
                number = 0
                while not restarted.is_set() or number % NODES:
                    receipts.append(await posters[number % NODES].send(f"m{number}"))
                    number += 1
                    await asyncio.sleep(0.1)  # so that no outbox overflows while a node starts

            posting = asyncio.ensure_future(post())
            for number in range(NODES):
                nodes[number].send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(nodes[number].wait, 60) == 0
                nodes[number].stdout.close()
                nodes[number] = begin(number)
                await asyncio.to_thread(address_of, nodes[number])
                await asyncio.sleep(CHECKED)
            restarted.set()
            await posting
            for receipt in receipts:
                assert await receipt.settled() is DeliveryState.ACKED
            texts = await history(f"http://127.0.0.1:{ports[0]}")
            assert sorted(texts) == sorted(f"m{number}" for number in range(len(receipts)))
            for number in range(NODES):  # Each poster's own order is kept.
                own = [int(text[1:]) for text in texts if int(text[1:]) % NODES == number]
                assert own == sorted(own)
            for _, watch in readers:
                await until(lambda watch=watch: len(watch.texts) >= len(texts))  # type: ignore[misc]
            for _, watch in readers:
                assert watch.texts == texts
            reconnections = sum(watch.statuses.count(RECONNECTING) for _, watch in readers)
            print(f"\n{proxy}: {len(texts)} messages to {PEOPLE} people, {reconnections} reconnections")
            assert reconnections >= PEOPLE
            for transport in transports:
                transport.stop()
    finally:
        for node in nodes:
            node.kill()
            node.wait()
            assert node.stdout
            node.stdout.close()


async def history(url: str) -> list[str]:
    """Return the texts of the whole room, as a server has them."""
    texts: list[str] = []
    async with http_client(url) as client:
        query = {"room": "lobby", "history": "100000"}
        while True:
            page = await client.get("/messages", params=query)
            texts += [message["text"] for message in page.json()]
            if "chat-more" not in page.headers:
                return texts
            query = {"room": "lobby", "after": page.headers["chat-cursor"]}


# As many disconnections as in the model


@asynccontextmanager
async def three_nodes(folder: Path) -> AsyncIterator[list[EmbeddedServer]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                EmbeddedServer(
                    folder / "chat.db", port=free_port(), node=f"n{number}", trusted_proxies=["127.0.0.1"]
                )
            )
            for number in range(1, NODES + 1)
        ]


def members(nodes: Sequence[EmbeddedServer]) -> list[int]:
    return [node._runtime.driver.people if node._runtime else 0 for node in nodes]


async def rolling_restart(url: str, nodes: Sequence[EmbeddedServer], pause: float) -> list[int]:
    """Connect everybody, restart all nodes, and return how many people each of them disconnected."""
    with ExitStack() as stack:
        crowd = people(stack, url, ["websocket"])
        for transport, _ in crowd:  # one after the other, as they are counted
            await transport.connect()
        disconnected = []
        for node in nodes:
            disconnected.append(members([node])[0])
            await node.stop(drain=DRAIN)
            await until(lambda: sum(members(nodes)) == PEOPLE)
            await node.start()
            await asyncio.sleep(pause)
        for transport, _ in crowd:
            await transport.disconnect()
        await until(lambda: sum(members(nodes)) == 0)
    return disconnected


def modelled(balance: str, seed: int = 0) -> list[int]:
    """Return how many people each node disconnects in the model."""
    scenario = Scenario.from_toml(f"""
        seed = {seed}
        people = {{ count = {PEOPLE}, arrive_over = 5.0, send_rate = 0.0 }}
        server = {{ nodes = {NODES}, balance = "{balance}" }}
        transport = {{ kind = "websocket", reconnect = {{ base_delay = 0.1, max_delay = 0.5 }} }}
        faults = [{{ kind = "rolling_restart", at = 10.0, drain = 5.0, down = 1.0, pause = 5.0 }}]
    """)
    return [int(count) for count in run(scenario).nodes["disconnected"]]


BALANCES = {
    ("nginx", "round_robin"): {},
    ("nginx", "least_connections"): {"upstream chatlab {": "upstream chatlab { least_conn;"},
    ("haproxy", "round_robin"): {},
    ("haproxy", "least_connections"): {"balance roundrobin": "balance leastconn"},
}


@pytest.mark.parametrize(("proxy", "balance"), list(BALANCES))
async def test_a_rolling_restart_disconnects_exactly_as_many_as_in_the_model(
    proxy: str, balance: str, tmp_path: Path
) -> None:
    """On a busy machine an attempt may time out, and the next one shifts the order: so it may try again."""
    model = modelled(balance)
    async with three_nodes(tmp_path) as nodes:
        with behind(proxy, [node.port for node in nodes], **BALANCES[proxy, balance]) as url:
            for _ in range(TRIES):
                live = await rolling_restart(url, nodes, CHECKED if proxy == "haproxy" else 0.0)
                print(f"\n{proxy}, {balance}: live {live}, model {model}")
                if live == model:
                    return
    pytest.fail(f"{TRIES} times the counts of {proxy} were not those of the model")


RANDOM: dict[str, tuple[dict[str, str], float]] = {
    "nginx": ({"upstream chatlab {": "upstream chatlab { random;"}, 0.0),
    "haproxy": (
        {"balance roundrobin": "balance random(1)", "check inter 250ms": "weight 256 check inter 50ms"},
        0.5,
    ),
}
"""Changes for a random node, and seconds until a node is known to be up.

HAProxy draws a place on a ring: a weight of 256 gives each node thousands of places, and so an equal share.
"""


@pytest.mark.parametrize("proxy", list(RANDOM))
async def test_random_balance_disconnects_as_many_as_in_the_model_on_average(
    proxy: str, tmp_path: Path
) -> None:
    """Neither has a seed, and even a right mean is beyond two standard errors once in 20 times, so that it
    may try again."""
    change, pause = RANDOM[proxy]
    model = [sum(modelled("random", seed)) for seed in range(RUNS)]
    async with three_nodes(tmp_path) as nodes:
        with behind(proxy, [node.port for node in nodes], **change) as url:
            for _ in range(TRIES):
                live = [sum(await rolling_restart(url, nodes, pause)) for _ in range(RUNS)]
                error = sqrt((variance(live) + variance(model)) / RUNS)
                means = mean(live), mean(model)
                print(
                    f"\n{proxy}, random: live {means[0] / PEOPLE:.3f}, model {means[1] / PEOPLE:.3f}", end=""
                )
                print(f", two standard errors {2 * error / PEOPLE:.3f}")
                if abs(means[0] - means[1]) <= 2 * error:
                    return
    pytest.fail(f"{TRIES} times the mean was beyond two standard errors of the model's")
