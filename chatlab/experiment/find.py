"""Find the value of a setting at which bounds are just kept, or at which a metric is best, and say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from html import escape
from math import inf, isnan
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from chatlab.errors import SettingsError
from chatlab.experiment.answer.phrases import seconds
from chatlab.experiment.bounds import Bound, read_bounds
from chatlab.experiment.effect import check_effect
from chatlab.experiment.effect_rules import value_at
from chatlab.experiment.progress import progress_bar
from chatlab.experiment.scenario import Scenario
from chatlab.experiment.search import Result, Search
from chatlab.experiment.sweep import check_metrics, open_pool
from chatlab.experiment.trials import Trials, read_setting, show
from chatlab.experiment.worlds.runner import WORLDS, run
from chatlab.text import unknown_name

if TYPE_CHECKING:
    import pandas as pd


class Found(Struct, frozen=True):
    """The result of `find`: a `value` of the setting at `path`, or None if no value keeps the bounds.

    There is none either if every value keeps them, or if the result is the same at every value. `answer` says
    so in a few sentences. `toml` sets the value in a scenario's file; `scenario` has it.
    `kept` tells which of the values that were run keep all bounds. `rows` are the runs, see `runs`. A search
    that was `interrupted` has what it had found until then.
    """

    path: str
    value: Any
    answer: str
    toml: str
    scenario: Scenario | None
    kept: dict[Any, bool]
    rows: list[dict[str, Any]]
    interrupted: bool = False

    @property
    def runs(self) -> pd.DataFrame:
        """A table with a row for each run: the value, the seed and the metrics."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def __str__(self) -> str:
        return self.answer

    __repr__ = __str__  # A shell and a saved notebook show it: the runs are thousands of characters.

    def _repr_html_(self) -> str:
        code = f"<pre>{escape(self.toml)}</pre>" if self.toml else ""
        return f'<p style="max-width:45em">{escape(self.answer)}</p>{code}'


def find(
    scenario: Scenario,
    vary: str | Mapping[str, Any],
    *,
    keep: str | Bound | Iterable[str | Bound] = (),
    best: str | None = None,
    seeds: Iterable[int] = range(5),
    runs: int = 200,
    executor: Executor | Literal["processes"] | None = None,
    world: str = "model",
    progress: bool = True,
) -> Found:
    """Return the value of a setting at which bounds are just kept, or the one with the best metric.

    `vary` is a range such as "transport.reconnect.max_delay=1:60", choices such as
    "transport.reconnect.jitter=full,equal", or a mapping of the path to `(low, high)`, a list, or a
    mapping of names to settings. `keep` has bounds such as "attempts_per_second_max<=2000"; with several, all
    must be kept, with every seed. `best` names a metric; the best value keeps the bounds, too. Less is
    better, except of sent, acked and delivered messages and time_connected.

    Each value is run with the same `seeds`; there are at most `runs` runs. `executor` and `world` are those
    of `sweep`. The executor changes nothing in the result. An interrupt (Ctrl-C) ends the search once a value
    has all its runs: the result is what was found until then.

    Errors: `SettingsError` for an unknown setting or metric, for a metric without a value in this scenario,
    and if a run fails.
    """
    bounds = read_bounds(keep)
    setting = read_setting(scenario, vary)
    check_effect("vary", scenario, {setting.path: setting.values})
    if not bounds and best is None:
        raise SettingsError("keep: give a bound, such as attempts_per_second_max<=2000, or best= a metric")
    if world not in WORLDS:
        raise SettingsError(f"world: {unknown_name(world, WORLDS)}")
    check_metrics(
        [*(bound.metric for bound in bounds), *([best] if best else [])], run(Scenario(duration=1.0)).metrics
    )
    seeds = list(seeds)
    search: Search | None = None
    stopped = ""
    try:
        with open_pool(executor) as pool, progress_bar(progress) as bar:
            trials = Trials(scenario, setting, seeds, limit=runs, executor=pool, world=world, bar=bar)
            own = None if setting.choices is not None else value_at(scenario, setting.path)
            search = Search(trials, bounds, best, own if isinstance(own, int | float) else None)
            least = len(search.first())
            if runs < least * len(seeds):
                raise SettingsError(
                    f"runs: {least} values with {len(seeds)} seeds need {least * len(seeds)}, got {runs}"
                )
            result = search.search()
    except KeyboardInterrupt:
        if search is None or not search.tried():
            raise
        result = search.so_far()
        made = len(search.tried()) * len(seeds)
        stopped = f"Interrupted after {made:,} {'run' if made == 1 else 'runs'}. So far: "
    trials, found = search.trials, result.value
    return Found(
        setting.path,
        found,
        f"{stopped}{_answer(search, result)}{'' if found is None else _returns(search, found)}",
        "" if found is None else trials.toml(found),
        None if found is None else trials.scenario_with(found),
        {value: search.is_kept(value) for value in search.tried()},
        _rows(trials),
        bool(stopped),
    )


# Words


def _answer(search: Search, result: Result) -> str:
    path, where = search.setting.path, search.setting.range
    bounds = " and ".join(map(str, search.bounds))
    kept = f"{bounds} {'is' if len(search.bounds) == 1 else 'are'} kept"
    value = result.value
    match result.kind:
        case "limit":
            side, on = ("up to", "") if value < result.beyond else ("from", " on")
            beyond = _spread(search, search.worst(result.beyond).metric, result.beyond)
            return (
                f"{kept} {side} {path} = {show(value)}{on}: there {_figures(search, value)}; "
                f"at {show(result.beyond)} {beyond}."
            )
        case "islands":
            spans = [show(a) if a == b else f"{show(a)} to {show(b)}" for a, b in search.spans()]
            return (
                f"{kept} at {path} = {', '.join(spans)}, of {len(search.tried())} values from {where}: not "
                f"on one side of a limit. At {show(value)} {_figures(search, value)}."
            )
        case "choices":
            names = ", ".join(map(show, search.kept()))
            return f"{kept} with {path} = {names}; with {show(value)} {_figures(search, value)}."
        case "nowhere":
            closest = _spread(search, search.worst(result.beyond).metric, result.beyond)
            near = show(result.beyond)
            none = f"No value of {path} ({where})"
            if search.setting.choices is None:
                none = f"None of the {len(search.tried())} values tried of {path} ({where})"
            return f"{none} keeps {bounds}; the closest is {near}: {closest}."
        case "everywhere":
            ends = dict.fromkeys((search.tried()[0], search.tried()[-1]))
            figures = "; ".join(f"at {show(end)} {_figures(search, end)}" for end in ends)
            return (
                f"Each of the {len(search.tried())} values tried of {path}, from {where}, keeps {bounds}: "
                f"{figures}."
            )
        case "same":
            words = f"The result is the same at every value of {path} that was tried ({where})"
            if search.bounds:
                kept = kept if search.kept() else kept.removesuffix("kept") + "not kept"
                words += f"; {kept}: {_figures(search, search.tried()[0])}"
            return f"{words}. Vary another setting."
        case "best":
            return _best(search, value)


def _best(search: Search, value: Any) -> str:
    assert search.best is not None
    path = search.setting.path
    if median(search.numbers(search.best, value)) == inf:
        return f"{search.best} is never finite with {path} ({search.setting.range}); take another metric."
    words = f"{search.best} is best with {path} = {show(value)}: {_spread(search, search.best, value)}"
    if search.bounds:
        words += f"; there {_figures(search, value)}"
    equal = search.equals(value)
    if not equal:
        return f"{words}."
    names = ", ".join(map(show, equal))
    if search.setting.choices is None:
        names = f"values from {show(min([value, *equal]))} to {show(max([value, *equal]))}"
    return f"{words}. {_count(search)} can't tell it apart from {names}."


def _returns(search: Search, value: Any) -> str:
    """Return when people are back with a value, or that some aren't, unless a bound is about that."""
    runs = search.trials.done[value]
    named = {*(bound.metric for bound in search.bounds), search.best}
    away = max(int(run.get("unrecovered") or 0) for run in runs)
    if away and "unrecovered" not in named:
        people = "1 person isn't" if away == 1 else f"{away:,} people aren't"
        return f" There, up to {people} back by the end; keep unrecovered<=0 as well."
    last = [run.get("last_back") for run in runs]
    if away or not all(last) or "last_back" in named:
        return ""
    return f" There, the last person is back after {seconds(max(filter(None, last)))} at most."


def _count(search: Search) -> str:
    count = len(search.trials.seeds)
    return f"{count} {'seed' if count == 1 else 'seeds'}"


def _figures(search: Search, value: Any) -> str:
    metrics = dict.fromkeys(bound.metric for bound in search.bounds)
    return ", ".join(_spread(search, metric, value) for metric in metrics)


def _spread(search: Search, metric: str, value: Any) -> str:
    """Return the median over the seeds, and the least and the greatest value."""
    numbers = [number for number in search.numbers(metric, value) if not isnan(number)]
    if len(numbers) < len(search.trials.seeds):
        return f"{metric} has no value" + (" with every seed" if numbers else "")
    low, high = _number(min(numbers)), _number(max(numbers))
    spread = "" if low == high else f" ({low} – {high} over {_count(search)})"
    return f"{metric} is {_number(median(numbers))}{spread}"


def _number(value: float) -> str:
    if value == inf:
        return "never"
    return f"{value:,.0f}" if abs(value) >= 999.95 else f"{value:.4g}"


def _rows(trials: Trials) -> list[dict[str, Any]]:
    values = list(trials.done) if trials.setting.choices is not None else sorted(trials.done)
    return [
        {trials.setting.path: value, "seed": seed, **metrics}
        for value in values
        for seed, metrics in zip(trials.seeds, trials.done[value], strict=True)
    ]
