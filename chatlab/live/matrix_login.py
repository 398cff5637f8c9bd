"""Logging in to a Matrix homeserver with a password: what to give the settings as `headers`."""

from __future__ import annotations

import secrets
from typing import Any

import httpx

from chatlab.dialects.matrix import login, token_of
from chatlab.live.request import is_loopback, with_query
from chatlab.live.session import unlogged


class MatrixLogin:
    """A function for the settings' `headers` that logs in when it is first called, and again when the token
    is refused.

        LongPollingConfig(url=url, dialect="matrix", room="!…", headers=MatrixLogin(url, "ada", password))

    It stays one device, so that what is sent again is known to the server. Errors: `PermissionError` where
    the server refuses the password.
    """

    def __init__(self, url: str, user: str, password: str, *, device: str = "") -> None:
        self._url = url
        self._request = login(user, password, device or f"chatlab-{secrets.token_hex(4)}")
        self._headers: dict[str, str] = {}

    async def __call__(self, failure: Any = None) -> dict[str, str]:
        if failure is not None or not self._headers:
            self._headers = {"Authorization": f"Bearer {await self._log_in()}"}
        return self._headers

    async def _log_in(self) -> str:
        request = self._request
        async with httpx.AsyncClient(trust_env=not is_loopback(self._url)) as client:
            with unlogged():
                answer = await client.post(
                    with_query(self._url, {}, request.path), content=request.body, headers=request.headers
                )
        token = token_of(answer.content) if answer.status_code == 200 else None
        if token is None:
            raise PermissionError(f"the server refuses to log in (HTTP {answer.status_code})")
        return token

    def __repr__(self) -> str:
        return "MatrixLogin(hidden)"
