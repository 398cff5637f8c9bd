"""The HTML view of a run, which a notebook shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import islice
from math import inf

from chatlab.experiment.percentiles import Value, describe_never
from chatlab.text import visible_line

_SHOWN_GROUPS = 20
"""Number of groups that the HTML view shows."""
_HIGHLIGHTS = {
    "Messages": ("sent", "acked", "delivered", "lost", "duplicated", "out_of_order"),
    "Outbox": ("dropped", "expired", "failed", "pending"),
    "Latency (s)": ("latency_p50", "latency_p95", "latency_p99", "owed", "undelivered", "in_flight"),
    "Recovery (s)": ("recovery_p50", "recovery_p99", "broken", "unrecovered", "never_connected"),
    "Attempts": (
        "attempts",
        "attempts_per_second_max",
        "attempts_per_second_max_after",
        "queue_max",
        "queue_max_after",
    ),
    "Needs": ("needs_queue_max", "needs_refused", "needs_timed_out"),
    "Traffic": ("requests", "requests_per_second_max", "bytes_up", "bytes_down"),
}


def run_html(
    name: str,
    caption: str,
    answer: str,
    metrics: Mapping[str, Value],
    groups: Mapping[str, Mapping[str, Value]],
) -> str:
    """Return the view of a run: its name, its answer, and tables of metrics and groups."""
    rows = "".join(_row(title, metrics, names) for title, names in _HIGHLIGHTS.items())
    return (
        f'<p style="max-width:45em">{escape(answer)}</p>'
        '<table style="font-size:var(--jp-ui-font-size1,13px)">'
        f'<caption style="caption-side:top;text-align:left"><b>{escape(name or "run")}</b> '
        f'<span style="opacity:.7">{escape(caption)}</span>'
        "</caption>"
        f"<tbody>{rows}</tbody></table>{_group_table(groups)}"
    )


def _row(title: str, metrics: Mapping[str, Value], names: Sequence[str]) -> str:
    """Return one row of the HTML view: a heading, and metrics under small labels."""
    prefix = title.split()[0].lower() + "_"
    cells = "".join(
        '<td style="text-align:right"><span style="opacity:.7;font-size:85%">'
        f"{name.removeprefix(prefix).replace('_', ' ')}</span><br>{format_metric(name, metrics)}</td>"
        for name in names
        if name in metrics
    )
    return f'<tr><th scope="row" style="text-align:left">{title}</th>{cells}</tr>'


def _group_table(groups: Mapping[str, Mapping[str, Value]]) -> str:
    """Return the HTML table of the groups, at most `_SHOWN_GROUPS` of them; "" if there are none."""
    if not groups:
        return ""
    names = [name for name in next(iter(groups.values())) if name not in ("owed", "undelivered")]
    head = "".join(f'<th scope="col">{name.replace("_", " ")}</th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">{escape(visible_line(group))}</th>'
        + "".join(f"<td>{format_metric(name, metrics)}</td>" for name in names)
        + "</tr>"
        for group, metrics in islice(groups.items(), _SHOWN_GROUPS)
    )
    more = len(groups) - _SHOWN_GROUPS
    rest = f'<tr><td colspan="{len(names) + 1}">… and {more:,} more</td></tr>' if more > 0 else ""
    return (
        '<table style="font-size:var(--jp-ui-font-size1,13px);text-align:right">'
        f'<thead><tr><th scope="col" style="text-align:left">group</th>{head}</tr></thead>'
        f"<tbody>{rows}{rest}</tbody></table>"
    )


def format_metric(name: str, metrics: Mapping[str, Value]) -> str:
    """Return a metric in three digits, or the words for none and never."""
    value = metrics.get(name)
    if value is None:
        return "–"
    if value == inf:
        return describe_never(name, metrics)
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    )
