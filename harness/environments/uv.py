"""uv, which makes environments: found, told where pip finds packages, and its failures told in one line.

uv, because pip cannot leave out a declared dependency. uv does not read pip's configuration, so pip's find-links and
index are passed on (as in requirements/setup.sh).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.children import begin_as_child
from harness.errors import SetupError, in_line
from harness.paths import is_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["clean_variables", "find_uv", "index_variables", "run_logged", "why_failed"]

LONGEST: Final = 600
"""Characters of uv's reason that are told; its log has all of it."""
UNREACHABLE: Final = re.compile(
    r"Failed to fetch|Could not connect|error sending request|dns error|Connection refused|timed out|"
    r"network was disabled", re.IGNORECASE,
)  # fmt: skip


def find_uv() -> Path:
    """The uv beside this Python, or on the path.

    Raises:
        SetupError: there is none.
    """
    beside = Path(sys.executable).parent / "uv"
    if is_file(beside):
        return beside
    if on_path := shutil.which("uv"):
        return Path(on_path)
    raise SetupError(f"there is no uv here, which makes environments: {Path(sys.executable).name} -m pip install uv")


def index_variables(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Where uv finds packages, by its own variables, else as pip's variables or configuration say."""
    found = {}
    for own, of_pip, setting in (
        ("UV_FIND_LINKS", "PIP_FIND_LINKS", "find-links"),
        ("UV_DEFAULT_INDEX", "PIP_INDEX_URL", "index-url"),
    ):
        if value := variables.get(own) or variables.get(of_pip) or _pip_setting(setting):
            found[own] = value
    return found


def clean_variables() -> dict[str, str]:
    """The variables of this process, without those by which its own packages would get into another environment.

    Nor with find-links, which `index_variables` gives to those calls that are to have it.
    """
    left_out = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_FIND_LINKS")
    return {key: value for key, value in os.environ.items() if key not in left_out}


def run_logged(command: Sequence[str | Path], log: Path, variables: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a command to its end and write all that it says into a log, behind the command itself.

    Args:
        command: with its arguments.
        log: to write behind.
        variables: besides `clean_variables`.

    Returns:
        Its exit status, and what it said on either stream.

    Raises:
        OSError: it cannot be started, or the log cannot be written.
    """
    done = subprocess.run(  # noqa: S603 (uv, and the Python that it made)
        [str(part) for part in command], env={**clean_variables(), **(variables or {})}, cwd=log.parent, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=begin_as_child,
    )  # fmt: skip
    said = done.stdout.decode(errors="replace")
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(str(part) for part in command)}\n{said}(exit status {done.returncode})\n\n")
    return done.returncode, said


def why_failed(said: str) -> str:
    """Why uv failed, in one line, from what it said: from its error on, without progress and hints."""
    lines = [line.strip() for line in said.splitlines()]
    error = next((place for place, line in enumerate(lines) if re.match(r"error\b|\u00d7", line)), None)
    kept = [] if error is None else lines[error:]
    hint = next((place for place, line in enumerate(kept) if line.startswith("hint:")), len(kept))
    text = " ".join(re.sub(r"^(?:error: |cause: |[\u00d7\u2500-\u25ff]+)\s*", "", line) for line in kept[:hint])
    reason = in_line(text.strip() or next(filter(None, reversed(lines)), "it said nothing"), LONGEST)
    return f"no network, or no such registry: {reason}" if UNREACHABLE.search(said) else reason


def _pip_setting(name: str) -> str:
    try:
        asked = subprocess.run(  # noqa: S603 (our own interpreter)
            [sys.executable, "-m", "pip", "config", "get", f"global.{name}"], capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    except OSError:
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""
