"""DNS look-ups on threads of their own.

The system's resolver can't be cancelled and may take half a minute. On the loop's few default threads, one
slow name would delay every other look-up, and the end of the program.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from ipaddress import ip_address
from typing import Any

from chatlab.live.workers import workers

MAX_LOOKUPS = 64
"""Maximum number of concurrent look-ups."""
MAX_PER_NAME = 2
"""Maximum number of concurrent look-ups of one name. The network may have changed since the first."""
SHARED_FOR = 5.0
"""Seconds for which a look-up under way is shared by later callers; after that, another one starts."""

_Key = tuple[str, int]
_Found = Future[list[tuple[Any, ...]] | OSError]
_lock = threading.Lock()
_under_way: dict[_Key, list[tuple[float, _Found]]] = {}


async def addresses_of(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, the preferred first, alternating between address families.

    A cancelled call leaves its look-up running in the background. Source: RFC 8305 §4.

    Errors: `socket.gaierror`.
    """
    try:
        ip_address(host)
    except ValueError:
        pass
    else:
        return [host]
    loop = asyncio.get_running_loop()
    if getattr(loop, "resolves_names", False):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    else:
        answer = await asyncio.shield(asyncio.wrap_future(_look_up(host, port, loop.time())))
        if isinstance(answer, OSError):
            raise answer
        found = answer
    return _interleaved(found)


def _look_up(host: str, port: int, now: float) -> _Found:
    key = host, port
    with _lock:
        mine = _under_way.get(key, [])
        # Each loop has its own clock: a time in the future is another loop's.
        if mine and (len(mine) >= MAX_PER_NAME or 0 <= now - mine[-1][0] < SHARED_FOR):
            return mine[-1][1]
        if sum(map(len, _under_way.values())) >= MAX_LOOKUPS:
            raise socket.gaierror(socket.EAI_AGAIN, "too many look-ups without an answer")
        future = workers.call(lambda: _ask(host, port))
        _under_way.setdefault(key, []).append((now, future))
    future.add_done_callback(lambda done: _forget(key, done))
    return future


def _ask(host: str, port: int) -> list[tuple[Any, ...]] | OSError:
    """Look a name up; return the error instead of raising it, since the caller may have been cancelled."""
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except UnicodeError:  # a label is empty or too long
        return socket.gaierror(socket.EAI_NONAME, "not a valid host name")
    except OSError as error:
        return error


def _forget(key: _Key, done: _Found) -> None:
    with _lock:
        left = [entry for entry in _under_way.get(key, []) if entry[1] is not done]
        if left:
            _under_way[key] = left
        else:
            _under_way.pop(key, None)


def _interleaved(found: Sequence[tuple[Any, ...]]) -> list[str]:
    families: dict[int, list[str]] = {}
    for family, _, _, _, address in found:
        name = str(address[0])
        if family == socket.AF_INET6 and "%" not in name and address[3]:
            name = f"{name}%{address[3]}"
        own = families.setdefault(family, [])
        if name not in own:
            own.append(name)
    by_turns: list[str] = []
    while any(families.values()):
        by_turns += [own.pop(0) for own in families.values() if own]
    return by_turns
