"""Plots for lectures and notebooks: each draws on `ax=`, or on a new figure, and returns the axes.

A cell that ends in `plot_backoff(...).figure` shows it. `chatlab.plots.style` says why figures are white, and
never pyplot's.
"""

from chatlab.plots.backoff import plot_backoff
from chatlab.plots.contention import plot_contention
from chatlab.plots.curves import plot_latency, plot_queue, plot_rates
from chatlab.plots.sequence import plot_sequence
from chatlab.plots.sweep import plot_cost, plot_sweep
from chatlab.plots.timeline import plot_statuses

__all__ = [
    "plot_backoff",
    "plot_contention",
    "plot_cost",
    "plot_latency",
    "plot_queue",
    "plot_rates",
    "plot_sequence",
    "plot_statuses",
    "plot_sweep",
]
