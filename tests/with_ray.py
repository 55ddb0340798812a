"""The Python of the environment that has Ray beside all of the project's packages (`make fleet-setup`).

Ray is not in the project's own environment: vLLM imports it wherever it is installed, and engines would start slower.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PYTHON", "needs_ray", "ray_environment"]

PYTHON = Path(".venv/fleet/bin/python").absolute()
needs_ray = pytest.mark.skipif(not PYTHON.exists(), reason="Ray is not set up: make fleet-setup")


@contextlib.contextmanager
def ray_environment() -> Iterator[dict[str, str]]:
    """This process's variables, with a folder of Ray's own and a token for its processes to know each other by.

    The folder is removed. Its name is short: Ray has sockets in it, whose path may have 107 characters.
    """
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    own = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    try:
        yield own | {"RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0", **token}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
