"""A scenario: one experiment as plain data, in Python or TOML, for every world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from msgspec import Meta

from chatlab.errors import SettingsError
from chatlab.experiment.preset_tables import spell_out
from chatlab.experiment.toml import read_toml, write_toml
from chatlab.experiment.transport_settings import AnyTransport, WebSocketSettings, kinds_of
from chatlab.fileio import atomic_write, read_bounded
from chatlab.settings import Count, Settings
from chatlab.sim.capacity import ServerConfig
from chatlab.sim.faults import AnyFault, Blocked, NodeDown
from chatlab.sim.latency import NetworkConfig
from chatlab.sim.people import PeopleConfig

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
            self._check_people(self.people.names)
        self._check_blocked()

    def _check_people(self, names: list[str]) -> None:
        """Check the names of the people in the scope of faults."""
        known = set(names)
        for number, fault in enumerate(self.faults):
            for name in fault.people:
                if name not in known:
                    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
                    raise SettingsError(f"faults[{number}].people: choose from {shown}, got {name!r}")

    def _check_blocked(self) -> None:
        """Check that somebody uses a transport that is blocked."""
        used = kinds_of(self.transport)
        for number, fault in enumerate(self.faults):
            if isinstance(fault, Blocked) and not used.intersection(fault.transports):
                raise SettingsError(
                    f"faults[{number}].transports: nobody uses {' or '.join(fault.transports)}; choose from "
                    f"{', '.join(sorted(used))}"
                )

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
        """Return TOML's data with the settings of presets, in place of their names.

        Errors: `SettingsError` if there is no such preset.
        """
        if isinstance(raw, dict) and "transport" in raw:
            raw = raw | {"transport": spell_out(raw["transport"], "transport")}
        return raw

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
