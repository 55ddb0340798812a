"""Installing a recipe into a folder, by uv: vLLM with a torch for it, and this harness."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

from harness.environments.code import code_folder
from harness.environments.no_cuda import put_stand_ins
from harness.environments.store import root
from harness.environments.uv import index_variables, run_logged, why_failed
from harness.errors import ConfigError, SetupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from harness.environments.recipe import Recipe

__all__ = ["install"]

NO_SUCH_VERSION: Final = re.compile(r"there (?:is|are) no versions? of ([\w.-]+)(?:\[[^]]*\])?==(\S+)")


def install(recipe: Recipe, uv: Path, made: Path, log: Path) -> None:
    """Make an environment and install a recipe into it, with byte code, as Python would find it at its second start.

    Raises:
        ConfigError: there is no such release.
        SetupError: it fails.
        OSError: the folder cannot be written.
    """
    installing = _Installing(recipe, log)
    variables = index_variables()
    # Relocatable, since it gets its name only when it is whole.
    installing.run([uv, "venv", "--relocatable", "--python", sys.executable, made], variables)
    command: list[str | Path] = [uv, "pip", "install", "--python", made / "bin" / "python", "--compile-bytecode"]
    command += ["--override", _lines(made / "overrides.txt", recipe.overrides), *recipe.installs]
    if recipe.build == "cuda":
        installing.run([*command, "--torch-backend=auto"], variables)
    else:
        otherwise = _lines(made / "otherwise.txt", recipe.otherwise)
        installing.with_cpu_torch(command, ["--override", otherwise] if recipe.otherwise else [], variables)
    site = next((made / "lib").glob("python*/site-packages"))
    if recipe.build == "cpu" and (site / "torch" / "lib" / "libtorch_cuda.so").exists():
        put_stand_ins(site / "torch" / "lib")
    if recipe.unnamed:
        _name(site, f"{recipe.version}+cpu")
    _lines(site / "harness_code.pth", [str(code_folder(root()))])


class _Installing:
    """Runs of uv for a recipe, all into one log."""

    def __init__(self, recipe: Recipe, log: Path) -> None:
        self._recipe, self._log = recipe, log

    def with_cpu_torch(
        self, command: list[str | Path], otherwise: list[str | Path], variables: Mapping[str, str]
    ) -> None:
        """Install with a CPU build of torch, or with what serves in its place.

        Where find-links holds such a build, that is taken; else uv knows where PyTorch keeps them; else the general
        build is taken, where there are lines that make it serve.
        """
        ways: list[tuple[list[str | Path], Mapping[str, str]]] = []
        if "UV_FIND_LINKS" in variables:
            ways.append(([], variables))
        ways.append((["--torch-backend=cpu"], {key: variables[key] for key in variables if key != "UV_FIND_LINKS"}))
        if otherwise:
            ways.append((otherwise, variables))
        failures = list[SetupError]()
        for more, variables_then in ways:
            try:
                return self.run([*command, *more], variables_then)
            except SetupError as error:
                if "torch" not in str(error):
                    raise
                failures.append(error)
        raise failures[-1 if otherwise else 0]

    def run(self, command: list[str | Path], variables: Mapping[str, str]) -> None:
        """Run uv.

        Raises:
            ConfigError: the package registry has no such release of vLLM.
            SetupError: anything else fails.
        """
        recipe = self._recipe
        try:
            status, said = run_logged(command, self._log, variables)
        except OSError as error:
            raise SetupError(f"{command[0]}: cannot be started: {error.strerror}") from error
        if status == 0:
            return
        for name, version in NO_SUCH_VERSION.findall(said):
            if f"{name}=={version.rstrip(',')}" == recipe.installs[0]:
                self._log.unlink(missing_ok=True)
                raise ConfigError(f"{recipe.requirement}: the package registry has no {recipe.installs[0]}")
        raise SetupError(f"{recipe.requirement} cannot be set up: {why_failed(said)} (all that uv said: {self._log})")


def _lines(file: Path, lines: Iterable[str]) -> Path:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def _name(site: Path, version: str) -> None:
    """Give vLLM's CPU build the name `vllm` besides its distribution's, with a version that tells the build."""
    folder = site / f"vllm-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    _lines(folder / "METADATA", ["Metadata-Version: 2.1", "Name: vllm", f"Version: {version}"])
