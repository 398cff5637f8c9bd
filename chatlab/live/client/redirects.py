"""Rules for redirects, which requests and WebSockets share."""

from __future__ import annotations

from chatlab.live.client.network_failures import BrokenAnswer, printable

MAX_REDIRECTS = 5


def too_many_redirects() -> BrokenAnswer:
    """Return the failure of a chain of more than `MAX_REDIRECTS`."""
    return BrokenAnswer("answer", f"more than {MAX_REDIRECTS} redirects")


def check_tls(host: str, *, before: bool, after: bool) -> None:
    """Check that a redirect to a host keeps TLS, if the address had it before.

    Errors: `BrokenAnswer` if it doesn't.
    """
    if before and not after:
        where = printable(host)
        raise BrokenAnswer("answer", f"the server redirects to an address without TLS, at {where}")
