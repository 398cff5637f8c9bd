"""The certificate authorities (CAs) that TLS trusts: the system's, or those in a file of the user's."""

from __future__ import annotations

import os
import ssl
from functools import cache
from pathlib import Path

from msgspec.structs import replace

from chatlab.live.client.network_failures import BrokenAnswer
from chatlab.transports.machine import Failure


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a context that verifies certificates with the CAs in a file (PEM), or with the system's.

    Errors: `BrokenAnswer` if the file can't be read.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError.
        what = "holds no certificates" if isinstance(error, ssl.SSLError) else "can't be read"
        raise BrokenAnswer("tls", f"the CA file {ca_file} {what}: {type(error).__name__}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


@cache
def shared_tls() -> ssl.SSLContext:
    """Return the context for redirects from an address without TLS; it is shared, since creating one takes 50
    ms."""
    return ssl.create_default_context()


def with_authorities(failure: Failure, ca_file: str | None) -> Failure:
    """Add the trusted CAs, and the settings for others, to the reason of a failed certificate check; return
    any other failure unchanged."""
    if failure.kind != "tls" or "certificate" not in failure.reason:
        return failure
    named = os.environ.get("SSL_CERT_FILE", "")
    if ca_file:
        trusted = ca_file
    elif named and not Path(named).is_file():
        trusted = f"not those of SSL_CERT_FILE, since {named} is not a file"
    else:
        trusted = (named or "the system's") + "; set others with ca_file or SSL_CERT_FILE"
    return replace(failure, reason=f"{failure.reason} (trusted authorities: {trusted})")
