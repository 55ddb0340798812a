"""Making an environment: under a name for the while, and under its own when it has been seen to work."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.environments.installing import install
from harness.environments.made import Environment, read_environment, write_environment
from harness.environments.recipe import recipe_for
from harness.environments.store import folder_of, locked, root
from harness.environments.uv import find_uv, run_logged
from harness.errors import RecordsError, SetupError, in_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.environments.recipe import Recipe
    from harness.environments.releases import Build

__all__ = ["environment_for", "made_before"]

LOG: Final = "setup.log"
LOOK: Final = """
import json, sys
import vllm, torch
from vllm.platforms import current_platform
if hasattr(current_platform, "import_kernels"):
    current_platform.import_kernels()
else:
    import vllm._custom_ops
import harness.cli, patches
kernels = sum(name.startswith("_C::") for name in torch._C._dispatch_get_all_op_names())
seen = {"vllm": vllm.__version__, "torch": torch.__version__, "device": current_platform.device_type or "none"}
print("\\nseen:", json.dumps({**seen, "kernels": kernels}))
"""
"""What the new Python must be able to do: import vLLM, its compiled functions, and this harness."""


def environment_for(
    requirement: str, note: Callable[[str], None] = lambda _: None, build: Build | None = None
) -> Environment:
    """An environment with a release of vLLM: the one that there is, or one that is made now, which takes minutes.

    Args:
        requirement: `vllm==0.31.0`, or the version alone.
        note: called with a line where something takes long.
        build: for a CPU or for CUDA; as the environment that this runs in has where it is not given.

    Raises:
        ConfigError: there is no such release.
        SetupError: it cannot be made; nothing of it is left but a log, which the message names.
        RecordsError: the cache folder cannot be written.
    """
    if (before := made_before(requirement, build)) is not None:
        return before
    recipe, uv = recipe_for(requirement, build), find_uv()

    def waiting() -> None:
        note(f"{recipe.requirement}: another process is making this environment; waiting for it")

    with locked(recipe.hash, waiting):
        with contextlib.suppress(RecordsError):  # made while it was waited for
            return read_environment(folder_of(recipe.hash))
        try:
            return _make(recipe, uv, note)
        except OSError as error:
            raise RecordsError(f"{root()}: cannot be written: {in_line(error.strerror or error)}") from error


def made_before(requirement: str, build: Build | None = None) -> Environment | None:
    """The environment that `environment_for` would give without making one; None where it would make it.

    Raises:
        ConfigError: there is no such release.
    """
    with contextlib.suppress(RecordsError):
        return read_environment(folder_of(recipe_for(requirement, build).hash))
    return None


def _make(recipe: Recipe, uv: Path, note: Callable[[str], None]) -> Environment:
    folder = folder_of(recipe.hash)
    made, log = folder.with_name(f"{recipe.hash}.making"), folder.with_name(f"{recipe.hash}.log")
    for left in (made, folder):  # of a process that was killed, or no longer whole
        shutil.rmtree(left, ignore_errors=True)
    log.unlink(missing_ok=True)
    note(f"making an environment with {recipe.requirement} ({recipe.build} build): some minutes; uv's log is {log}")
    try:
        install(recipe, uv, made, log)
        seen = _look(recipe, made / "bin" / "python", log)
        environment = Environment(
            folder=folder,
            recipe=recipe,
            version=seen["vllm"],
            torch=seen["torch"],
            device=seen["device"],
            made=dt.datetime.now().astimezone().isoformat(timespec="seconds"),
            size_bytes=_size_bytes(made),
            packages=_packages(uv, made, log),
        )
        write_environment(environment, made)
        log.rename(made / LOG)
        made.rename(folder)
    except BaseException:  # Ctrl-C as well
        shutil.rmtree(made, ignore_errors=True)
        raise
    return environment


def _look(recipe: Recipe, python: Path, log: Path) -> dict[str, Any]:
    """What the new environment's Python sees of itself.

    Raises:
        SetupError: it cannot import vLLM, or harness.
    """
    status, said = run_logged([python, "-c", LOOK], log)
    line = next((line for line in said.splitlines() if line.startswith("seen: ")), "")
    if status or not line:
        last = [text for text in said.splitlines() if text.strip()][-1:] or ["it said nothing"]
        raise SetupError(f"{recipe.requirement} was installed, but cannot be imported: {in_line(last[0])} (see {log})")
    seen: dict[str, Any] = json.loads(line.removeprefix("seen: "))
    if recipe.build == "cpu" and not seen["kernels"]:
        why = [text for text in said.splitlines() if "Failed to import" in text or "undefined symbol" in text][:1]
        reason = f": {in_line(why[0])}" if why else ""
        raise SetupError(
            f"{recipe.requirement} was installed, but its compiled functions do not load beside torch "
            f"{seen['torch']}{reason} (see {log})"
        )
    return seen


def _packages(uv: Path, made: Path, log: Path) -> tuple[str, ...]:
    status, said = run_logged([uv, "pip", "freeze", "--python", made / "bin" / "python"], log)
    return tuple(line for line in said.splitlines() if "==" in line) if status == 0 else ()


def _size_bytes(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(parent, name).lstat().st_blocks * 512
    return total
