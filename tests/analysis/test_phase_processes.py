"""Phases in an engine's other processes: means a turn and a request, each process by its own clock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.analysis.anatomy import dissect
from harness.analysis.frames import phases_frame
from harness.analysis.phase_processes import main_process, of_processes
from harness.report.anatomy import render_anatomy
from harness.report.anatomy_processes import processes_sentence, processes_tables
from tests.analysis.profiles import REQUESTS, STEPS, make_profile

FRONT = "vllm.v1.engine.llm_engine.LLMEngine.add_request"
OUTPUT = "vllm.v1.engine.output_processor.OutputProcessor.process_outputs"
UPDATE = "vllm.v1.engine.detokenizer.BaseIncrementalDetokenizer.update"
INSIDE, OUTSIDE = 40.0, 60.0
KINDS = {"prefill": np.array([0]), "decode": np.arange(1, STEPS)}
GROUPS = 5


def records(steps: int = STEPS) -> Any:
    """A front end that takes 100 us a decode and 300 us a prefill, of which 20 us are a detokeniser's; 50 a request."""
    rows = []
    for group in range(GROUPS):
        more = group % 3
        for step in range(steps):
            of_output = (300 if step == 0 else 100) - 20 + more
            rows.append((group, "front end", step, OUTPUT, 1, 4, of_output * 1000 + INSIDE + 4 * OUTSIDE))
            rows.append((group, "front end", step, UPDATE, 4, 0, 20_000 + 4 * INSIDE))
        rows.append((group, "front end", 0, FRONT, REQUESTS, 0, REQUESTS * (50_000 + INSIDE)))
    names = ("group", "process", "step", "name", "calls", "nested_calls", "self_ns")
    made = make_profile()
    made.run["anatomy"]["processes"] = {
        "front end": {
            "phases": {
                FRONT: {"label": "rest of arrival", "section": "arrival"},
                OUTPUT: {"label": "rest of output", "section": "output"},
                UPDATE: {"label": "detokenising", "section": "output"},
            },
            "calibration": {"inside_ns": INSIDE, "outside_ns": OUTSIDE},
        }
    }
    made.run["workload"] = {"requests": REQUESTS}
    return replace(made, processes=dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True)))


def found(of: Any, kinds: Any = KINDS) -> dict[tuple[str, str], Any]:
    return {(each.kind, each.label): each for each in of_processes(of.processes, of.run, kinds, 0.95)}


def test_each_phase_takes_what_it_took_without_the_probes_cost() -> None:
    by = found(records())
    usual = np.array([group % 3 for group in range(GROUPS)]).mean()
    assert by["decode", "rest of output"].us.estimate == pytest.approx(80 + usual)
    assert by["prefill", "rest of output"].us.estimate == pytest.approx(280 + usual)
    assert by["decode", "detokenising"].us.estimate == pytest.approx(20)
    assert by["decode", "detokenising"].calls == 4
    assert by["arrival", "rest of arrival"].us.estimate == pytest.approx(50)
    assert by["arrival", "rest of arrival"].calls == 1
    assert by["decode", "rest of output"].us.low < 80 + usual < by["decode", "rest of output"].us.high
    assert ("prefill", "rest of arrival") not in by


def test_a_process_with_other_turns_than_the_engine_core_has_one_kind() -> None:
    by = found(records(steps=STEPS - 1))
    assert {kind for kind, _ in by} == {"any", "arrival"}
    assert by["any", "detokenising"].us.estimate == pytest.approx(20)


def test_a_worker_has_the_phases_and_the_probes_of_the_first() -> None:
    made = records()
    made.run["anatomy"]["processes"] = {}
    made.run["anatomy"]["phases"] = {OUTPUT: {"label": "rest of output", "section": "output"}}
    made.run["calibration"] = {"inside_ns": 0.0, "outside_ns": 0.0}
    by = found(made)
    assert set(by) == {("prefill", "rest of output"), ("decode", "rest of output")}
    assert by["prefill", "rest of output"].us.estimate == pytest.approx(280 + 0.8 + (INSIDE + 4 * OUTSIDE) / 1000)


def test_processes_stand_side_by_side_and_are_not_added_up() -> None:
    anatomy = dissect(records())
    tables = dict(processes_tables(anatomy))
    decode = tables["Each process by its own clock: a decode turn"]
    assert [column.title for column in decode.columns] == ["front end", main_process(anatomy.run)]
    assert decode.columns[0].cells[decode.rows.index("detokenising")].startswith("20.0")
    assert decode.columns[1].cells[decode.rows.index("detokenising")] == ""
    assert decode.columns[0].cells[-1] == "101"
    assert "do not add up" in decode.footnotes[0]
    assert "front end 101 us" in processes_sentence(anatomy)
    assert "Each process by its own clock" in render_anatomy(Path("reports/x"), anatomy)["report.md"]
    frame = phases_frame(anatomy)
    of_front = frame[frame["process"] == "front end"].set_index(["kind", "phase"])
    assert of_front.loc[("decode", "detokenising"), "us"] == pytest.approx(20)
    assert set(frame["process"]) == {"front end", main_process(anatomy.run)}


def test_an_engine_in_one_process_has_no_such_table() -> None:
    anatomy = dissect(make_profile())
    assert (processes_tables(anatomy), processes_sentence(anatomy)) == ([], "")
