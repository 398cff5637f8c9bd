"""Explorers: each answers one question with a plot that follows its sliders."""

from chatlab.widgets.explorers.backoff import explore_backoff
from chatlab.widgets.explorers.explorer import Explorer
from chatlab.widgets.explorers.heartbeat import explore_heartbeat
from chatlab.widgets.explorers.herd import explore_herd
from chatlab.widgets.explorers.polling import explore_polling
from chatlab.widgets.explorers.transports import explore_transports

__all__ = [
    "Explorer",
    "explore_backoff",
    "explore_heartbeat",
    "explore_herd",
    "explore_polling",
    "explore_transports",
]
