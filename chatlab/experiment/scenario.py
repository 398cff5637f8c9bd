"""A scenario: one experiment as plain data, in Python or TOML, for every world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from msgspec import Meta

from chatlab.errors import SettingsError
from chatlab.experiment.preset_tables import spell_out
from chatlab.experiment.toml import completed, from_plain, read_toml, to_plain, write_toml
from chatlab.fileio import atomic_write, read_bounded
from chatlab.settings import Count, Settings
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import AnyFault, NodeDown
from chatlab.sim.groups import OTHERS
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig
from chatlab.sim.transport_settings import AnyTransport, WebSocketSettings
from chatlab.text import quoted

MAX_MESSAGES = 10_000_000
"""Maximum number of messages in a run. Each takes about 1 kB of memory."""
MAX_BYTES = 16 << 20
"""Maximum size of a scenario's file, in bytes."""


class Scenario(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One experiment of `duration` seconds: people, their transport, network and server, and faults.

    The `seed` determines every random number. Errors: `SettingsError` naming the field and the allowed
    values.
    """

    name: Annotated[str, Meta(max_length=200)] = ""
    duration: Annotated[float, Meta(gt=0, le=1e7)] = 60.0
    seed: Count = 0
    people: PeopleConfig = PeopleConfig()
    transport: AnyTransport = WebSocketSettings()
    network: NetworkConfig = NetworkConfig()
    server: ServerConfig = ServerConfig()
    faults: tuple[AnyFault, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        people = self.people
        messages = people.count * people.send_rate * self.duration
        if messages > MAX_MESSAGES:
            raise SettingsError(
                f"people.send_rate: {people.count:,} people would send {messages:.3g} messages in "
                f"{self.duration:g} s, and a run holds at most {MAX_MESSAGES:,}"
            )
        for number, fault in enumerate(self.faults):
            if isinstance(fault, NodeDown) and fault.node > self.server.nodes:
                most = self.server.nodes
                raise SettingsError(
                    f"faults[{number}].node: give at most server.nodes ({most}), got {fault.node}"
                )
        if any(fault.people for fault in self.faults):
            self._check_scope("people", self.people.names)
        self._check_groups()

    def _check_scope(self, field: Literal["people", "groups"], names: list[str]) -> None:
        """Check the names of the people, or of the groups, in the scope of faults."""
        known = set(names)
        for number, fault in enumerate(self.faults):
            for name in getattr(fault, field):
                if name not in known:
                    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
                    raise SettingsError(f"faults[{number}].{field}: choose from {shown}, got {quoted(name)}")

    def _check_groups(self) -> None:
        groups = self.people.groups
        for number, group in enumerate(groups):
            if group.transport is not None and group.transport.dialect != self.transport.dialect:
                raise SettingsError(
                    f"people.groups[{number}].transport.dialect: all people must have the same dialect, "
                    f"{self.transport.dialect!r}, got {group.transport.dialect!r}"
                )
        self._check_scope("groups", [*(group.name for group in groups), OTHERS])

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a scenario from a TOML file.

        Errors: `SettingsError` naming the file, the field and the allowed values; `OSError` when the file
        can't be read.
        """
        path = Path(path)
        try:
            return cls.from_toml(read_bounded(path, MAX_BYTES).decode())
        except SettingsError as error:
            raise SettingsError(f"{path.name}: {error}") from None
        except UnicodeDecodeError as error:
            raise SettingsError(
                f"{path.name}: not UTF-8 text ({error.reason} at byte {error.start})"
            ) from None

    @classmethod
    def prepare_table(cls, raw: Any) -> Any:
        """Return TOML's data with the settings of presets in place of their names, and the whole settings of
        groups.

        Errors: `SettingsError` if there is no such preset, or a group's settings stand on invalid ones.
        """
        if not isinstance(raw, dict):
            return raw
        if "transport" in raw:
            raw = raw | {"transport": spell_out(raw["transport"], "transport")}
        people = raw.get("people")
        groups = people.get("groups") if isinstance(people, dict) else None
        if not isinstance(groups, list):
            return raw
        base = from_plain({name: raw[name] for name in ("transport", "network") if name in raw}, cls)
        prepared = [
            _prepare_group(group, base, f"people.groups[{number}]") if isinstance(group, dict) else group
            for number, group in enumerate(groups)
        ]
        return raw | {"people": people | {"groups": prepared}}

    def finish_table(self, plain: dict[str, Any]) -> dict[str, Any]:
        """Return the scenario's TOML data with each group's network as it differs from the scenario's."""
        for number, group in enumerate(self.people.groups):
            if group.network is not None:
                plain["people"]["groups"][number]["network"] = to_plain(group.network, self.network)
        return plain

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Read a scenario from the text of a TOML file.

        Errors: `SettingsError` naming the field and the allowed values.
        """
        return read_toml(text, cls)

    def save(self, path: str | Path) -> None:
        """Write the scenario to a TOML file.

        Errors: `OSError` when the file can't be written. It is unchanged then.
        """
        with atomic_write(path) as part:
            part.write_text(self.to_toml(), encoding="utf-8")

    def to_toml(self) -> str:
        """Return the scenario as TOML, without settings at their defaults."""
        return write_toml(self)


def _prepare_group(group: dict[str, Any], base: Scenario, where: str) -> dict[str, Any]:
    """Return a group's data with whole settings: a transport without `kind` and a network are `base`'s, with
    changes."""
    whole: dict[str, Any] = {}
    if "network" in group:
        whole["network"] = completed(group["network"], base.network)
    if "transport" in group:
        transport = spell_out(group["transport"], f"{where}.transport", base.transport)
        own = isinstance(transport, dict) and "kind" in transport
        whole["transport"] = transport if own else completed(transport, base.transport)
    return group | whole
