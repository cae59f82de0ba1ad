"""``skt protocols``: the ways to count an image that others have published results with."""

from __future__ import annotations


def protocols() -> None:
    """List the protocols that images can be counted by.

    Example:  `skt protocols`

    Counts depend on how an image is resized and cut, so results are comparable only where the protocol is the
    same. `skt evaluate` writes its name and its settings into results.json.
    """
    from rich.console import Console
    from rich.table import Column, Table

    from skt_crowd.evaluation import PROTOCOLS

    table = Table(Column("protocol", no_wrap=True), "what it does", "compared with")
    for protocol in PROTOCOLS.values():
        truth = "points" if protocol.truth == "points" else "sum of a map"
        table.add_row(protocol.name, protocol.summary, truth)
    Console().print(table)
