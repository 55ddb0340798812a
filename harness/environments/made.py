"""An environment that has been made, as its own `environment.json` tells it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path  # noqa: TC003 (pydantic reads the types of what it checks)
from typing import TYPE_CHECKING, Any, Final

from harness.environments.code import code_folder
from harness.environments.recipe import Recipe  # noqa: TC001 (likewise)
from harness.errors import RecordsError
from harness.paths import is_file
from harness.records.checked import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FILE", "SCHEMA_VERSION", "Environment", "read_environment", "write_environment"]

FILE: Final = "environment.json"
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True)
class Environment:
    """An environment with a release of vLLM.

    Attributes:
        folder: where it lies.
        recipe: what it was made of.
        version: as its vLLM tells it.
        torch: the version of its torch.
        device: the platform that its vLLM sees on the machine that made it: `cpu`, `cuda`.
        made: when, in ISO 8601 with the offset from UTC.
        size_bytes: on the disk; files that it shares with uv's cache are counted.
        packages: all that is in it, as `name==version`.
    """

    folder: Path
    recipe: Recipe
    version: str
    torch: str
    device: str
    made: str
    size_bytes: int
    packages: tuple[str, ...]

    @property
    def hash(self) -> str:
        """Of its recipe; its folder's name."""
        return self.folder.name

    @property
    def requirement(self) -> str:
        """The release, `vllm==0.31.0`."""
        return self.recipe.requirement

    @property
    def build(self) -> str:
        """For a CPU or for CUDA: `cpu`, `cuda`."""
        return self.recipe.build

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def packages_root(self) -> Path:
        """The folder that holds its packages."""
        return next(iter(sorted(self.folder.glob("lib/python3*/site-packages"))), self.folder)

    def variables(self, before: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The environment variables by which its Python runs the very harness that this is: `python -m harness`.

        Without them it runs the harness that made it.

        Args:
            before: the variables that its process gets otherwise.

        Raises:
            RecordsError: links to harness cannot be made.
        """
        try:
            code = str(code_folder(self.folder.parent))
        except OSError as error:
            raise RecordsError(f"{self.folder.parent}: cannot be written: {error.strerror}") from error
        return {"PYTHONPATH": os.pathsep.join(filter(None, [code, before.get("PYTHONPATH", "")]))}


def write_environment(environment: Environment, folder: Path) -> None:
    """Write what an environment is into a folder.

    Raises:
        OSError: it cannot be written.
    """
    content = {"schema_version": SCHEMA_VERSION, "hash": environment.hash, **asdict(environment)}
    del content["folder"]
    (folder / FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_environment(folder: Path) -> Environment:
    """The environment in a folder.

    Raises:
        RecordsError: there is none, or it is not whole.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        content: Any = read_json(folder / FILE)
    except FileNotFoundError as error:
        raise RecordsError(f"{folder} has no {FILE}") from error
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise RecordsError(f"{folder / FILE}: not of the kind that this version of harness writes")
    names = {field.name for field in fields(Environment)}
    try:
        known = {key: value for key, value in content.items() if key in names}
        environment = TypeAdapter(Environment).validate_python({**known, "folder": folder})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RecordsError(f"{folder / FILE}: {key}: {first['msg']}") from None
    if not is_file(environment.python):  # the interpreter that it was made with may have gone
        raise RecordsError(f"{environment.python}: the interpreter that it was made with is gone")
    return environment
