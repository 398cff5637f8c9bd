"""The socket of a simulated TCP connection."""

from __future__ import annotations

import socket
from typing import Protocol

Address = tuple[str, int]


class End(Protocol):
    """The end of a connection to which a socket belongs. `gone`: it is closed."""

    gone: bool
    send_buffer: int

    @property
    def readable(self) -> bool:
        """Whether bytes, or their end, can be read."""


class SimulatedSocket:
    """The part of a connection's socket that asyncio and the libraries use."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, end: End, address: Address, peer: Address, never_ready: int) -> None:
        self._end = end
        self._address = address
        self._peer = peer
        self._never_ready = never_ready

    def fileno(self) -> int:
        """Return the descriptor of a real socket that is never ready; -1 if something can be read.

        httpcore polls it to find out whether the server has closed an idle connection.
        """
        return -1 if self._end.gone or self._end.readable else self._never_ready

    def getsockname(self) -> Address:
        """Return this end's address."""
        return self._address

    def getpeername(self) -> Address:
        """Return the other end's address."""
        return self._peer

    def setsockopt(self, level: int, name: int, value: int) -> None:
        """Set an option. Only TCP_NOTSENT_LOWAT has an effect: it sets the send buffer."""
        if (level, name) == (socket.IPPROTO_TCP, getattr(socket, "TCP_NOTSENT_LOWAT", None)):
            self._end.send_buffer = value

    def getsockopt(self, level: int, name: int, size: int = 0) -> int:
        """Return 0: there is no error, and no option is set."""
        return 0
