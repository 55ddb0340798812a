"""Platforms of vLLM's for engines on a CPU in tests: vLLM finds them by an entry point, as it finds any vendor's.

What they change is how processes are started and what Ray is told. It changes nothing of what vLLM computes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["environment_with", "forking_cpu", "ray_on_cpu"]


def forking_cpu() -> str:
    """An engine's processes are forked, as vLLM does on a GPU; on a CPU each is a Python that imports vLLM anew."""
    return f"{__name__}.ForkingCpu"


def ray_on_cpu() -> str:
    """Ray has devices for it, by number, as it has GPUs; vLLM has none for a CPU, and refuses Ray there."""
    return f"{__name__}.RayOnCpu"


def environment_with(platform: Callable[[], str], folder: Path) -> dict[str, str]:
    """Variables with which vLLM finds a platform; a package that is installed lies in `folder` then."""
    name = platform.__name__
    info = folder / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[vllm.platform_plugins]\n{name} = {__name__}:{name}\n")
    return {"PYTHONPATH": f"{folder}:{Path(__file__).resolve().parents[2]}"}


def __getattr__(name: str) -> type:
    """The classes, made when vLLM asks for one: its platforms cannot be imported while vLLM looks for its own."""
    if name not in ("ForkingCpu", "RayOnCpu"):
        raise AttributeError(name)
    from vllm.platforms.cpu import CpuPlatform

    class ForkingCpu(CpuPlatform):
        @classmethod
        def check_and_update_config(cls, vllm_config: Any) -> None:
            super().check_and_update_config(vllm_config)
            os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"

    class RayOnCpu(CpuPlatform):
        ray_device_key = "GPU"

        @classmethod
        def device_control_id_to_physical_device_id(cls, device_control_id: str) -> int:
            return int(device_control_id)

    globals().update(ForkingCpu=ForkingCpu, RayOnCpu=RayOnCpu)
    return globals()[name]
