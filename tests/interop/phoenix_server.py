"""A small server of Phoenix channels, version 2 of the serializer, with a room's history.

Phoenix itself isn't in the registries that the tests use. Its own JavaScript client checks this server.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

TOKEN = "sesame"


class PhoenixServer:
    """Rooms `room:NAME`. A token is needed, and the room `closed` can't be joined.

    The text `forbidden` is refused, and `crash` ends the channel. Texts of the room `bare` are broadcast
    without a reply or a client id.
    """

    def __init__(self) -> None:
        self._port = 0
        self._said: dict[str, list[dict[str, Any]]] = {}
        self._members: dict[str, set[ServerConnection]] = {}
        self._server: Server | None = None
        self.beats = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/socket"

    async def start(self) -> None:
        self._server = await serve(self._serve, "127.0.0.1", self._port, process_request=self._check)
        self._port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        query = parse_qs(parts.query)
        if parts.path != "/socket/websocket" or query.get("vsn") != ["2.0.0"]:
            return connection.respond(HTTPStatus.NOT_FOUND, "")
        if query.get("token") != [TOKEN]:
            return connection.respond(HTTPStatus.FORBIDDEN, "")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        try:
            async for frame in connection:
                await self._take(connection, *json.loads(frame))
        finally:
            for members in self._members.values():
                members.discard(connection)

    async def _take(
        self, connection: ServerConnection, join: str | None, ref: str, topic: str, event: str, payload: Any
    ) -> None:
        async def reply(status: str, **response: Any) -> None:
            answer = {"status": status, "response": response}
            await connection.send(json.dumps([join, ref, topic, "phx_reply", answer]))

        if topic == "phoenix":
            self.beats += 1
            await reply("ok")
        elif event == "phx_join" and topic == "room:closed":
            await reply("error", reason="unauthorized")
        elif event == "phx_join":
            await reply("ok")
            after = int(payload.get("after") or len(self._said.get(topic, [])))
            for message in self._said.get(topic, [])[after:]:
                await connection.send(json.dumps([None, None, topic, "new_msg", message]))
            self._members.setdefault(topic, set()).add(connection)
        elif payload.get("body") == "forbidden":
            await reply("error", reason="not that word")
        elif payload.get("body") == "crash":
            await connection.send(json.dumps([join, join, topic, "phx_error", {}]))
        else:
            await self._say(topic, payload)
            if topic != "room:bare":
                await reply("ok")

    async def _say(self, topic: str, payload: dict[str, Any]) -> None:
        said = self._said.setdefault(topic, [])
        message = payload | {"id": str(len(said) + 1)}
        if topic == "room:bare":
            message = {"body": payload["body"]}
        said.append(message)
        for member in self._members[topic]:
            await member.send(json.dumps([None, None, topic, "new_msg", message]))
