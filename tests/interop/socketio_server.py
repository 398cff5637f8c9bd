"""The chat of `socketio_server.mjs` by python-socketio. Arguments: port (0: any) and file."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import socketio
import uvicorn

PORT, FILE = int(sys.argv[1]), Path(sys.argv[2])
FILE.touch()
said: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text().splitlines()]
known = {message["client_id"] for message in said}
sio = socketio.AsyncServer(async_mode="asgi", ping_interval=1, ping_timeout=1)


def store(message: dict[str, Any]) -> None:
    """Add a message to the file."""
    with FILE.open("a") as file:
        file.write(json.dumps(message) + "\n")


async def connect(sid: str, environ: dict[str, Any], auth: dict[str, Any] | None) -> None:
    if (auth or {}).get("token") == "wrong":
        raise socketio.exceptions.ConnectionRefusedError("not authorized", {"status": 403})
    await sio.save_session(sid, {"offset": (auth or {}).get("serverOffset", 0)})


async def join(sid: str, room: str) -> None:
    offset = (await sio.get_session(sid))["offset"]
    while offset < len(said):
        await sio.emit("chat message", said[offset], to=sid)
        offset += 1
    await sio.enter_room(sid, room)


async def chat(sid: str, message: dict[str, Any]) -> dict[str, bool]:
    if message["client_id"] not in known:
        stored = message | {"id": len(said) + 1}
        known.add(message["client_id"])
        said.append(stored)
        store(stored)
        await sio.emit("chat message", stored, room="lobby")
    return {"ok": True}


sio.on("connect", connect)
sio.on("join", join)
sio.on("chat message", chat)


class Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"{self.servers[0].sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()


def end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_stdin, daemon=True).start()
asyncio.run(Server(uvicorn.Config(socketio.ASGIApp(sio), port=PORT, log_level="warning")).serve())
