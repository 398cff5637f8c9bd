"""Two network namespaces joined by a wire in user space: real Linux TCP, with delay, loss and cuts.

Each namespace has a TUN device, and the wire passes packets from one to the other. Nothing leaves the
namespaces, which end with the process. Making them needs root, or user namespaces that anyone may make, and
/dev/net/tun. Source: Linux, network_namespaces(7), Documentation/networking/tuntap.rst.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from random import Random

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFFLAGS, IFF_UP = 0x8916, 0x891C, 0x8914, 0x1
DEVICE = b"t0"
IPV4, TCP = 4, 6
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
PACKET = 65536

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def hurry() -> None:
    """Ask for the processor before all other programs; without root that is refused."""
    sys.setswitchinterval(0.0005)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)


def become_root() -> None:
    """Enter a user namespace in which this process may make network namespaces, unless it may already.

    Call it before any thread starts.
    """
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        return
    _check(_libc.unshare(CLONE_NEWUSER))
    for name, content in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        Path(f"/proc/self/{name}").write_text(content, encoding="ascii")


class Host:
    """One end: a network namespace with the address `address`; its sockets may be used on any thread."""

    def __init__(self, address: str) -> None:
        self.address = address
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _check(_libc.unshare(CLONE_NEWNET))
            self._namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            self.device = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(self.device, TUNSETIFF, struct.pack("16sH", DEVICE, IFF_TUN | IFF_NO_PI))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                for request, value in ((SIOCSIFADDR, address), (SIOCSIFNETMASK, "255.255.255.0")):
                    named = struct.pack("16sHH4s8x", DEVICE, socket.AF_INET, 0, socket.inet_aton(value))
                    fcntl.ioctl(control, request, named)
                fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", DEVICE, IFF_UP))
        finally:
            _check(_libc.setns(before, CLONE_NEWNET))
            os.close(before)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Move this thread to this end, where it may make sockets."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _check(_libc.setns(self._namespace, CLONE_NEWNET))
        try:
            yield
        finally:
            _check(_libc.setns(before, CLONE_NEWNET))
            os.close(before)

    def open(self) -> socket.socket:
        """Return a TCP socket at this end that doesn't block."""
        with self.entered():
            made = socket.socket()
        made.setblocking(False)
        return made

    def listen(self, port: int, backlog: int) -> socket.socket:
        """Return a listener at this end."""
        listener = self.open()
        listener.bind((self.address, port))
        listener.listen(backlog)
        return listener


@dataclass
class Packet:
    """A TCP packet that has met the wire at `at`, and left it at `passed` (inf: it was dropped), in seconds.

    It has the client's `port`, its flags, and its bytes of data.
    """

    at: float
    up: bool
    port: int
    flags: int
    size: int
    passed: float = inf


def lateness(late: Sequence[float]) -> tuple[float, float]:
    """Return the seconds by which one in a hundred was late, and the latest; 0 if there is none."""
    ranked = sorted(late) or [0.0]
    return ranked[-len(ranked) // 100], ranked[-1]


class Wire:
    """A wire between two hosts: each packet takes `delay` seconds, unless it is dropped.

    Drops are random with the probability `loss`, and total until `cut_until`, in seconds of `time.monotonic`.
    The first `together` packets up wait for the last of them, and arrive all at once, on a slow machine too.
    """

    def __init__(
        self,
        client: Host,
        server: Host,
        delay: float,
        loss: float = 0.0,
        seed: int = 0,
        together: int = 0,
    ) -> None:
        self.cut_until = 0.0
        self.packets: list[Packet] = []
        self._together = together
        self._waited = 0.0
        self._late: list[float] = []
        self._ends = {client.device: server.device, server.device: client.device}
        self._up = client.device
        self._delay = delay
        self._loss = loss
        self._random = Random(seed)
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def late(self) -> tuple[float, float]:
        """Return by how many seconds one in a hundred of the packets was late, and the latest of all.

        The latest may be a packet that waited for the others that it was to arrive with.
        """
        often, latest = lateness(self._late)
        return often, max(self._waited, latest)

    def _run(self) -> None:
        flying: list[tuple[float, int, int, bytes, Packet]] = []
        waiting: list[tuple[int, bytes, Packet]] = []
        count = 0
        while True:
            now = time.monotonic()
            while flying and flying[0][0] <= now:
                due, _, device, content, packet = heapq.heappop(flying)
                packet.passed = time.monotonic()
                self._late.append(packet.passed - due)
                os.write(device, content)
            wait = max(0.0, flying[0][0] - time.monotonic()) if flying else None
            ready, _, _ = select.select(list(self._ends), [], [], wait)
            now = time.monotonic()
            for device in ready:
                content = os.read(device, PACKET)
                if content[0] >> 4 != IPV4 or content[9] != TCP:
                    continue
                packet = _parse(content, now, up=device == self._up)
                self.packets.append(packet)
                if now < self.cut_until or self._random.random() < self._loss:
                    continue
                waiting.append((self._ends[device], content, packet))
                if len(waiting) < self._together:
                    continue
                self._together = 0
                self._waited = max(self._waited, now - waiting[0][2].at)
                for end, content, packet in waiting:
                    count += 1
                    heapq.heappush(flying, (now + self._delay, count, end, content, packet))
                waiting = []


def _parse(content: bytes, now: float, *, up: bool) -> Packet:
    header = (content[0] & 15) * 4
    size = struct.unpack("!H", content[2:4])[0] - header - (content[header + 12] >> 4) * 4
    ports: tuple[int, int] = struct.unpack_from("!HH", content, header)
    return Packet(now, up, ports[not up], content[header + 13], size)


def joined(delay: float, loss: float = 0.0, seed: int = 0, together: int = 0) -> tuple[Host, Host, Wire]:
    """Return a client's and a server's host, and the wire between them."""
    client, server = Host("10.9.0.1"), Host("10.9.0.2")
    return client, server, Wire(client, server, delay, loss, seed, together)


def why_not() -> str:
    """Return why this machine can't make namespaces, or "" if it can. Called in a process of its own."""
    try:
        become_root()
        Host("10.9.0.1")
    except (OSError, AttributeError) as error:
        return str(error)
    return ""
