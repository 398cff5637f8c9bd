"""Breaking the network between the panel and its server on purpose."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, NamedTuple

import ipywidgets as widgets

from chatlab.errors import ChatError
from chatlab.live.fault_proxy import FaultProxy
from chatlab.live.portal import background_portal


class Trouble(NamedTuple):
    """What happens to the bytes of one direction or both."""

    direction: Literal["up", "down", "both"]
    flow: dict[str, Any]


TROUBLES: dict[str, Trouble | None] = {
    "fine": None,
    "slow (0.3 s each way)": Trouble("both", {"latency": 0.3}),
    "shaky (up to 1 s late)": Trouble("both", {"latency": 0.05, "jitter": 1.0}),
    "narrow (2 kB/s)": Trouble("both", {"bandwidth": 2000.0}),
    "half-open (silent)": Trouble("both", {"silent": True}),
    "answers lost": Trouble("down", {"silent": True}),
    "buffering proxy (64 kB)": Trouble("down", {"buffered": 64 * 1024}),
}
"""What the network can be, by the words that people choose it by."""


class FaultControls:
    """A choice of troubles and a button that resets all connections.

    `tell` hears what was done. `reporting` is entered around what a person does, and reports what fails.
    """

    def __init__(
        self,
        proxy: FaultProxy,
        tell: Callable[[str], object],
        reporting: Callable[[str], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._proxy = proxy
        self._tell = tell
        self._reporting = reporting
        self._now = next(iter(TROUBLES))
        self._network = widgets.Dropdown(
            options=list(TROUBLES),
            description="The network is",
            style={"description_width": "auto"},
            layout=widgets.Layout(width="20em"),
        )
        self._network.observe(self._change, "value")
        reset = widgets.Button(description="Reset connections", layout=widgets.Layout(width="auto"))
        reset.on_click(lambda _: self._ask_reset())
        self.view = widgets.HBox([self._network, reset], layout=widgets.Layout(flex_flow="row wrap"))

    def _change(self, change: Any) -> None:
        if change["new"] == self._now:
            return
        with self._reporting("The network stays as it was"):
            self.be(change["new"])
        self._network.value = self._now

    def be(self, trouble: str) -> None:
        """Let the network be one of `TROUBLES`, from any thread."""
        background_portal().call(self._apply, TROUBLES[trouble])
        self._now = trouble
        self._tell(trouble)

    async def _apply(self, trouble: Trouble | None) -> None:
        self._proxy.heal()
        if trouble is not None:
            self._proxy.set(trouble.direction, **trouble.flow)

    def _ask_reset(self) -> None:
        with self._reporting("Not reset"):
            self.reset()

    def reset(self) -> None:
        """Reset every connection, as a router does that has lost its memory.

        Errors: `ChatError` where there is none.
        """
        background_portal().call(self._reset)
        self._tell("reset")

    async def _reset(self) -> None:
        if not self._proxy.connections:
            raise ChatError("there is no connection")
        self._proxy.reset()
