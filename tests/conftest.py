"""Shared by all tests: one OpenMP thread as in real runs, and hypothesis without files in the work tree."""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile

os.environ["XDG_CACHE_HOME"] = f"{tempfile.gettempdir()}/harness-test-cache"  # what runs remember is not the user's own
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported by anything
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", f"{tempfile.gettempdir()}/harness-hypothesis")

if worker := os.environ.get("PYTEST_XDIST_WORKER"):  # several at once: each has cores of its own, as have its engines
    cores, workers = sorted(os.sched_getaffinity(0)), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    if len(cores) >= workers:
        os.sched_setaffinity(0, cores[int(worker.removeprefix("gw")) :: workers])

import pytest
from hypothesis import HealthCheck, settings

from harness.analysis.summarise import scope_half_width_us
from harness.config.file import load
from harness.hosts.vllm_v0 import is_here
from harness.records.folder import RunFolder, RunReader
from harness.running.run import Run
from tests.fakes import FakeHost, Silent, VirtualClock

collect_ignore = [] if is_here() else ["historic"]  # run in their own environment by engine/test_historic.py

LIST_ONLY = """\
engine: {model: none}
workload: {requests: 3, prompt_tokens: 6, output_tokens: 5}
seam: slot_mapping
arms: [list]
probes: [compute_slot_mapping]
protocol: {groups: 12, counters: false}
"""

settings.register_profile("default", database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# By hand: python -m pytest --hypothesis-profile=long -k fuzz
settings.register_profile(
    "long", settings.get_profile("default"), max_examples=10_000, derandomize=False,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
settings.load_profile("default")


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.get_closest_marker("engine") and item.path.parent.name != "engine":
        raise pytest.UsageError(f"{item.nodeid}: what starts an engine belongs into tests/engine, else nobody runs it")


@pytest.fixture(autouse=True)
def _no_switch_is_left():
    """A test that fails in the middle of a pass leaves functions of classes as an arm has them, and a time limit."""
    yield
    if switch := sys.modules.get("harness.instrument.switch"):
        switch.restore_all()
    held = signal.getsignal(signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert held is signal.SIG_DFL, f"the test left {held} on SIGALRM, and later time limits would not be set"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def make_run_of_list(tmp_path):
    """Makes a run of one arm on a fake host: 12 passes of `list` and of A/A, each probed and bare."""

    def make(host: FakeHost, *overrides: str) -> Run:
        path = tmp_path / "config.yaml"
        path.write_text(LIST_ONLY)
        folder = RunFolder(tmp_path / "run")
        reader = RunReader(folder.path)
        return Run(
            load(path, overrides), host, folder, Silent(), half_width_us=lambda: scope_half_width_us(reader.read())
        )

    return make


def pytest_unconfigure() -> None:
    """Let go of what fake hosts froze, so that the interpreter can clear it away when it ends."""
    gc.unfreeze()
