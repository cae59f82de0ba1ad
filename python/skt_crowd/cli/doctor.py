"""``skt doctor``: what this machine has, what is used of it, and what would make it faster."""

import importlib.util
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

COMPILERS = ("g++", "clang++", "cl")


def doctor() -> None:
    """Say what is installed, compiled and used here, and what would make it faster.

    Example:  `skt doctor`

    Nothing is changed. The exit code is 0 also where advice is given: everything works without following it.
    """
    from rich.console import Console
    from rich.table import Table

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


def findings() -> dict[str, str]:
    """What is installed, compiled and used, as rows of a table."""
    import torch

    import skt_ext
    from skt_crowd.machine import available_cores, memory_gib, processor_name

    info = skt_ext.build_info()
    return {
        "Python": f"{platform.python_version()} on {platform.platform()}",
        "torch": f"{torch.__version__}, {_number(torch.get_num_threads(), 'thread')}",
        "skt_ext": info["version"] or f"{Path(skt_ext.__file__).parent}, not installed as a package",
        "native library": _native(info),
        "operators": _operators(info),
        "processor": f"{processor_name()}, {_number(available_cores(), 'core')}, {memory_gib()} GiB of memory",
        "vectors": f"{torch.backends.cpu.get_cpu_capability()}; bfloat16 in hardware: {_yes(_bfloat16())}",
        "CUDA": _cuda(),
        "compilers": "\n".join(filter(None, map(_first_line, (*_compilers(), "nvcc")))) or "none found",
        "triton": _version("triton"),
    }


def advice() -> list[str]:
    """What would be faster on this machine, each with what to do; empty where nothing is known."""
    import torch

    import skt_ext
    from skt_crowd.machine import available_cores

    info, hints = skt_ext.build_info(), []
    if info["native"] is None:
        hints.append(f"the native operators are not in use: {info['reason']}")
        if not _compilers():
            hints.append("no C++ compiler is on the PATH; on Debian or Ubuntu: apt install g++")
    if torch.cuda.is_available() and info["native"] is not None and not info["native"]["cuda"]:
        hints.append(
            "a CUDA device is here but the operators were built without CUDA; reinstall with nvcc on the PATH"
        )
    if not torch.cuda.is_available() and shutil.which("nvidia-smi"):
        hints.append("an NVIDIA driver is here but torch sees no device; install a CUDA build of torch")
    threads, cores = torch.get_num_threads(), available_cores()
    if threads < cores:
        limit = os.environ.get("OMP_NUM_THREADS")
        why = f" because OMP_NUM_THREADS is {limit}" if limit else ""
        hints.append(f"torch uses {threads} of {cores} cores{why}; --threads {cores} uses all of them")
    if not _bfloat16():
        hints.append(
            "training is in float32, because this machine computes bfloat16 in software only; "
            "a GPU, or a CPU with AMX or AVX512-BF16, has it in hardware"
        )
    return hints


def _native(info: dict[str, Any]) -> str:
    """What the native library says of itself, or why there is none."""
    native = info["native"]
    if native is None:
        return f"not in use: {info['reason']}"
    cuda, cpu = native["cuda"], native["cpu"]
    return "\n".join(
        [
            info["library"],
            f"for torch {native['torch_target']} and later, by {native['compiler']}",
            f"CPU: {cpu['used']}, of {', '.join(cpu['compiled'])}",
            f"CUDA: {cuda['version']}, for {cuda['architectures']}" if cuda else "CUDA: not compiled",
        ]
    )


def _operators(info: dict[str, Any]) -> str:
    """One line per operator: what computes it on each device."""
    operators = {name: used for name, used in info["operators"].items() if not name.endswith("_backward")}
    width = max(map(len, operators))
    return "\n".join(
        f"{name:{width}}  " + ", ".join(f"{device.upper()} {how}" for device, how in used.items())
        for name, used in operators.items()
    )


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _bfloat16() -> bool:
    import torch

    from skt_crowd.device import has_native_bfloat16

    return has_native_bfloat16(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def _cuda() -> str:
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        return f"torch is built for {built}, no device" if built else "torch is a CPU build"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return f"torch is built for {torch.version.cuda}; {', '.join(names)}"


def _compilers() -> list[str]:
    return [name for name in COMPILERS if shutil.which(name)]


def _first_line(program: str) -> str | None:
    """The line of a program's ``--version`` that holds its version, None where it is not installed."""
    path = shutil.which(program)
    if path is None:
        return None
    try:
        shown = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=20, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return f"{program} (does not run)"
    lines = [line for line in shown.splitlines() if any(letter.isdigit() for letter in line)]
    release = next((line for line in lines if "release" in line), lines[0] if lines else "")
    return f"{program}: {release.strip()}"


def _version(package: str) -> str:
    from skt_crowd.machine import package_version

    importable = importlib.util.find_spec(package.replace("-", "_")) is not None
    return package_version(package) or ("importable" if importable else "not installed")


def _yes(value: bool) -> str:
    return "yes" if value else "no"
