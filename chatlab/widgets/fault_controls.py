"""Controls that impair the network between the panel and its server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, NamedTuple

import ipywidgets as widgets

from chatlab.errors import ChatError
from chatlab.live.background_loop import background_thread
from chatlab.live.fault_proxy import FaultProxy


class Impairment(NamedTuple):
    """Settings of the fault proxy for one direction or both."""

    direction: Literal["up", "down", "both"]
    flow: dict[str, Any]


IMPAIRMENTS: dict[str, Impairment | None] = {
    "normal": None,
    "latency 0.3 s each way": Impairment("both", {"latency": 0.3}),
    "jitter up to 1 s": Impairment("both", {"latency": 0.05, "jitter": 1.0}),
    "bandwidth 2 kB/s": Impairment("both", {"bandwidth": 2000.0}),
    "half-open (silent)": Impairment("both", {"silent": True}),
    "half-open down (answers lost)": Impairment("down", {"silent": True}),
    "buffering proxy (64 kB)": Impairment("down", {"buffered": 64 * 1024}),
}
"""Impairments by the labels of the menu; None removes the impairment."""


class FaultControls:
    """A menu of impairments and a button that resets all connections.

    `on_change` is called with the name of each change. `reporting` is a context manager around each action of
    a person, which reports errors.
    """

    def __init__(
        self,
        proxy: FaultProxy,
        on_change: Callable[[str], object],
        reporting: Callable[[str], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._proxy = proxy
        self._on_change = on_change
        self._reporting = reporting
        self._now = next(iter(IMPAIRMENTS))
        self._network = widgets.Dropdown(
            options=list(IMPAIRMENTS),
            description="Network",
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
            self.apply(change["new"])
        self._network.value = self._now

    def apply(self, name: str) -> None:
        """Apply one of `IMPAIRMENTS` by its label, from any thread."""
        background_thread().call(self._apply, IMPAIRMENTS[name])
        self._now = name
        self._on_change(name)

    async def _apply(self, impairment: Impairment | None) -> None:
        self._proxy.heal()
        if impairment is not None:
            self._proxy.set(impairment.direction, **impairment.flow)

    def _ask_reset(self) -> None:
        with self._reporting("Not reset"):
            self.reset()

    def reset(self) -> None:
        """Reset every connection, like a NAT router that has lost its state.

        Errors: `ChatError` if there is none.
        """
        background_thread().call(self._reset)
        self._on_change("reset")

    async def _reset(self) -> None:
        if not self._proxy.connections:
            raise ChatError("there is no connection")
        self._proxy.reset()
