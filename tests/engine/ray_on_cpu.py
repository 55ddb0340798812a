"""A platform of vLLM's for the CPU that Ray has devices for: vLLM's own has none, and refuses its Ray executor there.

vLLM finds it by an entry point (`vllm.platform_plugins`), as it finds any vendor's. Ray counts devices by number and
gives them out; that these are GPUs to Ray alone changes nothing of what vLLM computes.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["environment_with_devices", "platform"]

ENTRY = "[vllm.platform_plugins]\nray_on_cpu = tests.engine.ray_on_cpu:platform\n"


def platform() -> str:
    """What vLLM asks a platform's package for: the name of its class."""
    return "tests.engine.ray_on_cpu.RayOnCpu"


def environment_with_devices(folder: Path, count: int) -> dict[str, str]:
    """Variables with which vLLM finds the platform, and Ray `count` devices; an installed package lies in `folder`."""
    info = folder / "ray_on_cpu-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ray-on-cpu\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY)
    root = Path(__file__).resolve().parents[2]
    return {"PYTHONPATH": f"{folder}:{root}", "RAY_OVERRIDE_RESOURCES": f'{{"GPU": {count}}}'}


def __getattr__(name: str) -> type:
    """The class, made when vLLM asks for it: vLLM's platforms cannot be imported while vLLM looks for its own."""
    if name != "RayOnCpu":
        raise AttributeError(name)
    from vllm.platforms.cpu import CpuPlatform

    class RayOnCpu(CpuPlatform):
        ray_device_key = "GPU"

        @classmethod
        def device_control_id_to_physical_device_id(cls, device_control_id: str) -> int:
            return int(device_control_id)

    globals()[name] = RayOnCpu
    return RayOnCpu
