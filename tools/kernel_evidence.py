"""What nvcc made of every GPU kernel of the built library: registers, spills, shared memory, occupancy, wide accesses.

    python tools/kernel_evidence.py                      # a table of skt_ext/_C.so
    python tools/kernel_evidence.py --check              # against csrc/kernel_budget.csv; exit status 1 on a regression
    python tools/kernel_evidence.py --update             # write csrc/kernel_budget.csv

No GPU is needed: cuobjdump, which comes with Triton (with torch, that is), reads the machine code. Occupancy is
computed from the limits that NVIDIA publishes ("Technical specifications per compute capability", CUDA C++ Programming
Guide), for the threads of a kernel's __launch_bounds__ and its static shared memory; dynamic shared memory is the
launch's choice.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "skt_ext" / "_C.so"
BUDGET = ROOT / "csrc" / "kernel_budget.csv"
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")


@dataclass(frozen=True)
class Multiprocessor:
    """What the blocks on one multiprocessor share."""

    threads: int
    blocks: int
    shared: int  # bytes
    registers: int = 65536
    reserved: int = 1024  # bytes of shared memory that each block has besides its own
    grain: int = 128  # shared memory comes in multiples of


MULTIPROCESSORS = {
    "sm_75": Multiprocessor(1024, 16, 64 << 10, reserved=0, grain=256),
    "sm_80": Multiprocessor(2048, 32, 164 << 10),
    "sm_86": Multiprocessor(1536, 16, 100 << 10),
    "sm_89": Multiprocessor(1536, 24, 100 << 10),
    "sm_90": Multiprocessor(2048, 32, 228 << 10),
    "sm_100": Multiprocessor(2048, 32, 228 << 10),
    "sm_120": Multiprocessor(1536, 24, 100 << 10),
}
# cuobjdump counts the reserved bytes as a kernel's own on these.
RESERVED_IS_COUNTED = ("sm_90", "sm_100", "sm_120")


@dataclass
class Compiled:
    """One kernel for one architecture."""

    kernel: str
    architecture: str
    registers: int
    stack: int  # bytes of local memory a thread
    shared: int  # static, bytes
    threads: int = 0  # of __launch_bounds__; 0 without
    loads_16: int = 0  # instructions that load 16 bytes from global memory
    stores_16: int = 0
    spills: int = 0  # instructions that touch local memory

    def blocks(self, dynamic_shared: int = 0) -> int:
        """That one multiprocessor can hold."""
        chip = MULTIPROCESSORS[self.architecture]
        warps = -(-self.threads // 32)
        registers_of_warp = -(-self.registers * 32 // 256) * 256
        shared = -(-(self.shared + dynamic_shared + chip.reserved) // chip.grain) * chip.grain
        limits = [chip.blocks, chip.threads // (warps * 32), chip.registers // (registers_of_warp * warps)]
        return min([*limits, chip.shared // shared] if shared else limits)

    def occupancy(self, dynamic_shared: int = 0) -> float:
        """Threads that can be resident, of the most that a multiprocessor takes."""
        return self.blocks(dynamic_shared) * self.threads / MULTIPROCESSORS[self.architecture].threads


def cuobjdump() -> str | None:
    """Path of Triton's (it sits beside its ptxas), or of the CUDA toolkit's."""
    triton = importlib.util.find_spec("triton")
    if triton is not None and triton.origin is not None:
        program = Path(triton.origin).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
        if program.exists():
            return str(program)
    return shutil.which("cuobjdump")


def program_or_exit() -> str:
    program = cuobjdump()
    if program is None:
        raise SystemExit("no cuobjdump: neither triton nor a CUDA toolkit is installed")
    return program


def lines_of(*command: str) -> Iterator[str]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield from process.stdout
    if process.returncode:  # not reached by who stops reading early
        raise SystemExit(f"{' '.join(command)} failed")


def readable(symbols: list[str]) -> dict[str, str]:
    """Names such as ``cosine::loss_by_pixels<float, __half, 4>``."""
    program = shutil.which("c++filt")
    if program is None:
        raise SystemExit("c++filt (binutils) is needed to name the kernels")
    demangled = subprocess.run(
        [program], input="\n".join(symbols), capture_output=True, text=True, check=True
    )
    names = {}
    for symbol, text in zip(symbols, demangled.stdout.splitlines(), strict=True):
        depth, end = 0, len(text)
        for i, character in enumerate(text):
            depth += {"<": 1, ">": -1}.get(character, 0)
            if character == "(" and depth == 0 and not text.startswith("(anonymous", i):
                end = i
                break
        name = re.sub(r"^void |skt::gpu::|\(anonymous namespace\)::|skt::", "", text[:end])
        names[symbol] = (
            re.sub(r"\((?:int|bool|long)\)", "", name)
            .replace("__nv_bfloat16", "bfloat16")
            .replace("__half", "half")
        )
    return names


def read(library: Path) -> list[Compiled]:
    """Every kernel of a library, for every architecture that it holds machine code of."""
    program = program_or_exit()
    found: dict[tuple[str, str], Compiled] = {}
    architecture = symbol = ""
    for line in lines_of(program, "-res-usage", str(library)):
        if match := re.match(r"arch = (sm_\w+)", line):
            architecture = match[1]
        elif match := re.match(r" Function (\S+):$", line):
            symbol = match[1]
        elif match := re.match(r"\s+REG:(\d+) STACK:(\d+) SHARED:(\d+)", line):
            registers, stack, shared = map(int, match.groups())
            shared -= 1024 if architecture in RESERVED_IS_COUNTED else 0
            found[architecture, symbol] = Compiled(symbol, architecture, registers, stack, shared)
    previous = ""
    for line in lines_of(program, "-elf", str(library)):
        if match := re.match(r"arch = (sm_\w+)", line):
            architecture = match[1]
        elif match := re.match(r"\.nv\.info\.(\S+)", line):
            symbol = match[1]
        elif "EIATTR_MAX_THREADS" in previous and (
            match := re.match(r"\s+Value:\s+0x(\w+) 0x(\w+) 0x(\w+)", line)
        ):
            x, y, z = (int(number, 16) for number in match.groups())
            found[architecture, symbol].threads = x * y * z
        if "Format:" not in line:
            previous = line
    for line in lines_of(program, "-sass", str(library)):
        if match := re.match(r"arch = (sm_\w+)", line):
            architecture = match[1]
        elif match := re.match(r"\s+Function : (\S+)", line):
            symbol = match[1]
        elif match := re.search(r"\b(LDG|STG|LDL|STL)(\.[A-Z0-9.]+)?\s", line):
            kernel = found[architecture, symbol]
            wide = "128" in (match[2] or "")
            kernel.loads_16 += match[1] == "LDG" and wide
            kernel.stores_16 += match[1] == "STG" and wide
            kernel.spills += match[1] in ("LDL", "STL")
    names = readable(sorted({symbol for _, symbol in found}))
    for kernel in found.values():
        kernel.kernel = names[kernel.kernel]
    return sorted(found.values(), key=lambda k: (k.kernel, ARCHITECTURES.index(k.architecture)))


def toolkit_of(library: Path) -> str:
    """The CUDA toolkit that made the machine code, "13.0": another one allots registers in its own way."""
    for line in lines_of(program_or_exit(), "-elf", str(library)):
        if match := re.search(r"toolkit=([0-9.]+)", line):
            return match[1]
    raise SystemExit(f"{library} holds no machine code for a GPU")


def toolkit_of_budget(path: Path) -> str:
    with path.open() as file:
        return next(file).removeprefix("# CUDA").strip()


def spills(kernels: list[Compiled]) -> list[str]:
    return [
        f"{k.kernel} on {k.architecture}: {k.stack} bytes of stack, {k.spills} instructions on local memory"
        for k in kernels
        if k.stack or k.spills
    ]


def write_budget(kernels: list[Compiled], path: Path, toolkit: str) -> None:
    by_name: dict[str, dict[str, Compiled]] = {}
    for kernel in kernels:
        by_name.setdefault(kernel.kernel, {})[kernel.architecture] = kernel
    with path.open("w", newline="") as file:
        file.write(f"# CUDA {toolkit}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["kernel", "threads", "static_shared", "loads_16", "stores_16", *ARCHITECTURES])
        for name, row in by_name.items():
            every = row.values()
            writer.writerow(
                [
                    name,
                    max(k.threads for k in every),
                    max(k.shared for k in every),
                    min(k.loads_16 for k in every),
                    min(k.stores_16 for k in every),
                    *(row[a].registers if a in row else "" for a in ARCHITECTURES),
                ]
            )


def regressions(kernels: list[Compiled], path: Path) -> list[str]:
    """Where a kernel needs more than the budget allows: more registers or shared memory, fewer wide accesses."""
    with path.open(newline="") as file:
        next(file)  # the CUDA toolkit
        budget = {row["kernel"]: row for row in csv.DictReader(file)}
    found = []
    for k in kernels:
        where = f"{k.kernel} on {k.architecture}"
        row = budget.get(k.kernel)
        if row is None:
            found.append(f"{where}: not in {path.name}")
            continue
        allowed = row[k.architecture]
        if allowed and k.registers > int(allowed):
            found.append(f"{where}: {k.registers} registers, the budget has {allowed}")
        if k.shared > int(row["static_shared"]):
            found.append(
                f"{where}: {k.shared} bytes of static shared memory, the budget has {row['static_shared']}"
            )
        for what, name, count in (("loads", "loads_16", k.loads_16), ("stores", "stores_16", k.stores_16)):
            if count < int(row[name]):
                found.append(f"{where}: {count} {what} of 16 bytes, the budget has {row[name]}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("library", nargs="?", type=Path, default=LIBRARY, help="default: skt_ext/_C.so")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="compare with csrc/kernel_budget.csv")
    action.add_argument("--update", action="store_true", help="write csrc/kernel_budget.csv")
    action.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument(
        "--dynamic-shared", type=int, default=0, metavar="BYTES", help="of a launch, for the occupancy"
    )
    options = parser.parse_args()
    kernels = read(options.library)
    if options.update:
        if missing := set(ARCHITECTURES) - {k.architecture for k in kernels}:
            raise SystemExit(f"the library holds no machine code for {', '.join(sorted(missing))}")
        write_budget(kernels, BUDGET, toolkit_of(options.library))
    if options.json:
        print(json.dumps([vars(k) for k in kernels], indent=1))
    elif options.check or options.update:
        wrong = spills(kernels)
        if options.check and toolkit_of_budget(BUDGET) == toolkit_of(options.library):
            wrong += regressions(kernels, BUDGET)
        print("\n".join(wrong) or f"{len(kernels)} compiled kernels, no spills, within the budget")
        sys.exit(bool(wrong))
    else:
        columns = (
            "kernel",
            "for",
            "registers",
            "stack",
            "shared",
            "threads",
            "occupancy",
            "16-byte loads",
            "stores",
        )
        print("{:56}{:8}{:>10}{:>7}{:>8}{:>9}{:>11}{:>15}{:>8}".format(*columns))
        for k in kernels:
            print(
                f"{k.kernel:56}{k.architecture:8}{k.registers:10}{k.stack:7}{k.shared:8}{k.threads:9}"
                f"{k.occupancy(options.dynamic_shared):11.0%}{k.loads_16:15}{k.stores_16:8}"
            )


if __name__ == "__main__":
    main()
