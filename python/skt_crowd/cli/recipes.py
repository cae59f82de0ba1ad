"""``skt recipes``: what can be trained and distilled out of the box."""

from __future__ import annotations


def recipes() -> None:
    """List the recipes that come with skt.

    Example:  `skt recipes`

    `skt train NAME` and `skt distill NAME` carry one out; the run's folder gets its recipe.yaml with every key there
    is, to change and run again.
    """
    from rich.console import Console
    from rich.table import Column, Table

    from skt_crowd.recipes.recipe_file import recipe_summaries

    table = Table(Column("recipe", no_wrap=True), "command", "what it makes")
    for name, (kind, summary) in recipe_summaries().items():
        table.add_row(name, f"skt {kind}", summary)
    Console().print(table)
