"""A run on vLLM 0.5.4 as a user types it, flamegraph and trace included."""

from __future__ import annotations

import json
import subprocess
import sys

from harness.analysis.frames import load_run
from tests.processes import HANG_S
from tests.sampling.test_pyspy import REFUSED


def test_a_run_is_measured_reported_and_held_against_what_was_published(tmp_path) -> None:
    settings = ["workload.requests=6", "workload.output_tokens=8", "protocol.groups=3", "flamegraph.seconds=2"]
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", "configs/historic/slot_mapping.yaml", "--out", tmp_path / "run",
         "--arms", "list,array,native", "--trace", "--flamegraph",
         *(word for setting in settings for word in ("--set", setting))],
        capture_output=True, text=True, timeout=HANG_S, check=False,
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr[-2000:]
    run = load_run(tmp_path / "run")
    details = run.run["host"]["details"]
    assert (run.run["host"]["version"], details["generation"]) == ("0.5.4", "v0")
    assert any("FlashAttention" in what for what in details["substituted"])
    assert all(found["equal"] for found in run.run["equality"].values())
    assert set(run.steps["arm"]) == {"list", "array", "native", "A/A"}
    text = (tmp_path / "run" / "report.md").read_text()
    assert "published" in text
    assert "plain PyTorch" in text
    assert json.loads((tmp_path / "run" / "trace.json").read_text())["traceEvents"]
    if not REFUSED:
        assert (tmp_path / "run" / "flamegraphs" / "array-against-list.svg").exists()
