"""vLLM's own executor on Ray: the instrument in two workers that Ray starts, and one of them that dies.

vLLM has no device for Ray on a CPU and refuses to start there, so these engines are given one (`ray_on_cpu`). All else
is vLLM's own: it starts Ray, and Ray starts the workers.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import psutil
import pytest

from harness.hosts.vllm_settings import EXECUTOR
from harness.records.folder import read_run
from tests.engine.platforms import environment_with, ray_on_cpu
from tests.engine.test_command_line import (
    OF_ITS_OWN,
    RUN,
    SMALL,
    assert_compared_whole,
    by_number,
    wait_for_passes,
    with_one_off,
)
from tests.processes import finish, session_of, until
from tests.with_ray import PYTHON, needs_ray, ray_environment

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.engine, needs_ray]

ON_RAY = ["--set", f"engine.{EXECUTOR}=ray"]


@contextlib.contextmanager
def on_ray(tmp_path: Path, workers: int, *args: str) -> Iterator[subprocess.Popen[str]]:
    """A run on Ray; fails where anything of Ray still runs when it has ended."""
    with ray_environment() as environment:
        environment |= environment_with(ray_on_cpu, tmp_path / "platform")
        environment["RAY_OVERRIDE_RESOURCES"] = json.dumps({"GPU": workers})
        ranks = ["--set", f"engine.tensor_parallel_size={workers}"]
        command = ["-m", "harness", *RUN, *SMALL, *OF_ITS_OWN, *ON_RAY, *ranks, "--no-report", *args]
        with session_of(command, PYTHON, env=environment) as process:
            yield process
        until("the end of Ray", lambda: not of_ray(environment["RAY_TMPDIR"]))


def of_ray(folder: str) -> list[int]:
    """Ids of Ray's own processes, which have its folder on their command line."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(folder in word for word in process.cmdline()):
                found.append(process.pid)
    return found


def test_all_arms_are_compared_and_measured_in_both_workers(tmp_path) -> None:
    folder = tmp_path / "run"
    with on_ray(tmp_path, 2, "--out", str(folder), *by_number(2), "--arms", with_one_off(tmp_path)) as process:
        status, _, err = finish(process)
    assert (status, "Traceback" in err) == (1, False), err  # one of the arms is not equal
    assert err.count("OffByOne is struck") == 1  # though both workers say so
    records = read_run(folder)
    assert records.run["status"] == "complete"
    assert records.run["host"]["world_size"] == 2
    assert_compared_whole(records.run)
    assert len(records.frame) == 2 * (2 + 1) * 2 * records.run["steps"]["count"]
    assert "Started a local Ray instance" in (folder / "engine.log").read_text()


def test_a_worker_of_rays_that_dies_ends_the_run_in_one_line(tmp_path) -> None:
    folder = tmp_path / "run"
    with on_ray(tmp_path, 1, "--out", str(folder), *by_number(2000), "--arms", "numpy") as process:
        wait_for_passes(process, folder, 8)
        worker = json.loads((folder / "run.json").read_text())["host"]["details"]["pid"]
        psutil.Process(worker).kill()
        status, _, err = finish(process)
    assert (status, "Traceback" in err) == (1, False), err
    assert "passes were measured and kept" in err
    records = read_run(folder)
    assert records.run["status"] == "failed"
    assert records.frame["pass"].nunique() >= 6
