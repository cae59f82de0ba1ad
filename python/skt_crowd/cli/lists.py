"""``skt recipes`` and ``skt protocols``: the choices there are."""


def protocols() -> None:
    """List the protocols that images can be counted by.

    Example:  `skt protocols`

    Counts depend on how an image is resized and cut, so results are comparable only where the protocol is the
    same. `skt evaluate` writes its name and its settings into results.json.
    """
    from rich.console import Console
    from rich.table import Column, Table

    from skt_crowd.inference import PROTOCOLS

    table = Table(Column("protocol", no_wrap=True), "what it does", "compared with")
    for protocol in PROTOCOLS.values():
        truth = "points" if protocol.truth == "points" else "sum of a map"
        table.add_row(protocol.name, protocol.summary, truth)
    Console().print(table)


def recipes() -> None:
    """List the recipes that come with skt.

    Example:  `skt recipes`

    `skt train NAME` and `skt distill NAME` run one; the run's folder gets its recipe.yaml with every key there
    is, to change and run again.
    """
    from rich.console import Console
    from rich.table import Column, Table

    from skt_crowd.recipes.recipe_file import recipe_summaries

    table = Table(Column("recipe", no_wrap=True), "command", "what it makes")
    for name, (kind, summary) in recipe_summaries().items():
        table.add_row(name, f"skt {kind}", summary)
    Console().print(table)
