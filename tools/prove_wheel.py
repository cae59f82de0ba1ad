"""Prove one wheel under several interpreters and torch versions.

    python tools/prove_wheel.py INTERPRETER [INTERPRETER ...] [--wheel dist/skt_ext-....whl]

Each interpreter needs pip, numpy and a torch of its own. The same file is installed for each into a fresh folder,
without dependencies; there every operator of the native library is computed and compared with a formula. Without
--wheel, one is built first by the interpreter that runs this script. Exits with 1 if the wheel fails under any.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def build(folder: Path) -> Path:
    """Build the wheel of this source tree."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
    ]
    subprocess.run([*command, str(ROOT)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def prove(interpreter: str, wheel: Path) -> bool:
    """Install the wheel for one interpreter and run `check` there."""
    with tempfile.TemporaryDirectory() as folder:
        install = [
            interpreter,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--target",
            folder,
        ]
        # -P: the tree this script lies in must not hide what was installed.
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONSAFEPATH": "1"}
        for command in (
            [*install, str(wheel)],
            [interpreter, str(Path(__file__).resolve()), "--check", folder],
        ):
            if subprocess.run(command, cwd=folder, env=environment, check=False).returncode != 0:
                print(f"FAILED under {interpreter}: {' '.join(command)}")
                return False
    return True


def check(folder: Path) -> None:
    """Compute every operator with the library installed in `folder`; prints one line of JSON."""
    import torch
    import torch.nn.functional as F

    library = folder / "skt_ext" / "_C.so"
    torch.ops.load_library(str(library))
    ops = torch.ops.skt_ext
    errors = {}

    def compare(name: str, result: torch.Tensor, expected: torch.Tensor) -> None:
        errors[name] = (result.double() - expected.double()).abs().max().item()
        if not errors[name] < 1e-5:
            raise SystemExit(f"{name}: error {errors[name]}")

    torch.manual_seed(0)
    student, teacher = torch.randn(2, 17, 9, 7, requires_grad=True), torch.randn(2, 17, 9, 7)
    expected = 1 - F.cosine_similarity(student, teacher, dim=1)
    distance, statistics = ops.cosine_distance(student.detach(), teacher, 1e-8)
    compare("cosine_distance", distance, expected.detach())
    (gradient,) = torch.autograd.grad(expected.sum(), student)
    grad = torch.ones_like(distance)
    compare(
        "cosine_distance_backward",
        ops.cosine_distance_backward(grad, student.detach(), teacher, statistics, 1e-8),
        gradient,
    )

    pooled = F.max_pool2d(student, 2, ceil_mode=True)
    output, argmax = ops.max_pool_resize(student.detach(), 2, 2)
    compare("max_pool_resize", output, pooled.detach())
    (gradient,) = torch.autograd.grad(pooled.sum(), student)
    compare(
        "max_pool_resize_backward",
        ops.max_pool_resize_backward(torch.ones_like(output), argmax, 2, 2, 9, 7),
        gradient,
    )

    s, t = student.flatten(2), teacher.flatten(2)
    pair = (t[:, :5] @ t[:, 5:].mT - s[:, :5] @ s[:, 5:].mT) / 63
    expected = pair.square().sum((1, 2))
    distance, difference = ops.dense_fsp_distance(s.detach(), t, [5, 12], False, "float32")
    compare("dense_fsp_distance", distance, expected.detach())
    (gradient,) = torch.autograd.grad(expected.sum(), student)
    backward = ops.dense_fsp_distance_backward(
        torch.ones(2), s.detach(), difference, [5, 12], False, "float32"
    )
    compare("dense_fsp_distance_backward", backward.view_as(student), gradient)

    points, sigma = torch.tensor([[3.5, 4.5]], dtype=torch.float64), torch.tensor([1.5], dtype=torch.float64)
    square = (torch.arange(12, dtype=torch.float64)[:, None] - torch.tensor([4.0, 3.0])) ** 2
    window = torch.exp(-square / 4.5) * (square <= 36)  # (12, 2): weights of rows and of columns
    expected = torch.outer(window[:, 0], window[:, 1])
    density = ops.density_splat(points, sigma, 12, 12, 4.0, True, None)
    compare("density_splat", density, expected / expected.sum())

    print(
        json.dumps(
            {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "library": json.loads(ops.build_info()),
                "largest_error": max(errors.values()),
                "operators": sorted(errors),
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("interpreters", nargs="*", metavar="INTERPRETER")
    parser.add_argument("--wheel", type=Path, help="an existing wheel (default: build one)")
    parser.add_argument("--check", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.check is not None:
        check(arguments.check)
        return
    if not arguments.interpreters:
        parser.error("name at least one interpreter")
    with tempfile.TemporaryDirectory() as folder:
        wheel = arguments.wheel.resolve() if arguments.wheel else build(Path(folder))
        print(f"proving {wheel.name}, {wheel.stat().st_size} bytes", flush=True)
        results = [prove(interpreter, wheel) for interpreter in arguments.interpreters]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
