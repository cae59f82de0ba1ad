"""Plant mistakes in kernels, host checks, fakes and gradients, and see who in tests/conformance finds each.

    python tools/plant_mistakes.py                    # all of them, in a copy of the checkout; minutes each
    python tools/plant_mistakes.py --only "ReLU"      # those whose name holds a text
    python tools/plant_mistakes.py --output FILE.csv

A mistake that nobody finds is a hole in the suite: the exit status is 1. Each is tried alone. The library is rebuilt
for mistakes in C++ for the CPU; the emulated builds of CUDA kernels rebuild themselves.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUITE = "tests/conformance"


@dataclass(frozen=True)
class Mistake:
    name: str
    kind: str  # "gpu kernel", "gpu host", "cpu kernel", "check", "fake", "gradient", "reference", "triton"
    operator: str
    file: str
    text: str  # its first occurrence is replaced
    replacement: str


GPU, CPU, CUDA, CHECKS, OPS = (
    "csrc/kernels/gpu",
    "csrc/kernels/cpu",
    "csrc/cuda",
    "csrc/include/skt",
    "skt_ext/ops",
)

MISTAKES = [
    # kernels for the GPU
    Mistake(
        "a barrier is missing between sums and distances", "gpu kernel", "cosine_loss", f"{GPU}/cosine_loss.h",
        "  __syncthreads();\n\n  A distance = 0;", "  A distance = 0;",
    ),
    Mistake(
        "a barrier is missing in the sum of a block", "gpu kernel", "cosine_loss", f"{GPU}/reduce.h",
        "  __syncthreads();\n  A sum = 0;", "  A sum = 0;",
    ),
    Mistake(
        "a shuffle stops half way", "gpu kernel", "cosine_loss", f"{GPU}/cosine_loss.h",
        "step >= lanes; step /= 2", "step > lanes; step /= 2",
    ),
    Mistake(
        "the last pixels of a tile are left out", "gpu kernel", "cosine_loss", f"{GPU}/cosine_loss.h",
        "const bool active = first + column < sizes.pixels;", "const bool active = first + column + 1 < sizes.pixels;",
    ),
    Mistake(
        "a tile reads beyond the image", "gpu kernel", "cosine_loss", f"{GPU}/cosine_loss.h",
        "const bool active = first + column < sizes.pixels;", "const bool active = first + column <= sizes.pixels;",
    ),
    Mistake(
        "a clamped norm gets the gradient of one that is not", "gpu kernel", "cosine_loss", f"{GPU}/cosine_formula.h",
        "norm > eps ? scale * product / student : A(0)}", "scale * product / student}",
    ),
    Mistake(
        "a zero vector has a gradient", "gpu kernel", "cosine_loss", f"{GPU}/cosine_formula.h",
        "student == A(0) ? A(0) : -scale", "-scale",
    ),
    Mistake(
        "a half is cut off instead of rounded", "gpu kernel", "cosine_loss", f"{GPU}/element.h",
        "__float2bfloat16_rn(value)", "__float2bfloat16_rz(value)",
    ),
    Mistake(
        "the last elements behind the packs are not rescaled", "gpu kernel", "rescale_", f"{GPU}/cosine_loss.h",
        "int64_t i = packs * Count + thread; i < count;", "int64_t i = packs * Count + thread; i < count - 1;",
    ),
    Mistake(
        "the last of equal maxima wins", "gpu kernel", "pool_and_pack", f"{GPU}/max_pool.h",
        "return next > best || next != next;", "return next >= best || next != next;",
    ),
    Mistake(
        "NaN loses", "gpu kernel", "pool_and_pack", f"{GPU}/max_pool.h",
        "return next > best || next != next;", "return next > best;",
    ),
    Mistake(
        "the last window takes a row too many", "gpu kernel", "pool_and_pack", f"{GPU}/max_pool.h",
        "rows = min(feature.kernel_h, feature.height - top);",
        "rows = min(feature.kernel_h, feature.height - top + 1);",
    ),
    Mistake(
        "kernel_h and kernel_w are exchanged", "gpu host", "pool_and_pack", f"{CUDA}/pool_and_pack.cu",
        "feature.kernel_h = static_cast<int>(kernel_h);", "feature.kernel_h = static_cast<int>(kernel_w);",
    ),
    Mistake(
        "the variance lacks its epsilon", "gpu kernel", "pool_and_pack", f"{GPU}/pool_and_pack.h",
        "sqrt(variance + A(1e-5))", "sqrt(variance)",
    ),
    Mistake(
        "the normalisation's gradient forgets the mean", "gpu kernel", "pool_and_pack", f"{GPU}/pool_and_pack.h",
        "to[1] = scale * total / static_cast<A>(positions);", "to[1] = 0;",
    ),
    Mistake(
        "differences are not divided by the positions", "gpu kernel", "dense_fsp_distance", f"{GPU}/dense_fsp.h",
        "const T scale = T(1) / static_cast<T>(positions);", "const T scale = T(1);",
    ),
    Mistake(
        "a buffer is read before its copies have landed", "gpu kernel", "dense_fsp_distance", f"{GPU}/tile_product.h",
        "wait_async<kStages - 2>();", "wait_async<kStages - 1>();",
    ),
    Mistake(
        "a barrier is missing between two stages of a product", "gpu kernel", "dense_fsp_distance",
        f"{GPU}/tile_product.h",
        "    __syncthreads();  // stage s has landed for every thread, and every thread is done with stage s - 1\n", "",
    ),
    Mistake(
        "a float16 backward product rounds as bfloat16", "gpu host", "dense_fsp_distance",
        f"{CUDA}/dense_fsp_distance.cu",
        'if (precision == "bfloat16") return', 'if (precision != "tf32") return',
    ),
    Mistake(
        "the bias is dropped", "gpu kernel", "embedded_distance", f"{GPU}/embedding_tile.h",
        "problem.bias != nullptr && c < problem.teacher_channels;", "false && c < problem.teacher_channels;",
    ),
    Mistake(
        "backward lets gradients through where the ReLU is closed", "gpu kernel", "embedded_distance",
        f"{GPU}/embedding_backward.h", "return problem.relu && h <= A(0);", "return problem.relu && h < A(-1);",
    ),
    Mistake(
        "the bias has no gradient beyond the first part", "gpu kernel", "embedded_distance",
        f"{GPU}/embedding_backward.h",
        "weight_column == 0 && part == 0;", "weight_column == 0 && part == 0 && blockIdx.x == 0;",
    ),
    # host code for the GPU
    Mistake(
        "packs are taken at any address", "gpu host", "cosine_loss", f"{CUDA}/cosine_layout.h",
        "address % alignof(gpu::Pack<Element, Count>) == 0 && image", "image",
    ),
    Mistake(
        "packs are taken at any stride", "gpu host", "cosine_loss", f"{CUDA}/cosine_layout.h",
        "image % Count == 0 && other % Count == 0;", "image % Count == 0;",
    ),
    Mistake(
        "an offset overflows 32 bits", "gpu kernel", "cosine_loss", f"{GPU}/cosine_loss.h",
        "const S* from_s = student + n * s.image + p * s.pixel;",
        "const S* from_s = student + static_cast<int16_t>(n * s.image + p * s.pixel);",
    ),
    # kernels for the CPU
    Mistake(
        "every fourth channel is left out", "cpu kernel", "cosine_loss", f"{CPU}/cosine_loops.cpp",
        "(s2[i] * t2[i] + s3[i] * t3[i])", "(s2[i] * t2[i])",
    ),
    Mistake(
        "the last channels behind the steps are left out", "cpu kernel", "cosine_loss", f"{CPU}/cosine_loss.h",
        "  for (; c < problem.channels; ++c) {", "  for (; c + 1 < problem.channels; ++c) {",
    ),
    Mistake(
        "ties go to the last maximum", "cpu kernel", "pool_and_pack", f"{CPU}/max_pool.cpp",
        "(value == best) & (offset < winner)", "(value == best) & (offset > winner)",
    ),
    Mistake(
        "differences are not divided by the positions, on the CPU", "cpu kernel", "dense_fsp_distance",
        f"{CPU}/dense_fsp.cpp", "T(1) / static_cast<T>(positions)", "T(1)",
    ),
    Mistake(
        "a kernel reaches a pixel less far", "cpu kernel", "density_splat", "csrc/cpu/crowd.h",
        "std::floor(truncate * sigma + 0.5)", "std::floor(truncate * sigma)",
    ),
    Mistake(
        "paths cut corners", "cpu kernel", "geodesic", f"{CPU}/step_costs.cpp",
        "roi[from] && roi[to] && roi[beside] && roi[below]", "roi[from] && roi[to]",
    ),
    Mistake(
        "a cut kernel is normalised as a whole one", "cpu kernel", "density_splat", f"{CPU}/density_splat.cpp",
        "on_map = with_whole ? sum_in_double(weights, last - first) : whole;", "on_map = whole;",
    ),
    # checks
    Mistake(
        "a teacher of another shape is accepted", "check", "cosine_loss", f"{CHECKS}/cosine_loss_checks.h",
        'check.shape("teacher", teacher, shape_of(student), "(N, C, H, W) of student");', "",
    ),
    Mistake(
        "statistics of another dtype are accepted", "check", "embedded_distance",
        f"{CHECKS}/embedded_distance_checks.h",
        'check.dtype("statistics", statistics, {accumulator});', "",
    ),
    Mistake(
        "a bias of another length is accepted", "check", "embedded_distance", f"{CHECKS}/embedded_distance_checks.h",
        'check.shape("bias", *bias, {sizes.teacher_channels}, "(Ct,)");', "",
    ),
    Mistake(
        "tensors on another device are accepted", "check", "dense_fsp_distance", f"{CHECKS}/check.h",
        "require(tensor.device() == other.device(), name,", "require(true, name,",
    ),
    # fakes, gradients, registrations
    Mistake(
        "a fake has the wrong dtype", "fake", "cosine_loss", f"{OPS}/cosine_loss.py",
        "loss = student.new_empty(shape, dtype=accumulation_dtype(student, teacher))",
        "loss = student.new_empty(shape)",
    ),
    Mistake(
        "a fake is always contiguous", "fake", "cosine_loss", f"{OPS}/cosine_loss.py",
        "return loss, torch.empty_like(student, dtype=dtype, memory_format=memory_format_of(student))",
        "return loss, torch.empty_like(student, dtype=dtype, memory_format=torch.contiguous_format)",
    ),
    Mistake(
        "a fake rounds sizes down", "fake", "embedded_distance", f"{OPS}/embedded_distance.py",
        "-(-height // kernel_h)", "height // kernel_h",
    ),
    Mistake(
        "a gradient for the teacher is accepted", "gradient", "dense_fsp_distance", f"{OPS}/dense_fsp_distance.py",
        'gradient, fixed=("teacher",))', "gradient)",
    ),
    Mistake(
        "a gradient is not rescaled", "gradient", "cosine_loss", f"{OPS}/cosine_loss.py",
        "torch.ops.skt_ext.rescale_(made, grad, ctx.scale)", "pass",
    ),
    Mistake(
        "a kept graph is rescaled in place", "gradient", "cosine_loss", f"{OPS}/cosine_loss.py",
        "torch._C._autograd._get_current_graph_task_keep_graph()", "False",
    ),
    Mistake(
        "a second derivative is silently zero", "gradient", "dense_fsp_distance", f"{OPS}/_operator.py",
        "        refuse_second_derivative(name)\n\n    return gradient", "        return None\n\n    return gradient",
    ),
    Mistake(
        "the reference clamps the squared norm", "reference", "cosine_loss", f"{OPS}/cosine_loss.py",
        "torch.where(student_length > eps, dot", "torch.where(student_length > 0, dot",
    ),
    # Triton
    Mistake(
        "the region of the first image is that of all", "triton", "density_splat", "skt_ext/_triton/density_splat.py",
        "tl.load(image + person).to(tl.int64) * height", "0 * height",
    ),
]  # fmt: skip


def stages(mistake: Mistake) -> Iterator[tuple[str, list[str]]]:
    """Who is asked, in turn: a backend, and pytest's arguments."""
    which = ["-k", mistake.operator]
    if mistake.kind.startswith("gpu") or mistake.kind == "check":
        yield "emulated CUDA", [f"{SUITE}/test_emulated.py::TestEmulated", *which]
    if mistake.kind.startswith("gpu"):
        yield "race checker", [f"{SUITE}/test_emulated.py::TestRaces", *which]
        yield "sanitizers", [f"{SUITE}/test_sanitized.py"]
    if mistake.kind in ("cpu kernel", "check"):
        yield "native CPU", [f"{SUITE}/test_native.py", *which]
    if mistake.kind in ("fake", "gradient", "reference"):
        yield "registration", [f"{SUITE}/test_registration.py", *which]
        yield "reference", [f"{SUITE}/test_reference.py", *which]
        yield "native CPU", [f"{SUITE}/test_native.py", *which]
        yield "compiled", [f"{SUITE}/test_compiled.py", *which]
    if mistake.kind == "triton":
        yield "Triton", [f"{SUITE}/test_triton.py", *which]


@contextmanager
def planted(tree: Path, mistake: Mistake) -> Iterator[None]:
    path = tree / mistake.file
    before = path.read_text()
    if mistake.text not in before:
        raise SystemExit(f"{mistake.file} does not hold {mistake.text!r} any more: mend '{mistake.name}'")
    path.write_text(before.replace(mistake.text, mistake.replacement, 1))
    try:
        yield
    finally:
        path.write_text(before)


def build(tree: Path) -> None:
    """The library of a tree, in the tree."""
    folder = tree / "build" / "planted"
    options = ["-GNinja", "-DCMAKE_BUILD_TYPE=Release", f"-DSKT_PYTHON={sys.executable}", "-DSKT_CUDA=OFF"]
    subprocess.run(["cmake", f"-S{tree}", f"-B{folder}", *options], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", str(folder)], check=True, capture_output=True)
    fresh = tree / "skt_ext" / "_C.new"
    shutil.copyfile(folder / "_C.so", fresh)
    fresh.replace(tree / "skt_ext" / "_C.so")


def first_failure(tree: Path, arguments: list[str]) -> str | None:
    """The first test that fails; None where all pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", *arguments]
    done = subprocess.run(
        command, cwd=tree, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    if done.returncode in (0, 5):
        return None
    named = re.search(r"^(?:FAILED|ERROR) \S+?::(.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    return named[1] if named else f"the process died with {done.returncode}"


def found_by(tree: Path, mistake: Mistake) -> tuple[str, str]:
    """The backend and the test that find a mistake; empty where none does."""
    with planted(tree, mistake):
        if mistake.kind in ("cpu kernel", "check"):
            build(tree)
        for backend, arguments in stages(mistake):
            if test := first_failure(tree, arguments):
                return backend, test
    return "", ""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="mistakes whose name holds this text")
    parser.add_argument("--output", type=Path, help="a CSV file for the table")
    parser.add_argument("--tree", type=Path, help="a copy of the checkout to work in (default: a fresh one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tree = options.tree or Path(folder) / "tree"
        if options.tree is None:
            ignored = shutil.ignore_patterns(".git", ".venv", "build", "runs", "__pycache__", ".pytest_cache")
            shutil.copytree(ROOT, tree, ignore=ignored)
        build(tree)
        rows = []
        for mistake in MISTAKES:
            if options.only in mistake.name:
                backend, test = found_by(tree, mistake)
                rows.append([mistake.name, mistake.kind, mistake.operator, backend or "nobody", test])
                print(*rows[-1], sep=" | ", flush=True)
                if mistake.kind in ("cpu kernel", "check"):
                    build(tree)
    if options.output:
        with options.output.open("w", newline="") as file:
            csv.writer(file).writerows([["mistake", "kind", "operator", "backend", "test"], *rows])
    return int(any(row[3] == "nobody" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
