"""``skt doctor``: what this machine has, what is used of it, and what would be faster."""

from __future__ import annotations


def doctor() -> None:
    """Say what is installed, compiled and used here, and what would make it faster.

    Example:  `skt doctor`

    Nothing is changed. The exit code is 0 also where advice is given: everything works without following it.
    """
    from rich.console import Console
    from rich.table import Table

    from skt_crowd.cli.machine import advice, findings

    console = Console()
    table = Table(title="skt doctor", show_header=False, title_justify="left")
    found = findings()
    for name, value in found.items():
        table.add_row(name, value)
    console.print(table)
    hints = advice()
    console.print("What would be faster:" if hints else "Nothing here would make it faster.", style="bold")
    for hint in hints:
        console.print(f"- {hint}", highlight=False, soft_wrap=True)
