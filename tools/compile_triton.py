"""Compile the Triton kernels for GPUs that need not be there, and write what the compiler says of them.

    python tools/compile_triton.py docs/results/triton_kernels.csv

A row a kernel and architecture: registers a thread, bytes of stack (registers that were spilled), shared memory. Needs
triton, which brings the assembler; no GPU. An existing table is replaced.
"""

import argparse
import csv
import importlib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from skt_ext._triton.tiles import TILE_HEIGHT, TILE_WIDTH

# The package gives the operators the names of their modules.
euclidean = importlib.import_module("skt_ext._triton.density_splat")
geodesic = importlib.import_module("skt_ext._triton.geodesic_splat")

ARCHITECTURES = (80, 90, 100, 120)


class Variant(NamedTuple):
    """A kernel with its compile-time constants, as the operators launch it."""

    name: str
    kernel: Any
    signature: dict[str, str]
    constants: dict[str, Any]
    warps: int


class Row(NamedTuple):
    kernel: str
    architecture: str
    registers: int
    stack: int
    shared: int
    triton: str


def variants() -> list[Variant]:
    """Every kernel; of those with a choice, the lightest and the heaviest."""
    measure = {
        "places": "*i32",
        "shapes": "*fp32",
        "image": "*i32",
        "roi": "*u8",
        "scales": "*fp32",
        **dict.fromkeys(("height", "width", "conserve"), "i32"),
    }
    blocks = {"BLOCK": euclidean.BLOCK, "ROWS": euclidean.ROI_ROWS, "COLUMNS": euclidean.ROI_COLUMNS}
    splat = {
        **{"places": "*i32", "shapes": "*fp32", "scales": "*fp32", "members": "*i32", "starts": "*i64"},
        "maps": "*fp32",
        **dict.fromkeys(
            ("height", "width", "stride", "rows", "columns", "tiles_down", "tiles_across"), "i32"
        ),
    }
    fill = {
        **{"people": "*i32", "steepness": "*fp32", "bases": "*i64", "windows": "*fp32", "scales": "*fp32"},
        **dict.fromkeys(("steps_down", "steps_right", "steps_main", "steps_anti"), "*fp32"),
        **dict.fromkeys(("image_height", "image_width", "conserve"), "i32"),
    }
    add = {
        **{"people": "*i32", "bases": "*i64", "windows": "*fp32", "scales": "*fp32", "members": "*i32"},
        **{"starts": "*i64", "maps": "*fp32"},
        **dict.fromkeys(("image_height", "image_width", "tiles_down", "tiles_across"), "i32"),
    }
    tile = {"TILE_HEIGHT": TILE_HEIGHT, "TILE_WIDTH": TILE_WIDTH}
    lines = {"LINE": geodesic.LINE, "BLOCK": euclidean.BLOCK}
    return [
        Variant("measure_people", euclidean.measure_people, measure, {"K": 1, "HAS_ROI": False, **blocks}, 1),
        Variant(
            "measure_people, two kernels and a region",
            euclidean.measure_people,
            measure,
            {"K": 2, "HAS_ROI": True, **blocks},
            1,
        ),
        Variant("splat_tiles", euclidean.splat_tiles, splat, tile, 4),
        Variant("fill_windows", geodesic.fill_windows, fill, lines, 1),
        Variant("add_windows", geodesic.add_windows, add, tile, 4),
    ]


def compile_all() -> Iterator[Row]:
    for variant in variants():
        for architecture in ARCHITECTURES:
            yield compile_one(variant, architecture)


def compile_one(variant: Variant, architecture: int) -> Row:
    names = variant.kernel.arg_names
    types = {name: variant.signature.get(name, "constexpr") for name in names}
    # Tensors from torch's allocator begin at multiples of 16 bytes.
    aligned = {
        (place,): [["tt.divisibility", 16]] for place, name in enumerate(names) if types[name].startswith("*")
    }
    source = ASTSource(variant.kernel, types, constexprs=variant.constants, attrs=aligned)
    target = GPUTarget("cuda", architecture, 32)
    compiled = triton.compile(source, target=target, options={"num_warps": variant.warps})
    usage = _resource_usage(compiled.asm["cubin"])
    return Row(
        variant.name,
        f"sm_{architecture}",
        usage["REG"],
        usage["STACK"] + usage["LOCAL"],
        compiled.metadata.shared,
        triton.__version__,
    )


def _resource_usage(cubin: bytes) -> dict[str, int]:
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        shown = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True)
    return {
        name: int(value)
        for name, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", shown.stdout + shown.stderr)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", type=Path, help="CSV to write")
    rows = list(compile_all())
    with parser.parse_args().table.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows(rows)
    for row in rows:
        print(*row, sep="\t")


if __name__ == "__main__":
    main()
