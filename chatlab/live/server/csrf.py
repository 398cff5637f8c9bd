"""CSRF tokens. They show that a POST comes from a client that can read this server's answers, not from
another site's page.

A token is a random number, signed with a secret of this run of the server. Therefore the server stores no
tokens, and tokens of an earlier run are stale. Nodes share one secret, so that any of them accepts a token of
another one.
"""

from __future__ import annotations

import secrets
from hmac import compare_digest, digest


class CsrfTokens:
    """The factory of the tokens of one run of a server, or of all its nodes, and their check."""

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secret or secrets.token_bytes(32)

    def new(self) -> str:
        """Return a new token."""
        return self._signed(secrets.token_hex(16))

    def accepts(self, token: str) -> bool:
        """Return whether this object has made the token."""
        expected = self._signed(token.partition(".")[0])
        return compare_digest(token.encode(), expected.encode())

    def _signed(self, number: str) -> str:
        return f"{number}.{digest(self._secret, number.encode(), 'sha256').hex()}"
