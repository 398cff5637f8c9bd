"""The panel's button that probes the address in the form."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context

import ipywidgets as widgets

from chatlab.conversation import explain
from chatlab.live.background_loop import background_loop
from chatlab.live.client.probe import Probe, probe
from chatlab.settings import AnyConfig, FallbackConfig


class ProbeButton:
    """A button, `view`, which reports by `notice` what answers at the address of `config()`.

    No credentials are sent, also if the settings have some.
    """

    def __init__(self, config: Callable[[], AnyConfig], notice: Callable[[str], object]) -> None:
        self._config = config
        self._notice = notice
        self._context = copy_context()  # ipykernel 7.0 looks up the cell in it
        self.view = widgets.Button(
            description="Probe",
            tooltip="Ask the server which transports and dialects it has, by at most ten requests",
            layout=widgets.Layout(width="auto"),
        )
        self.view.on_click(lambda _: self.press())

    def press(self) -> Future[Probe] | None:
        """Begin to probe, and return the future result; None if the settings are wrong, which is reported."""
        try:
            given = self._config()
            config = given.first if isinstance(given, FallbackConfig) else given
        except ValueError as error:
            self._notice(f"These settings can't be used: {error}")
            return None
        self._disable(True)
        asking = probe(str.__str__(config.url), ca_file=config.ca_file, proxy=config.proxy)
        future = asyncio.run_coroutine_threadsafe(asking, background_loop())
        future.add_done_callback(self._show)
        return future

    def _show(self, future: Future[Probe]) -> None:
        self._disable(False)
        if (error := future.exception()) is not None:
            self._notice(f"The probe failed: {explain(error)}.")
            return
        for line in str(future.result()).splitlines():
            self._notice(line)

    def _disable(self, disabled: bool) -> None:
        self._context.copy().run(setattr, self.view, "disabled", disabled)
