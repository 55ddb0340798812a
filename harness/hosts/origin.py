"""What a process of an engine was started from, and whether workers that others start are as this process is.

Ray's workers are children of Ray, and not of the engine. Where Ray was running before, they have its environment, and
import the vLLM that it finds: a change that an engine was started with would be measured without being there.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.errors import HostError, in_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["check_alike", "started_from"]

BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
HINT: Final = "where Ray runs before, its workers have what it was started with: let vLLM start it (no RAY_ADDRESS)"


def started_from(variables: Iterable[str]) -> dict[str, Any]:
    """Of this process: machine (name and boot), folder of the imported vLLM, and environment variables by name."""
    import vllm

    boot = BOOT.read_text(encoding="ascii").strip() if BOOT.exists() else ""
    return {
        "machine": f"{platform.node()} {boot}".strip(),
        "vllm": str(Path(str(vllm.__file__)).parent),
        "variables": {name: os.environ.get(name) for name in variables},
    }


def check_alike(own: Mapping[str, Any], workers: Sequence[Mapping[str, Any]]) -> None:
    """Check that all workers were started from what this process was.

    Args:
        own: `started_from` of this process.
        workers: the same of each worker.

    Raises:
        HostError: one of them was not; says which, and in what.
    """
    for number, found in enumerate(workers):
        if found["machine"] != own["machine"]:
            where = in_line(str(found["machine"]).partition(" ")[0], 60)
            raise HostError(f"worker {number} is on another machine ({where}): harness measures engines of one machine")
        if found["vllm"] != own["vllm"]:
            raise HostError(f"worker {number} has vLLM from {in_line(found['vllm'])}, not from {own['vllm']}: {HINT}")
        for name, value in own["variables"].items():
            if (there := found["variables"].get(name)) != value:
                told = "not set" if there is None else in_line(repr(there), 60)
                raise HostError(f"worker {number}: {name} is {told}, and not {in_line(repr(value), 60)}: {HINT}")
