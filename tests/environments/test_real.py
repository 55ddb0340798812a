"""An environment that the real uv makes, and a profile by it: minutes, and some GB from the package registry.

By hand: HARNESS_TEST_RELEASE=0.30.0 python -m pytest tests/environments/test_real.py
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from harness.environments import environment_for, known

RELEASE = os.environ.get("HARNESS_TEST_RELEASE", "")


@pytest.mark.skipif(not RELEASE, reason="HARNESS_TEST_RELEASE names no release of vLLM to be downloaded")
def test_a_release_is_set_up_and_serves(cache, tmp_path) -> None:
    made = environment_for(RELEASE)
    assert known() == [made]
    assert made.version.startswith(RELEASE)
    command = [made.python, "-m", "harness", "profile", "configs/profile/decode_8.yaml"]
    command += ["--set", "protocol.seconds=1", "--out", tmp_path / "run"]
    done = subprocess.run(command, env={**os.environ, **made.variables()}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["host"]["version"].startswith(RELEASE)
