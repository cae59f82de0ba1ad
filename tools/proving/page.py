"""The page that a person reads and sends back, from the report's JSON."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]


def page(report: Report) -> str:
    """The report as Markdown."""
    stages = report["stages"]
    found = {stage["name"]: stage["found"] or {} for stage in stages}
    parts = [
        _heading(report, found.get("machine", {})),
        _stages(stages),
        _limits(found.get("machine", {})),
        _kernels(found.get("kernels", {})),
        _paper(found.get("paper", {})),
        _steps(found.get("step", {})),
        _graphs(found.get("graphs", {})),
        _failures(stages),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Markdown; columns of numbers are aligned to the right."""
    columns = [[cell for cell in column if cell] for column in zip(*rows, strict=True)]
    are_numbers = [all(cell[0].isdigit() or cell == "-" for cell in column) for column in columns]
    rule = ["---:" if numbers else "---" for numbers in are_numbers]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in [headings, rule, *rows]
    )


def _heading(report: Report, machine: Report) -> str:
    counts = {status: 0 for status in ("passed", "failed", "skipped")}
    for stage in report["stages"]:
        counts[stage["status"]] += 1
    device = machine.get("device", report["device"])
    rehearsal = (
        "" if report["device"] == "cuda" else "\n\n**A rehearsal on the CPU: no figure below is a GPU's.**"
    )
    facts = [
        f"* {name}: {value}" for name, value in machine.items() if name not in ("limits", "device") and value
    ]
    verdict = (
        "everything passed"
        if report["passed"]
        else f"{counts['failed']} of {len(report['stages'])} stages failed"
    )
    return (
        f"# skt-ext on {device}: {verdict}{rehearsal}\n\n"
        f"{report['date']}, {report['seconds']:.0f} s in all; {counts['passed']} stages passed, "
        f"{counts['failed']} failed, {counts['skipped']} skipped. "
        f"`report.json` has every number of this page and more.\n\n" + "\n".join(facts)
    )


def _stages(stages: list[Report]) -> str:
    rows = [
        [
            stage["name"],
            stage["title"],
            stage["status"],
            f"{stage['seconds']:.0f}",
            stage["summary"] or stage["reason"],
        ]
        for stage in stages
    ]
    return "## Stages\n\n" + table(["stage", "what it does", "result", "s", ""], rows)


def _limits(machine: Report) -> str:
    if "limits" not in machine:
        return ""
    limits = machine["limits"]
    rows = [["copy, bytes read and written", f"{limits['bandwidth'] / 1e9:,.0f} GB/s"]]
    for name, rate in limits["products"].items():
        rows.append([f"matrix product, {name}", f"{2 * rate / 1e12:,.1f} Tflop/s"])
    return "## What the card allows, measured here with torch\n\n" + table(["", "rate"], rows)


def _kernels(found: Report) -> str:
    rows = []
    for row in found.get("rows", []):
        name = [row["operator"], row["dtype"], row["implementation"]]
        if row["error"]:
            rows.append([*name, "", "", row["error"]])
            continue
        least, share = row["least_microseconds"], row["share_of_limit"]
        rows.append(
            [
                *name,
                f"{row['microseconds']:,.0f}",
                f"{least:,.0f}" if least else "-",
                f"{share:.0%}" if share else "-",
            ]
        )
    if not rows:
        return ""
    return (
        f"## Operators on the features of one image of {_size(found)}\n\n"
        "The limit is the larger of least bytes / copy rate and operations / product rate, both as measured above; "
        "half features are held against the half product. One row has all six features. On CUDA the cache is cold and "
        "launches are not counted; on the CPU it is warm, which allows more than 100 %.\n\n"
        + table(["operator", "dtype", "by", "us", "limit us", "share of the limit"], rows)
    )


def _paper(found: Report) -> str:
    rows = []
    for row in found.get("rows", []):
        name = [
            row["operator"],
            row["dtype"],
            {"eager": "eager torch", "compile": "torch.compile"}[row["peer"]],
        ]
        if row["error"]:
            rows.append([*name, "", "", "", row["error"]])
            continue
        rows.append(
            [
                *name,
                f"{row['ours_both']:.3f}",
                f"{row['peer_both']:.3f}",
                f"{row['times_faster']:.2f}x",
                f"{row['ours_peak_mib']:,.0f} / {row['peer_peak_mib']:,.0f}",
            ]
        )
    if not rows:
        return ""
    headings = ["loss", "dtype", "against", "skt_ext ms", "other ms", "faster", "peak MiB, skt_ext / other"]
    return f"## Losses, forward and backward, {_size(found)}: `skt bench --suite paper`\n\n" + table(
        headings, rows
    )


def _steps(found: Report) -> str:
    rows = []
    for row in found.get("rows", []):
        cells = [str(row["batch"])]
        released = row.get("released", {}).get("milliseconds")
        for way in ("released", "float32", "bfloat16", "float16"):
            time = row.get(way, {}).get("milliseconds")
            faster = f" ({released / time:.2f}x)" if released and time and way != "released" else ""
            cells.append(f"{time:,.1f}{faster}" if time else "-")
        peaks = [row.get(way, {}).get("peak_mib") for way in ("released", "bfloat16")]
        cells.append(" / ".join(f"{peak:,.0f}" if peak else "-" for peak in peaks))
        rows.append([*cells, row["error"] or f"{row['gradient_difference']:.0e}"])
    if not rows:
        return ""
    headings = ["batch", "released way", "ours, float32", "ours, bfloat16", "ours, float16",
                "peak MiB, released / bfloat16", "gradient differs by (float32)"]  # fmt: skip
    return (
        f"## One distillation step at {_size(found)}, milliseconds\n\n"
        "CSRNet teaches its quarter: teacher forward, student forward and backward, all losses. The released way is "
        "eager float32 torch.\n\n" + table(headings, rows)
    )


def _graphs(found: Report) -> str:
    rows = [
        [row["dtype"], *(f"{row[way]:.3f}" if way in row else "-" for way in ("eager", "graph", "compiled")),
         row["error"] or "agree"]
        for row in found.get("rows", [])
    ]  # fmt: skip
    if not rows:
        return ""
    headings = ["dtype", "called", "CUDA graph", "torch.compile, reduce-overhead", "results"]
    return f"## All losses at {_size(found)}, forward and backward, milliseconds\n\n" + table(headings, rows)


def _failures(stages: list[Report]) -> str:
    failed = [stage for stage in stages if stage["status"] == "failed"]
    if not failed:
        return ""
    texts = [f"### {stage['name']}\n\n```\n{stage['log'][-3000:].strip()}\n```" for stage in failed]
    return "## The end of what failed stages said\n\n" + "\n\n".join(texts)


def _size(found: Report) -> str:
    height, width = found["size"]
    return f"{height}x{width}"
