"""A forward proxy on loopback: CONNECT, forwarded requests and SOCKS5. Every name leads to loopback."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from base64 import b64encode
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


class ForwardProxy:
    """A proxy for HTTP, or for SOCKS5 with `socks`. It requires `login` (user, password) if given, and
    refuses each request with the status (HTTP) or the reply (SOCKS5) `refuses` unless that is 0.

    `asked` lists the requested targets; `head` is the latest request's head.
    """

    def __init__(
        self,
        *,
        socks: bool = False,
        login: tuple[str, str] | None = None,
        refuses: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.asked: list[str] = []
        self.head = ""
        self._serve = self._socks if socks else self._http
        self._scheme = "socks5" if socks else "http" if tls is None else "https"
        self._login, self._refuses, self._tls = login, refuses, tls

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"{self._scheme}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _http(self, reader: Reader, writer: Writer) -> None:
        self.head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = self.head.split("\r\n")[0].split(" ")
        self.asked.append(f"{method} {target.partition('?')[0]}")
        status = self._refuses
        if self._login is not None:
            right = b64encode(":".join(self._login).encode()).decode()
            status = status or (0 if f"Proxy-Authorization: Basic {right}\r\n" in self.head else 407)
        if status:
            answer = (
                f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nRetry-After: 0\r\nConnection: close\r\n\r\n"
            )
            writer.write(answer.encode())
            await writer.drain()
        elif method == "CONNECT":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Yes\r\n\r\n")
            await splice(reader, writer, int(target.rpartition(":")[2]))
        else:
            parts = urlsplit(target)
            path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
            head = self.head.replace(target, path, 1).replace("\r\n", "\r\nConnection: close\r\n", 1)
            await splice(reader, writer, parts.port or 80, head.encode())

    async def _socks(self, reader: Reader, writer: Writer) -> None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        if self._login is None:
            writer.write(b"\5\0")
        elif 2 not in methods:
            writer.write(b"\5\xff")
            return
        else:
            writer.write(b"\5\2")
            await reader.readexactly(1)
            user, password = [
                (await reader.readexactly((await reader.readexactly(1))[0])).decode() for _ in range(2)
            ]
            writer.write(b"\1\0" if (user, password) == self._login else b"\1\1")
        _, _, _, kind = await reader.readexactly(4)
        length = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        host = await reader.readexactly(length)
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append(f"{host.decode() if kind == 3 else list(host)}:{port}")
        writer.write(bytes([5, self._refuses, 0, 3, 1]) + b"x\0\0")
        if not self._refuses:
            await splice(reader, writer, port)


async def splice(reader: Reader, writer: Writer, port: int, first: bytes = b"") -> None:
    """Connect both directions with a port of this machine, until both have ended."""
    there, back = await asyncio.open_connection("127.0.0.1", port)
    back.write(first)
    try:
        await asyncio.gather(_pump(reader, back), _pump(there, writer))
    finally:
        back.transport.abort()


async def _pump(reader: Reader, writer: Writer) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof() if writer.can_write_eof() else writer.close()
