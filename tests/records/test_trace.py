"""A trace: what a traced pass remembers, and that Perfetto can nest it."""

from __future__ import annotations

import gc
import json

from harness.records.trace import chrome_trace
from tests.fakes import FakeHost, Runner, VirtualClock
from tests.instrument.test_instrument import LENGTHS, instrument


def traced(runner: Runner) -> list[list]:
    under_test = instrument(runner, clock=VirtualClock(reading_ns=7))
    under_test.begin("trace", [0])
    runner.serve(LENGTHS)
    callbacks = len(gc.callbacks)
    spans = under_test.end()["spans"]
    assert len(gc.callbacks) == callbacks - 1
    return spans


def test_every_call_stands_inside_its_scope_and_that_inside_its_step() -> None:
    spans = traced(Runner())
    for step in range(3):
        of_step = {name: (start, stop) for at, name, start, stop in spans if at == step}
        outer, scope, seam = (of_step[name] for name in ("execute_model", "_prepare_inputs", "compute_slot_mapping"))
        assert outer[0] < scope[0] < seam[0] < seam[1] < scope[1] < outer[1] <= of_step["sample_tokens"][0]


def test_a_collection_is_a_span_of_the_step_that_it_happens_in() -> None:
    runner = Runner(work=lambda: gc.collect())
    collections = [span for span in traced(runner) if span[1] == "garbage collection, generation 2"]
    assert [span[0] for span in collections][:3] == [0, 1, 2]
    assert all(start < stop for *_, start, stop in collections)


def test_other_passes_remember_no_spans() -> None:
    runner = Runner()
    under_test = instrument(runner)
    before = list(gc.callbacks)
    under_test.begin("probed", [0])
    assert gc.callbacks == before
    runner.serve(LENGTHS)
    assert under_test.end()["spans"] == []


def test_the_file_has_a_process_an_arm_and_begins_at_zero() -> None:
    spans = {"list": [[0, "inner", 1500, 2500], [0, "outer", 1000, 3000], [2, "late", 9000, 9999]], "none": []}
    trace = chrome_trace(spans, steps=2)
    assert [(e["name"], e.get("ts"), e.get("dur")) for e in trace["traceEvents"]] == [
        ("process_name", None, None), ("outer", 0.0, 2.0), ("inner", 0.5, 1.0),
    ]  # fmt: skip
    assert trace["traceEvents"][0]["args"] == {"name": "list"}


def test_a_run_traces_each_arm_after_everything_else(make_run_of_list) -> None:
    host = FakeHost()
    run = make_run_of_list(host, "arms=[list, numpy]", "protocol.groups=3")
    run.trace_steps = 2
    assert run.execute().status == "complete"
    # Native, each arm and A/A are checked once more.
    assert host.passes[-7:] == ["mixed", *["check"] * 4, "trace", "trace"]
    events = json.loads((run.folder.path / "trace.json").read_text())["traceEvents"]
    assert {e["args"]["name"] for e in events if e["ph"] == "M"} == {"list", "numpy"}
    assert {e["args"]["step"] for e in events if e["ph"] == "X"} == {0, 1}


def test_without_being_asked_for_there_is_no_trace(make_run_of_list) -> None:
    run = make_run_of_list(FakeHost(), "protocol.groups=3")
    run.execute()
    assert not (run.folder.path / "trace.json").exists()
