"""The machine for the settings of each snippet."""

from __future__ import annotations

from chatlab.dialects.base import Dialect
from chatlab.errors import SettingsError
from chatlab.sim.as_written.long_polling import SeedLongPollingMachine
from chatlab.sim.as_written.settings import (
    AsWritten,
    SeedLongPolling,
    SeedShortPolling,
    SeedSSE,
    SeedWebSocket,
)
from chatlab.sim.as_written.short_polling import SeedShortPollingMachine
from chatlab.sim.as_written.sse import SeedSSEMachine
from chatlab.sim.as_written.websocket import SeedWebSocketMachine
from chatlab.transports.backoff import Uniform
from chatlab.transports.machine import Machine


def make_as_written(
    settings: AsWritten, dialect: Dialect, uniform: Uniform, room: str, sender: str
) -> Machine:
    """Return one person's machine.

    Errors: `SettingsError` if there is none for these settings.
    """
    match settings:
        case SeedWebSocket():
            return SeedWebSocketMachine(settings, dialect, uniform, room, sender)
        case SeedSSE():
            return SeedSSEMachine(settings, dialect, room, sender)
        case SeedLongPolling():
            return SeedLongPollingMachine(settings, dialect, room, sender)
        case SeedShortPolling():
            return SeedShortPollingMachine(settings, dialect, room, sender)
        case _:
            raise SettingsError(f"the seed has no snippet for {type(settings).__name__}")
