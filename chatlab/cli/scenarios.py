"""The command `scenarios`: the ready-made ones."""

from __future__ import annotations


def scenarios() -> None:
    """List the ready-made scenarios and the question that each answers."""
    from rich.console import Console
    from rich.table import Table

    from chatlab.experiment.library import scenario_names, scenario_question

    table = Table("name", "question")
    for name in scenario_names():
        table.add_row(name, scenario_question(name))
    Console().print(table)
