"""How well the panel's prediction agrees with its live connection, for each fault and transport.

    python -m tests.widgets.agreement             # print the table
    python -m tests.widgets.agreement --write     # write it into docs/fidelity.md

Each panel has a server and a line of its own. All transports of a case run at once.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

from chatlab import ChatPanel
from chatlab.live.client.kinds import TITLES, make_config
from chatlab.live.server.connections import Limits
from chatlab.live.server.embedded_server import EmbeddedServer
from chatlab.messages import ConnectionStatus
from chatlab.settings import HeartbeatConfig, ReconnectConfig
from chatlab.studies.prediction import Agreement, agreement

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"
MARKER = "<!-- panel -->"
WITHIN = 0.25
"""Seconds within which a live attempt and a predicted one are the same."""
BEFORE, AFTER = 1.5, 9.0
"""Seconds of each run before the fault, and from its beginning on."""
CASES = (
    "down for 3",
    "restart for 2",
    "reset",
    "half open for 2",
    "latency 0.3 for 6",
    "latency 0.1 jitter 0.2 for 6",
    "bandwidth 2000 for 6",
    "idle timeout 0.7 for 6",
    "buffering for 6",
    "http error 503 retry after 2 for 4; reset",
    "no pong for 5",
    "slow server 0.4 for 5",
    "flapping 4 1.5 for 8",
    "partition for 3",
    "network change",
    "suspended for 3",
    "throttled 2 for 6; reset at 1",
    "blocked how reset for 4; reset",
)
SETTINGS: dict[str, Any] = {
    "sender": "ada",
    "reconnect": ReconnectConfig(base_delay=0.5, max_delay=2.0, max_attempts=None),
    "heartbeat": HeartbeatConfig(interval=1.5, timeout=1.0),
    "connect_timeout": 2.0,
    "request_timeout": 2.0,
    "idle_timeout": 4.0,
    "interval": 1.0,
    "hold": 2.0,
    "timeout": 3.0,
    "error_delay": 0.5,
}


class Lateness:
    """The most by which a thread that sleeps is late, in seconds: how busy the machine is."""

    def __init__(self) -> None:
        self.most = 0.0
        self._over = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.is_set():
            due = time.monotonic() + 0.05
            time.sleep(0.05)
            self.most = max(self.most, time.monotonic() - due)

    def end(self) -> float:
        """Stop, and return the most."""
        self._over.set()
        self._thread.join()
        return self.most


class Measured(NamedTuple):
    """The agreement of each kind of transport, with the times of attempts, live and predicted; and how late
    the machine was."""

    agreements: dict[str, Agreement]
    times: dict[str, tuple[list[float], list[float]]]
    lateness: float


def measure(case: str, within: float = WITHIN) -> Measured:
    """Run all transports through a case."""
    servers = {kind: EmbeddedServer(limits=Limits(keep_alive=1.0)) for kind in TITLES}
    panels: dict[str, ChatPanel] = {}
    for kind, server in servers.items():
        server.start_in_background()
        config = make_config(kind, server.url, **SETTINGS)
        panels[kind] = ChatPanel(config, server=server, name=kind, seed=7)
    lateness = Lateness()
    try:
        for panel in panels.values():
            panel.connect()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not all(map(_connected, panels.values())):
            time.sleep(0.02)
        time.sleep(BEFORE)
        for panel in panels.values():
            panel.play(case)
        time.sleep(AFTER)
        times = {kind: _attempts(panel) for kind, panel in panels.items()}
    finally:
        late = lateness.end()
        for panel in panels.values():
            panel.close()
        for server in servers.values():
            server.stop_in_background()
    agreements = {kind: agreement(*both, both[0][-1] + AFTER, within) for kind, both in times.items()}
    return Measured(agreements, times, late)


def _connected(panel: ChatPanel) -> bool:
    return panel._conversation.last_change.status is ConnectionStatus.CONNECTED


def _attempts(panel: ChatPanel) -> tuple[list[float], list[float]]:
    """Return the live attempts and the predicted ones until now."""
    controller, now = panel._timeline_controller, time.monotonic()
    (one,) = controller._predictions(controller._records, now)
    until = now - controller._started_at - 2 * WITHIN
    return [at for at in one.live if at <= until], [at for at in one.attempts if at <= until]


def table() -> str:
    """Measure all cases, and return them as a table."""
    lines = [f"| faults | {' | '.join(TITLES.values())} |", f"|---{'|---' * len(TITLES)}|"]
    late = 0.0
    for case in CASES:
        measured = measure(case)
        late = max(late, measured.lateness)
        cells = [f"{one.agreeing} of {one.attempts}" for one in measured.agreements.values()]
        lines.append(f"| `{case}` | {' | '.join(cells)} |")
        _say(f"{lines[-1]} late {measured.lateness:.3f} s")
        for kind, one in measured.agreements.items():
            if one.agreeing != one.attempts:
                live, predicted = ([round(at, 2) for at in times] for times in measured.times[kind])
                _say(f"    {kind}: live {live}, predicted {predicted}")
    lines += ["", f"The machine was up to {late * 1000:.0f} ms late."]
    return "\n".join(lines)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Print the table, or write it."""
    measured = table()
    if "--write" in sys.argv:
        page = PAGE.read_text(encoding="utf-8")
        before, _, after = page.split(MARKER)
        PAGE.write_text(f"{before}{MARKER}\n\n{measured}\n\n{MARKER}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
