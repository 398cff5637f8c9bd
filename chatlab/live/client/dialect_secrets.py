"""Calls of the functions of a dialect that get secrets: `credentials`, and `sign` of its result.

Their exceptions, and results of a wrong type, are mistakes in the dialect's code, so they are final. The text
of such an exception may hold a secret: only its type is reported, and where it was raised.
"""

from __future__ import annotations

from collections.abc import Callable

from chatlab.dialects.base import Credentials
from chatlab.dialects.checked import CheckedDialect
from chatlab.live.client.headers_failures import where_raised
from chatlab.live.client.network_failures import BrokenAnswer


def credentials_of(
    credentials: Callable[[dict[str, str]], Credentials], headers: dict[str, str]
) -> Credentials:
    """Return the credentials that the dialect makes of the user's headers.

    Errors: `BrokenAnswer`, whose failure names the exception or the wrong result.
    """
    try:
        made: object = credentials(headers)
    except Exception as error:
        raise _mistake(_named(credentials), error) from None
    if not isinstance(made, Credentials):
        raise _wrong_result(_named(credentials), made, "Credentials")
    return made


def signed(sign: Callable[[str | bytes], str | bytes] | None, frame: str | bytes) -> str | bytes:
    """Return the frame, or the body of a POST, as it is sent.

    Errors: as for `credentials_of`.
    """
    if sign is None:
        return frame
    try:
        made: object = sign(frame)
    except Exception as error:
        raise _mistake("the dialect's sign", error) from None
    if not isinstance(made, str | bytes):
        raise _wrong_result("the dialect's sign", made, "text or bytes")
    return made


def _named(credentials: Callable[[dict[str, str]], Credentials]) -> str:
    owner = getattr(credentials, "__self__", None)
    name = owner.call.name if isinstance(owner, CheckedDialect) else type(owner).__name__
    return f"{name}.credentials"


def _mistake(function: str, error: Exception) -> BrokenAnswer:
    what = f"{function} raised {type(error).__name__}{where_raised(error)}"
    return BrokenAnswer("protocol", f"{what}: correct it, then connect again")


def _wrong_result(function: str, made: object, right: str) -> BrokenAnswer:
    return BrokenAnswer("protocol", f"{function} returned a {type(made).__name__}: it must return {right}")
