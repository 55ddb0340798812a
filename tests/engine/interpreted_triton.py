"""harness on a GPU's code path where there is none; `python -m tests.engine.interpreted_triton [[run, CONFIG], ...]`.

A V2 runner computes its inputs by Triton kernels, as a V1 runner does on a GPU, and PyPI's Triton has no backend for a
CPU. It has an interpreter, though, which runs the same kernels as numpy, slowly. vLLM takes a Triton for usable where a
backend named `cpu` is registered, so one is, before vLLM is imported. And where its CPU platform turns asynchronous
scheduling off, here the config decides, as on a GPU. What is computed this way is right; its times say nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"

from triton.backends import Backend, backends


class InterpretedDriver:
    """Stands where vLLM asks whether the backend's driver is active."""

    @classmethod
    def is_active(cls) -> bool:
        return True


backends["cpu"] = Backend(compiler=None, driver=InterpretedDriver)

from vllm import LLM  # noqa: F401 (so that each command finds it imported)
from vllm.platforms.cpu import CpuPlatform

from harness.cli import main

_check_and_update_config = CpuPlatform.check_and_update_config


def _keep_async_scheduling(vllm_config: Any) -> None:
    wanted = vllm_config.scheduler_config.async_scheduling
    _check_and_update_config(vllm_config)
    vllm_config.scheduler_config.async_scheduling = wanted


CpuPlatform.check_and_update_config = staticmethod(_keep_async_scheduling)


def _carry_out(arguments: list[str]) -> None:
    sys.argv = ["harness", *arguments]
    main()


if __name__ == "__main__":
    statuses = []
    for command in json.loads(sys.argv[1]):
        process = multiprocessing.get_context("fork").Process(target=_carry_out, args=[command])
        process.start()
        process.join()
        statuses.append(process.exitcode)
    print(json.dumps(statuses))  # noqa: T201
