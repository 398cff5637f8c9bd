"""Secrets of a transport's settings, kept out of what others say: a server, a proxy or an exception may quote
the token, the password or the address that it was given.

What people read of them passes here once: reasons in what a machine tells the application, and all that is
recorded of its steps. Messages pass as they are.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from threading import Lock
from urllib.parse import quote, unquote
from urllib.request import getproxies
from weakref import WeakSet

from msgspec.structs import replace

from chatlab.messages import ChatEvent, ConnectionStatus
from chatlab.settings import TransportConfig, scrub, secrets_of
from chatlab.settings.urls import HIDDEN, MIN_SECRET
from chatlab.trace import Step
from chatlab.transports.cursor import Cursor
from chatlab.transports.machine import (
    Answered,
    Closed,
    Deliver,
    Effect,
    Event,
    Notify,
    Reader,
    Received,
    ReceivedBytes,
    Settle,
    Unencodable,
)

MAX_LEARNT = 256
"""Most secrets that are remembered of headers and tokens, the latest."""
PUBLIC = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "content-type",
        "host",
        "origin",
        "pragma",
        "user-agent",
    }
)
"""Headers whose values are no secrets; of all others that can't be known."""

_USER = re.compile(r"//([^/?#]*)@")
_PARTS = re.compile(r"[;,\s]+")

_all: WeakSet[Redaction] = WeakSet()
_all_lock = Lock()


class Redaction:
    """The secrets of one transport, and what hides them."""

    def __init__(self, configs: Iterable[TransportConfig]) -> None:
        self._given: set[str] = set()
        self._learnt: dict[str, None] = {}
        proxies = [address for name, address in getproxies().items() if name != "no"]
        for config in configs:
            proxies.append(config.proxy or "")
            self._given |= _of_url(config.url)
        for address in proxies:
            self._given |= _of_url(address if "//" in address else f"//{address}")
        self._secrets: frozenset[str] = frozenset()
        self._set()
        with _all_lock:
            _all.add(self)

    def __repr__(self) -> str:
        return "Redaction(hidden)"

    def learn(self, headers: Mapping[str, str]) -> None:
        """Hide the values of these headers from now on, and each part of one."""
        known = self._learnt
        for name, value in headers.items():
            if name.lower() in PUBLIC:
                continue
            for secret in _of_value(value):
                known.pop(secret, None)  # To be the latest.
                known[secret] = None
        while len(known) > MAX_LEARNT:
            del known[next(iter(known))]
        self._set()

    def _set(self) -> None:
        every = (*self._given, *self._learnt)
        self._secrets = frozenset(spelling for secret in every for spelling in _spelt(secret))

    def text(self, text: str) -> str:
        """Return a text without the secrets."""
        return scrub(text, self._secrets) if text else text

    def _data(self, data: bytes) -> bytes:
        """Return bytes without the secrets."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            data = data.replace(secret.encode(), HIDDEN.encode())
        return data

    def effects(self, effects: Sequence[Effect]) -> Sequence[Effect]:
        """Return effects whose reasons have no secrets."""
        if not self._secrets:
            return effects
        for effect in effects:
            if type(effect) is Notify or type(effect) is Settle or type(effect) is Deliver:
                return [self._effect(effect) for effect in effects]
        return effects

    def _effect(self, effect: Effect) -> Effect:
        if type(effect) is Settle:
            return replace(effect, reason=self.text(effect.reason)) if effect.reason else effect
        if type(effect) is Notify:
            change = effect.change
            return Notify(replace(change, reason=self.text(change.reason))) if change.reason else effect
        if type(effect) is Deliver and effect.event.message is None:
            return Deliver(self._event(effect.event))
        return effect

    def _event(self, event: ChatEvent) -> ChatEvent:
        if event.type == "unreadable" and isinstance(event.payload, str):
            event = replace(event, payload=self.text(event.payload))
        return replace(event, reason=self.text(event.reason)) if event.reason else event

    def recorder(self, record: Callable[[Step], None]) -> Callable[[Step], None]:
        """Return what gives steps to `record` without secrets."""
        return lambda step: record(self.step(step))

    def step(self, step: Step) -> Step:
        """Return a step in which nothing that came in has secrets. Its effects have none already."""
        event = step.event
        if not self._secrets:
            return step
        if type(event) is Received:
            return replace(step, event=Received(event.link, self.text(event.data)))
        elif type(event) is ReceivedBytes:
            return replace(step, event=ReceivedBytes(event.link, self._data(event.data)))
        elif type(event) is Answered:
            answer = event.answer
            headers = {name: self.text(value) for name, value in answer.headers.items()}
            answer = replace(answer, body=self._data(answer.body), headers=headers)
            return replace(step, event=Answered(event.link, answer))
        elif type(event) is Closed:
            failure = replace(event.failure, reason=self.text(event.failure.reason))
            return replace(step, event=Closed(event.link, failure))
        return step


def known_secrets() -> frozenset[str]:
    """Return the secrets of all transports that there are."""
    with _all_lock:
        redactions = tuple(_all)
    return frozenset().union(*(redaction._secrets for redaction in redactions))


class RedactingMachine:
    """A machine whose effects tell the application no secrets."""

    __slots__ = ("_handle", "_machine", "_redaction")

    def __init__(self, machine: Reader, redaction: Redaction) -> None:
        self._machine = machine
        self._redaction = redaction
        self._handle = machine.handle

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Take what happened at `now`; return what to do, in order."""
        try:
            return self._redaction.effects(self._handle(event, now))
        except Unencodable as error:
            error.effects = self._redaction.effects(error.effects)
            raise

    @property
    def status(self) -> ConnectionStatus:
        """The transport's status as last notified."""
        return self._machine.status

    @property
    def deadline(self) -> float:
        """Absolute seconds when it wants a `Tick`."""
        return self._machine.deadline

    @property
    def rtt(self) -> float | None:
        """Seconds that the last answered heartbeat took to come back."""
        return self._machine.rtt

    @property
    def cursor(self) -> Cursor:
        """The reader's place in the room."""
        return self._machine.cursor


def _of_url(url: str) -> set[str]:
    """Return the secrets of a URL, and what its user and password are sent as."""
    secrets = set(secrets_of(url))
    user = _USER.search(url)
    if user and len(user[1]) >= MIN_SECRET:
        secrets.add(b64encode(unquote(user[1]).encode()).decode())
    return secrets


def _of_value(value: str) -> set[str]:
    """Return what of a header's value may be quoted: all of it, and its parts without names and schemes."""
    parts = [part for part in _PARTS.split(value) if part]
    if len(parts) > 1 and parts[0].isalpha():  # "Bearer", "Basic"
        parts, scheme = parts[1:], parts[0].lower()
    else:
        scheme = ""
    secrets = {value, *parts, *(part.partition("=")[2] for part in parts)}
    if scheme == "basic":
        try:
            user, _, password = b64decode(parts[0]).decode().partition(":")
        except ValueError:
            pass
        else:
            secrets |= {user, password}
    return {secret for secret in secrets if len(secret) >= MIN_SECRET}


def _spelt(secret: str) -> set[str]:
    """Return a secret as a page, JSON or a URL spells it."""
    return {secret, escape(secret), quote(secret, safe=""), json.dumps(secret)[1:-1]}
