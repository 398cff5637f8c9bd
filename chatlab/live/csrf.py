"""Tokens that show that a POST comes from who could read this server's answers, and not from a foreign page.

A token is a random number and its signature under a secret that only this life of the server knows, so none
has to be remembered, and those of the life before are stale.
"""

from __future__ import annotations

import secrets
from hmac import compare_digest, digest


class CsrfTokens:
    """Makes and checks the tokens of one life of a server."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def new(self) -> str:
        """Return a token."""
        return self._signed(secrets.token_hex(16))

    def accepts(self, token: str) -> bool:
        """Return whether a token is one of these."""
        expected = self._signed(token.partition(".")[0])
        return compare_digest(token.encode(), expected.encode())

    def _signed(self, number: str) -> str:
        return f"{number}.{digest(self._secret, number.encode(), 'sha256').hex()}"
