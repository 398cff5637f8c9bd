"""The rules by which a setting has no effect: another one replaces it, or nothing in the scenario uses it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from chatlab.experiment.scenario import Scenario
from chatlab.settings import HeartbeatConfig, OutboxConfig, ReconnectConfig
from chatlab.sim.as_written.settings import SeedHeartbeat, SeedReconnect, SeedWebSocket
from chatlab.sim.capacity import Need, ServerConfig
from chatlab.sim.faults import AnyFault, Blocked, Buffering
from chatlab.sim.faults.base import Fault
from chatlab.sim.groups import ROUNDING
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig
from chatlab.sim.transport_settings import FallbackSettings, LongPollingSettings, WebSocketSettings

_FORMULA = frozenset({"base_delay", "backoff_multiplier", "jitter"})
"""Settings of reconnection that a schedule replaces."""
_STREAMS, _LONG_POLLS = ("sse", "seed_sse"), ("long_polling", "seed_long_polling")
_WEBSOCKETS = ("websocket", "seed_websocket")


def without_effect(scenario: Scenario, path: str) -> str:
    """Return a sentence that says why the setting at a path has no effect in a scenario.

    It is empty if the setting may have an effect.
    """
    for place in _places(scenario, path):
        for rule in _RULES:
            if reason := rule(place):
                return f"{path} has no effect here: {reason}"
    return ""


def value_at(settings: Any, path: str) -> Any:
    """Return the value at a path such as `faults[0].at`; None if there is none."""
    for key in keys_of(path):
        settings = _below(settings, key)
    return settings


def keys_of(path: str) -> list[str]:
    """Return the names and numbers of a path such as `faults[0].at`."""
    return re.findall(r"[^.\[\]]+", path)


def _below(settings: Any, key: str) -> Any:
    if isinstance(settings, tuple | list):
        return settings[int(key)] if key.isdecimal() and int(key) < len(settings) else None
    return getattr(settings, key, None)


class _Place(NamedTuple):
    """A setting `name` of `owner`, whose path is `where`. `parent` is the owner's own owner."""

    scenario: Scenario
    parent: Any
    owner: Any
    name: str
    where: str


def _places(scenario: Scenario, path: str) -> Iterator[_Place]:
    """Yield the places on the way to a setting, such as `transport` of a scenario, and `jitter` of that."""
    parent: Any = None
    owner: Any = scenario
    where = ""
    for key in keys_of(path):
        if isinstance(owner, tuple | list):
            owner, where = _below(owner, key), f"{where}[{key}]"
            continue
        yield _Place(scenario, parent, owner, key, where)
        parent, owner, where = owner, _below(owner, key), f"{where}.{key}".lstrip(".")


# Rules: each returns a reason, or an empty text.


def _of_reconnection(place: _Place) -> str:
    own = place.owner
    if not isinstance(own, ReconnectConfig | SeedReconnect) or place.name == "enabled":
        return ""
    if not own.enabled and isinstance(place.parent, WebSocketSettings | SeedWebSocket):
        return f"{place.where}.enabled is false"  # Over HTTP, messages are posted again after these delays.
    if not isinstance(own, ReconnectConfig):
        return ""
    if own.schedule:
        replaces = f"{place.where}.schedule replaces it; set {place.where}.schedule=[] to do without"
        return replaces if place.name in _FORMULA else ""
    if place.name == "backoff_multiplier" and own.jitter == "decorrelated":
        return f"the jitter decorrelated of {place.where} takes no multiplier"
    if place.name == "base_delay" and isinstance(place.parent, LongPollingSettings):
        parent = place.where.rpartition(".")[0]
        return f"{parent}.error_delay replaces it; set that"
    return ""


def _of_heartbeats(place: _Place) -> str:
    own = place.owner
    if not isinstance(own, HeartbeatConfig | SeedHeartbeat) or place.name == "enabled":
        return ""
    if not own.enabled:
        return f"{place.where}.enabled is false"
    if isinstance(own, HeartbeatConfig) and own.mode == "none" and place.name != "mode":
        return f"nobody sends pings, as {place.where}.mode is 'none'"
    return ""


def _of_outbox(place: _Place) -> str:
    if place.name == "outbox" and place.where.endswith("]") and ".transports[" in f".{place.where}":
        first = f"{place.where.rpartition('[')[0]}[0]"
        return "" if place.where == first else f"a fallback's transports share the outbox of {first}"
    if isinstance(place.owner, OutboxConfig) and not _is_anybody_sending(place.scenario):
        return _NOBODY_SENDS
    return ""


def _of_transport(place: _Place) -> str:
    groups = place.scenario.people.groups
    if place.owner is place.scenario and place.name == "transport" and _are_all_in_groups(place.scenario):
        return (
            "everybody is in a group with a transport of its own"
            if all(group.transport is not None for group in groups)
            else ""
        )
    return ""


def _of_server(place: _Place) -> str:
    own, name, scenario = place.owner, place.name, place.scenario
    if not isinstance(own, ServerConfig):
        return ""
    if own.accept_rate is None and (
        name == "overflow" or (name == "backlog" and not _are_packets_lost(scenario))
    ):
        return "server.accept_rate is 'none', so nobody waits to be accepted"
    if name == "balance" and own.nodes == 1:
        return "server.nodes is 1"
    if name == "service" and not own.service_time:
        return "server.service_time is 0"
    if name in ("rate", "burst") and not _is_anybody_sending(scenario):
        return _NOBODY_SENDS
    if name in ("keep_alive", "reconnection_time"):
        return _unused(scenario, _STREAMS, "event streams")
    if name == "max_hold":
        return _unused(scenario, _LONG_POLLS, "long polling")
    return ""


def _of_need(place: _Place) -> str:
    own, name = place.owner, place.name
    if not isinstance(own, Need):
        return ""
    if own.per == "message" and name != "per" and not _is_anybody_sending(place.scenario):
        return _NOBODY_SENDS
    if name in ("status", "retry_after") and own.queue is None and own.timeout is None:
        return f"{place.where} refuses nobody, without a queue or a timeout"
    return ""


def _of_network(place: _Place) -> str:
    if place.owner is place.scenario.network and place.name == "keep_alive":
        is_http = not _kinds(place.scenario) <= set(_WEBSOCKETS)
        return "" if is_http else "nobody uses HTTP, but WebSockets"
    return ""


def _of_people(place: _Place) -> str:
    if isinstance(place.owner, PeopleConfig) and place.name == "message_size" and not place.owner.send_rate:
        return "people.send_rate is 0"
    return ""


def _of_faults(place: _Place) -> str:
    if not isinstance(place.owner, Fault) or place.name in ("at", "share", "transports"):
        return ""
    return of_fault(place.scenario, place.owner)


_RULES: tuple[Callable[[_Place], str], ...] = (
    _of_reconnection,
    _of_heartbeats,
    _of_outbox,
    _of_transport,
    _of_server,
    _of_need,
    _of_network,
    _of_people,
    _of_faults,
)


def of_fault(scenario: Scenario, fault: AnyFault | Fault) -> str:
    if fault.at >= scenario.duration:
        return f"it begins at {fault.at:g} s, and the run ends at {scenario.duration:g} s"
    if not fault.share:
        return "its share is 0"
    if isinstance(fault, Buffering):
        return _unused(scenario, _STREAMS, "event streams")
    if isinstance(fault, Blocked):
        names = [name for kind in fault.transports for name in (kind, f"seed_{kind}")]
        return _unused(scenario, names, " or ".join(fault.transports))
    return ""


# What a scenario uses

_NOBODY_SENDS = "nobody sends a message (people.send_rate is 0)"


def _is_anybody_sending(scenario: Scenario) -> bool:
    people = scenario.people
    return bool(people.send_rate) or any(entry.action == "send" for entry in people.script)


def _are_all_in_groups(scenario: Scenario) -> bool:
    groups = scenario.people.groups
    return bool(groups) and sum(group.share for group in groups) >= 1 - ROUNDING


def _networks(scenario: Scenario) -> list[NetworkConfig]:
    return [scenario.network, *(group.network for group in scenario.people.groups if group.network)]


def _are_packets_lost(scenario: Scenario) -> bool:
    return any(network.loss for network in _networks(scenario)) or any(
        fault.loses or fault.leaves_half_open for fault in scenario.faults
    )


def _kinds(scenario: Scenario) -> set[str]:
    """Return the kinds of transports that people may use, those within a fallback included."""
    transports = [group.transport or scenario.transport for group in scenario.people.groups]
    if not _are_all_in_groups(scenario):
        transports.append(scenario.transport)
    single = [
        inner
        for transport in transports
        for inner in (transport.transports if isinstance(transport, FallbackSettings) else (transport,))
    ]
    return {str(transport.__struct_config__.tag) for transport in single}


def _unused(scenario: Scenario, kinds: Iterable[str], name: str) -> str:
    return "" if _kinds(scenario) & set(kinds) else f"nobody uses {name}"
