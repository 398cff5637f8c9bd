"""Redaction of the secrets in a transport's settings.

A server, a proxy or an exception may quote a token, a password or an address that it was given. All texts for
people are redacted here: the reasons that a machine reports to the application, and all recorded steps.
Messages stay unchanged.
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
"""Number of secrets from headers and tokens that are remembered: the latest ones."""
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
"""Headers whose values aren't secret; any other header's value may be."""

_USER = re.compile(r"//([^/?#]*)@")
_PARTS = re.compile(r"[;,\s]+")

_all: WeakSet[Redaction] = WeakSet()
_all_lock = Lock()


class Redaction:
    """The secrets of one transport, and the methods that remove them."""

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
        """Redact the values of these headers from now on, and the parts of each value."""
        known = self._learnt
        for name, value in headers.items():
            if name.lower() in PUBLIC:
                continue
            for secret in _of_value(value):
                known.pop(secret, None)  # Move it to the end, as the latest.
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
        """Return the effects with secrets removed from their reasons."""
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
        """Return a function that passes steps to `record`, without their secrets."""
        return lambda step: record(self.step(step))

    def step(self, step: Step) -> Step:
        """Return a step with secrets removed from its event; its effects have none already."""
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
    """Return the secrets of all existing transports."""
    with _all_lock:
        redactions = tuple(_all)
    return frozenset().union(*(redaction._secrets for redaction in redactions))


class RedactingMachine:
    """A machine whose effects hold no secrets."""

    __slots__ = ("_handle", "_machine", "_redaction")

    def __init__(self, machine: Reader, redaction: Redaction) -> None:
        self._machine = machine
        self._redaction = redaction
        self._handle = machine.handle

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Handle an event at `now`; return the effects, in order."""
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
        """Time in seconds at which it needs a `Tick`."""
        return self._machine.deadline

    @property
    def rtt(self) -> float | None:
        """Round-trip time of the last answered heartbeat, in seconds."""
        return self._machine.rtt

    @property
    def cursor(self) -> Cursor:
        """The reader's position in the room."""
        return self._machine.cursor


def _of_url(url: str) -> set[str]:
    """Return the secrets of a URL, among them the encoded form in which its user and password are sent."""
    secrets = set(secrets_of(url))
    user = _USER.search(url)
    if user and len(user[1]) >= MIN_SECRET:
        secrets.add(b64encode(unquote(user[1]).encode()).decode())
    return secrets


def _of_value(value: str) -> set[str]:
    """Return the parts of a header's value that may be quoted: all of it, and its parts without names and
    schemes."""
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
    """Return the forms of a secret in HTML, JSON and URLs."""
    return {secret, escape(secret), quote(secret, safe=""), json.dumps(secret)[1:-1]}
