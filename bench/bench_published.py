"""Published figures beside simulated ones: a measurement of correctness, not of speed."""

from collections.abc import Iterable, Sequence

import numpy as np

from chatlab.studies.contention import compare_formulas
from chatlab.studies.published_herds import OUTAGES, RUSHES, outage, rush
from chatlab.studies.retry_storm import compare_policies
from chatlab.studies.showcases import SHOWCASES, Shown, show

PAGE = "simulator.md"
PEOPLE_OUTAGE, PEOPLE_RUSH, REPETITIONS, SEEDS = 10_000, 5_000, 50, 10


def main() -> str:
    """Run all published experiments, and return the tables with both figures."""
    return f"{_showcases()}\n\n{_outages()}\n\n{_rushes()}\n\n{_collapse()}\n\n{_contention()}"


_SAID = {
    "attempts": ("connections", "{:.0f}"),
    "lost": ("lost", "{:.0f}"),
    "lost_share": ("lost", "{:.1%}"),
    "shown": ("times shown", "{:.1f}"),
    "out_of_order": ("out of order", "{:.1f}"),
    "disconnected": ("away at the end", "{:.0f}"),
}


def _showcases() -> str:
    rows = []
    for name, showcase in SHOWCASES.items():
        there = [show(name, seed) for seed in range(SEEDS)]
        ours = [show(name, seed, ours=True) for seed in range(SEEDS)]
        for field in showcase.measured or ["disconnected"]:
            what, spelt = _SAID[field]
            measured = spelt.format(showcase.measured[field]) if field in showcase.measured else "–"
            pair = _pair((spelt.format(_mean(there, field)), measured))
            rows.append([showcase.question, what, pair, spelt.format(_mean(ours, field))])
    return (
        "### The seed as written\n\n"
        f"Means of {SEEDS} runs of the seed's snippets as written, beside measurements of the snippets "
        "themselves, and our transports in the same scenario.\n\n"
        + _table(["scenario", "figure", "as written", "ours"], rows)
        + "\n\nThe spacing of the threes and the delay of the answers aren't known: `showcases.py` states "
        "the assumptions.\nThere only the order of magnitude agrees."
    )


def _mean(found: Sequence[Shown], field: str) -> float:
    return float(np.mean([getattr(shown, field) for shown in found]))


def _collapse() -> str:
    rows = [
        [
            str(row["policy"]),
            _pair((f"{row['goodput']:.1f}", f"{row['published']:g}")) + f" (± {row['goodput_se']:.1f})",
            f"{row['stuck']:.0%}",
        ]
        for row in compare_policies(repetitions=REPETITIONS).to_dict("records")
    ]
    return (
        "### A retry storm that stays\n\n"
        "40 clients a second, and 80 for five seconds, use a server that is slower the more it has to do.\n"
        "They wait 3 s and try three times.\nThe table has good answers a second, 35 to 50 s after the "
        f"spike, with the standard error of the mean of {REPETITIONS} runs.\nThe published figures are a "
        "mean of 10, by M. Brooker's `simple_collapse_sim`.\n\n"
        + _table(["policy", "good answers a second", "never recovered"], rows)
        + "\n\nWithout backoff a run recovers in full or not at all; the published mean is that of two good "
        "runs in ten."
    )


def _outages() -> str:
    rows = []
    for name, published in OUTAGES.items():
        found = outage(name, PEOPLE_OUTAGE)
        pairs = (
            (f"{100 * found.busiest:.1f}", f"{100 * published.busiest:.1f}"),
            (f"{found.median:.2f}", f"{published.median:g}"),
            (f"{found.p99:.2f}", f"{published.p99:g}"),
            (f"{found.attempts:.1f}", f"{published.attempts:g}"),
        )
        rows.append([name, *map(_pair, pairs)])
    return (
        "### A server is gone for a minute\n\n"
        f"{PEOPLE_OUTAGE:,} people lose it at once, and nobody gives up.\nEach cell has the simulated "
        "figure, by the real machines, and the published one, by the bare formulas.\n\n"
        + _table(
            ["policy", "most back in 0.1 s (%)", "median return (s)", "99 % back (s)", "attempts each"], rows
        )
        + "\n\npartysocket's ten attempts are nine by its own delays: 3 + 3.9 + … + 10 = 67.1 s."
    )


def _rushes() -> str:
    rows = []
    for name, published in RUSHES.items():
        found = rush(name, PEOPLE_RUSH)
        pairs = (
            (f"{found.attempts:.2f}", f"{published.attempts:g}"),
            (f"{100 * found.gave_up:.0f}", f"{100 * published.gave_up:.0f}"),
            (f"{found.last:.0f}", f"{published.last:.0f}"),
        )
        rows.append([name, *map(_pair, pairs)])
    return (
        "### A herd at a low accept rate\n\n"
        "Everybody loses a server that accepts 4 % of them a second, with a backlog of 1 %: "
        f"{PEOPLE_RUSH:,} people here, 50,000 published.\n\n"
        + _table(["policy", "attempts each", "gave up (%)", "last one back (s)"], rows)
        + "\n\nIf clients come in waves, a few random numbers decide whether one more wave is needed.\nWith "
        "50,000 people, the last one under the proportional formula is back after 161 s here, too."
    )


def _contention() -> str:
    table = compare_formulas((10, 50, 100, 190), repetitions=REPETITIONS)
    rows = [
        [
            str(row["clients"]),
            str(row["formula"]),
            _pair((f"{1000 * row['seconds']:,.0f}", f"{1000 * row['published_seconds']:,.0f}")),
            _pair((f"{row['writes']:,.1f}", f"{row['published_writes']:,.1f}")),
        ]
        for row in table.to_dict("records")
    ]
    return (
        "### Clients that contend for one row\n\n"
        "Each reads it, and writes it unless another client has done so since.\nThe figures are means of "
        f"{REPETITIONS} runs here, and of 200 runs of the simulator that the AWS Architecture Blog published "
        "with “Exponential Backoff And Jitter”.\n\n"
        + _table(["clients", "formula", "all done (ms)", "writes"], rows)
    )


def _pair(figures: tuple[str, str]) -> str:
    found, published = figures
    return f"**{found}** / {published}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
