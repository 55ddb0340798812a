"""vLLM 0.5.4: its own tests, run in the environment that has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import HostError
from harness.hosts.vllm_v0 import interpreter
from tests.processes import HANG_S

pytestmark = pytest.mark.engine

CONFIGS = sorted(Path("configs/historic").glob("*.yaml"))


def missing() -> str:
    try:
        interpreter()
    except HostError as error:
        return str(error)
    return ""


needs_it = pytest.mark.skipif(bool(missing()), reason=missing())


@needs_it
def test_its_own_tests_pass_in_its_own_environment() -> None:
    done = subprocess.run(
        [interpreter(), "-m", "pytest", "-q", "tests/historic"],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}{done.stderr[-2000:]}"
    assert " passed" in done.stdout


@needs_it
def test_a_run_goes_over_by_itself_and_bad_input_comes_back_as_one_line(tmp_path) -> None:
    command = [sys.executable, "-m", "harness", "run", CONFIGS[-1], "--set", "engine.max_nun_seqs=3"]
    done = subprocess.run(
        [*command, "--out", tmp_path / "run"], capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert done.returncode == 2
    told = "engine.max_nun_seqs: vLLM 0.5.4 has no such engine argument; did you mean 'max_num_seqs'?"
    assert told in done.stderr
    assert "Traceback" not in done.stderr
