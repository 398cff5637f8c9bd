"""Login to a Matrix homeserver with a password, as the settings' `headers`."""

from __future__ import annotations

import asyncio
import secrets
import zlib
from typing import Any

import httpx

from chatlab.dialects.base import Answer
from chatlab.dialects.matrix import login, refusal_of, retry_after_of, token_of
from chatlab.errors import LoginRefused, TryAgain
from chatlab.live.ascii_urls import with_query
from chatlab.live.client.body import beginning, whole
from chatlab.live.client.http_client import ClientTransport
from chatlab.live.client.http_session import unlogged
from chatlab.live.client.network_failures import BrokenAnswer, moment, printable, retry_after
from chatlab.live.client.tls import tls_context
from chatlab.live.redaction import Redaction
from chatlab.settings.urls import MIN_SECRET
from chatlab.transports.failures import FAILURES

MAX_ANSWER = 64 * 1024
"""Bytes of the largest answer to a login: a token, and the server's description of itself."""
TIMEOUT = 10.0
"""Seconds that a login may take."""
_CHECK = {
    "M_USER_DEACTIVATED": "whether the account is still there",
    "M_INVALID_USERNAME": "the user",
    "M_UNKNOWN": "whether the homeserver lets users log in by password",
}
"""Advice by error code, if that says more than the status."""


class MatrixLogin:
    """A function for the settings' `headers`: it logs in at its first call, and again when the token is
    refused.

        LongPollingConfig(url=url, dialect="matrix", room="!…", headers=MatrixLogin(url, "ada", password))

    It keeps the same device, so that the server recognises messages that are sent again. `ca_file` and
    `proxy` are as in the settings.

    Errors: `LoginRefused` if the server refuses the password; this is final. `TryAgain` if it can't answer
    now, or something else answers in its place, such as a captive portal. `OSError` and httpx's if it can't
    be reached.
    """

    def __init__(
        self,
        url: str,
        user: str,
        password: str,
        *,
        device: str = "",
        ca_file: str | None = None,
        proxy: str | None = None,
    ) -> None:
        self._url = url
        self._ca_file = ca_file
        self._proxy = proxy
        self._redaction = Redaction(())
        self._redaction.learn({"password": password})
        self._password = password
        self._request = login(user, password, device or f"chatlab-{secrets.token_hex(4)}")
        self._headers: dict[str, str] = {}

    async def __call__(self, failure: Any = None) -> dict[str, str]:
        if failure is not None or not self._headers:
            self._headers = {}  # The old token must not be used again, even if there is no new one now.
            self._headers = {"Authorization": f"Bearer {await self._log_in()}"}
        return self._headers

    async def _log_in(self) -> str:
        request = self._request
        transport = ClientTransport(tls_context(self._ca_file), self._proxy)
        async with httpx.AsyncClient(transport=transport, timeout=None) as client, asyncio.timeout(TIMEOUT):
            with unlogged():
                async with client.stream(
                    request.method,
                    with_query(self._url, {}, request.path),
                    content=request.body,
                    headers={**request.headers, "Accept-Encoding": "gzip"},
                ) as response:
                    return await self._read(response)

    async def _read(self, response: httpx.Response) -> str:
        status = response.status_code
        if status != 200:
            answer = Answer(status, await beginning(response, MAX_ANSWER, TIMEOUT / 2))
            if FAILURES.get(f"http {status}") == "retry" or status < 400:
                wait = retry_after(response.headers.get("retry-after"), moment(response.headers.get("date")))
                raise TryAgain(f"the login was answered with HTTP {status}", wait or retry_after_of(answer))
            raise LoginRefused(self._refusal(answer))
        try:
            token = token_of(await whole(response, MAX_ANSWER))
        except (BrokenAnswer, zlib.error):
            token = None
        if token is None:
            kind = printable(response.headers.get("content-type", "no content type"), 60)
            raise TryAgain(f"the login was answered without a token (HTTP 200, {kind})")
        return token

    def _refusal(self, answer: Answer) -> str:
        code, words = refusal_of(answer)
        if len(self._password) < MIN_SECRET:
            words = ""  # They may quote the password, which is too short to be redacted.
        said = printable(self._redaction.text(": ".join(part for part in (code, words) if part)))
        what = _CHECK.get(code) or ("the user and the password" if answer.status in (401, 403) else "the URL")
        said = f", {said}" if said else ""
        return f"the login was refused (HTTP {answer.status}{said}): check {what}, then connect again"

    def __repr__(self) -> str:
        return "MatrixLogin(hidden)"
