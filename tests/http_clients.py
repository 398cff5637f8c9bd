"""HTTP clients of tests, for servers on this machine.

They use no proxy of the environment and wait a minute for a busy machine. Unlike httpx they read no CA
certificates, which takes 30 ms of processor time.
"""

from typing import Any, Final

import httpx

_OPTIONS: Final = {"verify": False, "trust_env": False, "timeout": 60.0}


def http_client(base_url: str = "", **options: Any) -> httpx.AsyncClient:
    """Return a client for a test's own loop; `options` are those of httpx."""
    return httpx.AsyncClient(base_url=base_url, **{**_OPTIONS, **options})


def blocking_client(base_url: str = "", **options: Any) -> httpx.Client:
    """Return a client that blocks; `options` are those of httpx."""
    return httpx.Client(base_url=base_url, **{**_OPTIONS, **options})
