"""The errors of an evaluation as a table for people."""

from __future__ import annotations

import math

from rich.table import Column, Table

from skt_crowd.evaluation import Evaluation


def evaluation_heading(model: str, data: str, result: Evaluation) -> str:
    """What was judged, on what, and by which protocol."""
    truth = "points" if result.protocol.truth == "points" else "the sum of a density map"
    return f"{model} on {data}, protocol {result.protocol.name}, against {truth}"


def evaluation_table(result: Evaluation) -> Table:
    """One line an error, with its 95 % bootstrap interval where it has one."""
    table = Table("error", Column(justify="right"), Column("95 % interval", justify="right"))
    places = {"mae": 2, "rmse": 2, "nae": 3}
    for name, digits in places.items():
        low, high = result.intervals[name]
        value = getattr(result, name)
        shown = (f"{number:.{digits}f}" for number in (value, low, high))
        table.add_row(name.upper(), next(shown), "" if math.isnan(value) else " - ".join(shown))
    for level, error in enumerate(result.game[1:], start=1):
        table.add_row(f"GAME({level})", f"{error:.2f}", "")
    for name, unit in (("psnr", " dB"), ("ssim", "")):
        value = getattr(result, name)
        if value is not None:
            table.add_row(f"{name.upper()} on {result.map_quality}", f"{value:.3f}{unit}", "")
    return table
