"""Plots for lectures and notebooks: each draws on `ax=`, or on a new figure, and returns the axes.

A cell that ends in `plot_backoff(...).figure` shows it. `chatlab.plots.style` explains why figures are white,
and don't use pyplot.
"""

from chatlab.plots.absences import plot_absences
from chatlab.plots.backoff import plot_backoff
from chatlab.plots.collapse import plot_collapse
from chatlab.plots.comparison import plot_comparison
from chatlab.plots.contention import plot_contention
from chatlab.plots.curves import plot_latency, plot_queue, plot_rates
from chatlab.plots.detection import plot_alarms, plot_detection
from chatlab.plots.fit import plot_fit
from chatlab.plots.herd import plot_refused, plot_returns
from chatlab.plots.nodes import plot_node_attempts, plot_node_connections
from chatlab.plots.polling import plot_polling
from chatlab.plots.run import plot_crowd, plot_lateness, plot_run
from chatlab.plots.sequence import plot_sequence
from chatlab.plots.sweep import plot_cost, plot_sweep
from chatlab.plots.timeline import plot_statuses
from chatlab.plots.transports import plot_transports

__all__ = [
    "plot_absences",
    "plot_alarms",
    "plot_backoff",
    "plot_collapse",
    "plot_comparison",
    "plot_contention",
    "plot_cost",
    "plot_crowd",
    "plot_detection",
    "plot_fit",
    "plot_latency",
    "plot_lateness",
    "plot_node_attempts",
    "plot_node_connections",
    "plot_polling",
    "plot_queue",
    "plot_rates",
    "plot_refused",
    "plot_returns",
    "plot_run",
    "plot_sequence",
    "plot_statuses",
    "plot_sweep",
    "plot_transports",
]
