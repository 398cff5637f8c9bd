"""Plots for lectures and notebooks: each draws on `ax=`, or on a new figure, and returns the axes.

A cell that ends in `plot_backoff(...).figure` shows it. `chatlab.plots.style` says why figures are white, and
never pyplot's.
"""

from chatlab.plots.backoff import plot_backoff
from chatlab.plots.timeline import plot_statuses

__all__ = ["plot_backoff", "plot_statuses"]
