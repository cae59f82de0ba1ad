"""What a figure was measured on: processor, memory, threads, versions."""

import json
import os
import platform
import shlex
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import skt_ext

PACKAGES = ("torch", "numpy", "scipy", "pillow", "safetensors", "pydantic")
EXTENSIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def describe_environment() -> dict[str, Any]:
    """What a run records: versions of Python and packages, machine, threads, devices, native build, command, time."""
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command(),
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "skt_ext": json.loads(json.dumps(skt_ext.build_info(), default=str)),
        "platform": platform.platform(),
        "processor": processor_name(),
        "cores": available_cores(),
        "memory_gib": memory_gib(),
        "torch_threads": torch.get_num_threads(),
        "torch_cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cuda_devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def describe_device(device: torch.device | str = "cpu") -> dict[str, str]:
    """What every row of a benchmark's CSV records: date, device and its extensions, threads, versions."""
    device = torch.device(device)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        name, extensions = properties.name, f"sm_{properties.major}{properties.minor}"
    else:
        flags = _cpuinfo("flags").split()
        name = processor_name()
        extensions = " ".join(flag for flag in EXTENSIONS if flag in flags) or "none known"
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "device": name,
        "extensions": extensions,
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def command() -> str:
    """The command line of this process, without the folder of the program."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def processor_name() -> str:
    """The processor's own name where the system tells it, else its architecture."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def available_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_gib() -> float | None:
    """Memory of the machine in GiB, None where the system does not tell."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def package_version(package: str) -> str | None:
    """The version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpuinfo(field: str) -> str:
    """A field of Linux's /proc/cpuinfo, empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""
    lines = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == field), "")
