"""Frames from Python: what `load_run` gives for known numbers, and the formats of `harness report`."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import harness
from harness import RecordsError, load_run
from harness.records.folder import RunFolder
from tests.analysis.test_summarise import GROUPS, STEPS, make_counters, make_frame, make_run


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.write_run(make_run())
    for index, (_, rows) in enumerate(make_frame().groupby("group")):
        folder.write_pass(index, {column: rows[column].tolist() for column in rows}, complete=True)
    counters = make_counters()
    folder.write_counters({column: counters[column].tolist() for column in counters})
    return folder.path


def test_a_run_is_loaded_as_frames(folder) -> None:
    run = load_run(str(folder))
    assert isinstance(run, harness.LoadedRun)
    assert len(run.steps) == GROUPS * STEPS * 3 * 2
    scope = run.comparisons.set_index(["arm", "metric"]).loc[("array", "scope")]
    assert scope["us"] == pytest.approx(-8, abs=0.01)
    assert scope["low_us"] <= scope["us"] <= scope["high_us"]
    assert scope["verdict"] == "faster"
    arms = run.arms.set_index(["arm", "API"])
    assert arms.loc[("array", "torch.cat"), "calls"] == 2 * STEPS
    assert arms.loc[("list", "step"), "ms"] == pytest.approx(2.6, rel=1e-3)
    parts = run.arms[run.arms["API"].isin(["torch.cat", "compute_slot_mapping", "rest"])].groupby("arm")["ms"].sum()
    assert np.allclose(parts, arms["ms"].xs("scope", level="API").loc[parts.index])
    shapes = run.shapes.set_index(["shape", "arm"])
    assert set(shapes.index) == {
        (shape, arm) for shape in ("prefill, 16 tokens", "decode, 3 tokens") for arm in ("array", "A/A")
    }
    decode = shapes.loc[("decode, 3 tokens", "array")]
    assert (decode["steps"], decode["us"], decode["verdict"]) == (STEPS - 1, pytest.approx(-8, abs=0.01), "faster")
    assert decode["low_us"] <= decode["us"] <= decode["high_us"]
    assert list(run.comparisons) == ["arm", "baseline", "metric", "us", "low_us", "high_us", "verdict"]
    assert set(run.comparisons["baseline"]) == {"list"}
    assert arms.loc[("array", "scope"), "ms"] == pytest.approx(0.132 * STEPS, rel=1e-3)
    assert arms.loc[("array", "compute_slot_mapping"), "calls"] == STEPS
    assert run.phases.empty
    assert run.counters.set_index("arm").loc["list", "step_aten_dispatches"] == 20


def test_several_launches_are_told_apart(folder, tmp_path) -> None:
    whole = RunFolder(tmp_path / "whole")
    whole.write_run(make_run())
    whole.launch(1).parent.mkdir()
    for number in (1, 2, 3):
        whole.launch(number).symlink_to(folder)
    run = load_run(whole.path)
    assert run.steps.groupby("launch").size().to_dict() == dict.fromkeys((1, 2, 3), GROUPS * STEPS * 3 * 2)
    assert run.steps.index.is_unique
    assert run.summary.launches == 3


def test_a_folder_without_a_run_is_refused(tmp_path) -> None:
    with pytest.raises(RecordsError, match="holds no run"):
        load_run(tmp_path)


def test_every_public_name_is_there() -> None:
    for name in harness.__all__:
        assert getattr(harness, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'lod_run'"):
        harness.lod_run  # noqa: B018


def test_a_report_is_printed_in_the_format_that_is_asked_for(folder) -> None:
    def report(*args: str) -> str:
        command = [sys.executable, "-m", "harness", "report", str(folder), *args]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    table = pd.read_csv(io.StringIO(report("--format", "csv")))
    assert table.loc[(table["arm"] == "array") & (table["metric"] == "scope"), "verdict"].tolist() == ["faster"]
    assert json.loads(report("--format", "json"))["baseline"] == "list"
    assert report("--format", "markdown") == (folder / "report.md").read_text()
    assert "report.md" in report()


def test_the_example_program_looks_into_the_committed_run() -> None:
    command = [sys.executable, "-m", "harness.examples.look_further", "reports/reference/slot_mapping-cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "_prepare_inputs, us a step to list" in done.stdout
    scope = load_run(command[-1]).comparisons.query("metric == 'scope' and arm == 'numpy'").iloc[0]
    assert re.search(rf"numpy +{scope['us']:.1f} .* {scope['verdict']}\n", done.stdout)
    # The prefill is the step that differs most.
    assert re.search(r"num_prefills.*\n.*\n0 +64 +12800 +64", done.stdout)
