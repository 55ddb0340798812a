"""Runs side by side: what differs is said first, and a verdict is given only where launches carry it."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.analysis.compare import compare_runs
from harness.analysis.statistics import welch
from harness.analysis.summarise import summarise
from harness.cli.compare import command
from harness.errors import ConfigError, RecordsError
from harness.records.folder import RunFolder, read_run
from harness.report.comparison import FORMATS, render_comparison
from tests.analysis.profiles import NEW_BLOCKS, PHASES, STEPS, TURN, make_profile, own_us
from tests.analysis.test_summarise import make_frame, make_run


def write(path, run, slower: float = 1.0) -> None:
    folder = RunFolder(path)
    folder.write_run(run)
    frame = make_frame()
    timed = [name for name in frame if name.endswith("_ns")]
    frame[timed] = (frame[timed] * slower).astype(int)
    for index, (_, rows) in enumerate(frame.groupby("group")):
        folder.write_pass(index, {column: rows[column].tolist() for column in rows}, complete=True)


@pytest.fixture
def make(tmp_path):
    """Makes a run of so many launches; each launch is a little faster or slower than `slower`."""

    def make_folder(name: str, launches: int = 1, slower: float = 1.0, **changes):
        if launches == 1:
            write(tmp_path / name, make_run(**changes), slower)
            return tmp_path / name
        folder = RunFolder(tmp_path / name)
        folder.write_run(make_run(**changes))
        for number in range(1, launches + 1):
            write(folder.launch(number), make_run(**changes), slower * (1 + 0.002 * (number - (launches + 1) / 2)))
        return folder.path

    return make_folder


def test_what_differs_is_said_by_category(make) -> None:
    run = make_run()
    other = make(
        "after", versions={"torch": "2.14.0"}, machine={**run["machine"], "cpu": "Another", "load_average": [9, 9, 9]}
    )
    found = compare_runs([make("before"), other])
    assert [(each.category, each.key, each.values) for each in found.differences] == [
        ("versions", "torch", ["2.13.0", "2.14.0"]),
        ("machine", "cpu", ["A processor", "Another"]),
    ]
    assert "machine, versions differ at once" in " ".join(found.refusals)


def test_every_recorded_fact_that_differs_is_named_under_its_category(make) -> None:
    run = make_run()
    config, engine, work = run["config"], {"max_num_seqs": 64}, {"requests": 3, "output_tokens": 5}
    before = {"config": {**config, "engine": engine, "host": {"process": "in_process"}, "workload": work}}
    changed = {
        "seam": "tensor_from_list", "scope": "execute_model", "probes": ["torch.cat"], "baseline": "array",
        "engine": {"max_num_seqs": 65}, "host": {"process": "workers"}, "workload": {"requests": 4, "output_tokens": 5},
        "protocol": {**config["protocol"], "margin": 0.02},
        "arms": [{"name": "list", "reference": "m:Other"}, *config["arms"][1:]],
    }  # fmt: skip
    after = {
        "config": {**config, **changed},
        "host": {**run["host"], "version": "0.33.0", "runner": "R", "device": "cuda:0", "model": "M", "world_size": 2},
        "versions": {"torch": "2.14.0", "numpy": "2.0"},
        "machine": {**run["machine"], "cores": 4, "load_average": [9, 9, 9]},
        "workload": {**run["workload"], "clipped": 1},
    }
    found = compare_runs([make("before", **before), make("after", **after)])
    assert [(each.category, each.key, each.values) for each in found.differences] == [
        ("versions", "torch", ["2.13.0", "2.14.0"]),
        ("versions", "engine", ["0.32.0", "0.33.0"]),
        ("versions", "numpy", ["", "2.0"]),
        ("machine", "cores", ["2", "4"]),
        ("engine", "max_num_seqs", ["64", "65"]),
        ("engine", "process", ["in_process", "workers"]),
        ("engine", "runner", ["CPUModelRunner", "R"]),
        ("engine", "device", ["cpu", "cuda:0"]),
        ("engine", "model", ["LlamaForCausalLM", "M"]),
        ("workload", "clipped", ["0", "1"]),
        ("arms", "list", ["", "m:Other"]),
        ("measured", "seam", ["slot_mapping", "tensor_from_list"]),
        ("measured", "scope", ["_prepare_inputs", "execute_model"]),
        ("measured", "probes", [str(config["probes"]), "['torch.cat']"]),
        ("measured", "baseline", ["list", "array"]),
        ("protocol", "margin", ["0.01", "0.02"]),
    ]
    causes = (
        "arms, engine, machine, protocol, versions differ at once: a difference cannot be attributed to one of them"
    )
    assert causes in found.refusals


@pytest.mark.parametrize(("key", "value", "alone"), [("seed", 7, False), ("order", "rotate", True)])
def test_how_long_and_in_which_order_is_measured_is_no_cause_of_a_difference(make, key, value, alone) -> None:
    config = make_run()["config"]
    changed = {**config, "protocol": {**config["protocol"], key: value}}
    found = compare_runs([make("before"), make("after", config=changed, versions={"torch": "2.14.0"})])
    assert [(each.category, each.key) for each in found.differences] == [("versions", "torch"), ("protocol", key)]
    assert any("protocol, versions differ at once" in said for said in found.refusals) == alone


def test_runs_in_folders_of_the_same_name_are_told_apart_by_their_paths(make, tmp_path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    folders = [make("one/run"), make("other/run")]
    assert compare_runs(folders).names == [str(folder) for folder in folders]
    assert compare_runs([folders[0], make("elsewhere")]).names == ["run", "elsewhere"]


def test_one_launch_a_run_gives_figures_and_no_verdict(make) -> None:
    found = compare_runs([make("before"), make("after", slower=1.5)])
    scope = next(row for row in found.rows if (row.arm, row.metric) == ("list", "scope"))
    assert scope.other_us / scope.first_us == pytest.approx(1.5, rel=1e-2)
    assert {row.verdict for row in found.rows} == {"no verdict"}
    assert {row.difference_us for row in found.rows} == {None}
    assert "no verdict with fewer than 3 launches a run (before, after)" in found.refusals[0]


def test_several_launches_a_run_give_a_verdict(make) -> None:
    found = compare_runs([make("before", 4), make("after", 4, slower=1.1)])
    scope = next(row for row in found.rows if (row.arm, row.metric) == ("list", "scope"))
    assert scope.verdict == "slower"
    assert scope.difference_us.low <= 14 <= scope.difference_us.high  # a tenth of 140 us
    assert found.refusals == []
    assert found.confidence_each == pytest.approx(1 - 0.05 / len(found.rows))
    same = compare_runs([make("again", 4), make("once more", 4)])
    assert {row.verdict for row in same.rows} <= {"equivalent", "not resolved"}
    assert same.differences == []


def test_the_margin_is_a_share_and_no_percentage(tmp_path) -> None:
    """Launches 3 % apart: the interval holds zero, and is wider than the margin of 1 %."""
    for name in ("before", "after"):
        folder = RunFolder(tmp_path / name)
        folder.write_run(make_run())
        for number, slower in enumerate((0.97, 1.0, 1.03), start=1):
            write(folder.launch(number), make_run(), slower)
    found = compare_runs([tmp_path / "before", tmp_path / "after"])
    assert {row.verdict for row in found.rows if row.metric == "scope"} == {"not resolved"}


@pytest.mark.parametrize(
    ("key", "value"),
    [("probes", ["compute_slot_mapping"]), ("scope", "execute_model"), ("sync", True), ("grain", "pass")],
)
def test_self_times_that_are_not_the_same_thing_are_refused_by_name(make, key, value) -> None:
    config = make_run()["config"]
    changed = {**config, key: value} if key in config else {**config, "protocol": {**config["protocol"], key: value}}
    found = compare_runs([make("before", 3), make("after", 3, config=changed)])
    assert {row.metric for row in found.rows} == {"step"}
    assert f"self times of after and before are of other things ({key} differ)" in found.refusals[0]


def test_an_arm_is_what_is_written_in_its_file_and_planted_behind_it(make) -> None:
    config = make_run()["config"]
    arms = [{"name": "list", "reference": "m:List"}, {"name": "array", "reference": "m:Array", "delay_us": 5.0}]
    before = {"config": {**config, "arms": arms}, "arm_sources": {"list": "aaaa", "array": "aaaa"}}
    after = {"config": {**config, "arms": arms}, "arm_sources": {"list": "bbbb", "array": "aaaa"}}
    found = compare_runs([make("before", **before), make("after", **after)])
    (difference,) = found.differences
    assert (difference.category, difference.key) == ("arms", "list")
    assert difference.values == ["m:List (aaaa)", "m:List (bbbb)"]
    longer = [arms[0], {**arms[1], "delay_us": 7.0}]
    found = compare_runs([make("b", **before), make("a", **{**before, "config": {**config, "arms": longer}})])
    assert [each.values for each in found.differences] == [["m:Array +5 us (aaaa)", "m:Array +7 us (aaaa)"]]


def test_runs_that_did_other_work_are_not_compared(make) -> None:
    steps = {**make_run()["steps"], "num_tokens": [99, 3, 3, 3, 3]}
    found = compare_runs([make("before", 3), make("after", 3, steps=steps)])
    assert found.rows == []
    assert "after did other work than before" in found.refusals[0]


def test_a_run_whose_verdicts_are_withheld_gets_none_here_either(make, monkeypatch) -> None:
    monkeypatch.setattr("harness.analysis.summary.Summary.withheld", property(lambda summary: True))
    found = compare_runs([make("before", 3), make("after", 3, slower=2.0)])
    assert {row.verdict for row in found.rows} == {"no verdict"}
    assert "no verdict with before: its own are withheld" in found.refusals[0]


@pytest.mark.parametrize("which", ["before", "after"])
def test_either_runs_withheld_verdicts_withhold_these(make, monkeypatch, which) -> None:
    folders = [make("before", 3), make("after", 3, slower=2.0, title=which)]
    summaries = [summarise(read_run(folder)) for folder in folders]
    withheld = summaries[["before", "after"].index(which)]
    monkeypatch.setattr("harness.analysis.compare.summarise", lambda records: summaries.pop(0))
    monkeypatch.setattr("harness.analysis.summary.Summary.withheld", property(lambda summary: summary is withheld))
    found = compare_runs(folders)
    assert {row.verdict for row in found.rows} == {"no verdict"}
    assert [said for said in found.refusals if "its own are withheld" in said] == [
        f"no verdict with {which}: its own are withheld, since its level shifted while it was measured"
    ]


def test_welchs_interval_against_a_known_one() -> None:
    """By the formulas: the error of each mean, and the Welch-Satterthwaite degrees of freedom."""
    a, b = np.array([0.0, 1.0, 2.0, 1.0]), np.array([8.0, 10.0, 12.0])
    error_a, error_b = a.var(ddof=1) / 4, b.var(ddof=1) / 3
    freedom = (error_a + error_b) ** 2 / (error_a**2 / 3 + error_b**2 / 2)
    found = welch(a, b, 0.95)
    assert found.estimate == -9
    assert found.high - found.estimate == pytest.approx(found.estimate - found.low)
    assert found.low == pytest.approx(-9 - stats.t.ppf(0.975, freedom) * np.sqrt(error_a + error_b))


@pytest.mark.parametrize("shape", FORMATS)
def test_every_format_shows_the_same(make, shape) -> None:
    text = render_comparison(compare_runs([make("before", 3), make("after", 3, slower=1.1)]), shape)
    assert "slower" in text
    assert "after" in text
    if shape == "json":
        assert json.loads(text)["launches"] == [3, 3]
    elif shape == "csv":
        table = pd.read_csv(io.StringIO(text))
        assert set(table["arm"]) == {"list", "array"}
        assert (table["low_us"] <= table["us"]).all()
    elif shape == "html":
        assert text.startswith("<!DOCTYPE html>")
        assert "Side by side" in text


def test_the_command_writes_where_it_is_told_and_refuses_one_run(make, tmp_path) -> None:
    one, other = make("before"), make("after")
    assert command.callback((one, other), "markdown", tmp_path / "compare.md") == 0
    assert "no verdict with fewer" in (tmp_path / "compare.md").read_text()
    with pytest.raises(ConfigError, match="name at least two run folders"):
        command.callback((one,), "terminal", None)
    with pytest.raises(RecordsError, match="holds no run"):
        command.callback((one, tmp_path / "nowhere"), "terminal", None)


def write_profile(path, generation: str = "v1", left_out: tuple[str, ...] = (), launches: int = 1, **profile):
    """A profile whose functions have another release's names, with their labels, unless the generation is v1."""
    records = make_profile(into=profile.get("into", []), depth=1)
    run, frame = records.run, records.columns.copy()
    if generation != "v1":
        renamed = {name: f"vllm.{generation}.{name.rpartition('.')[2]}_{index}" for index, name in enumerate(PHASES)}
        frame = frame.drop(columns=[column for column in frame if column.rpartition(".")[0] in left_out])
        columns = [column.rpartition(".") for column in frame]
        frame.columns = [f"{renamed.get(name, name)}{dot}{value}" for name, dot, value in columns]
        kept = {renamed[name]: about for name, about in run["anatomy"]["phases"].items() if name not in left_out}
        run["anatomy"] = {"phases": kept}
        run["switch"] = {"turn": renamed[TURN]}
        run["config"] |= {"probes": list(kept), "scope": " + ".join(list(kept)[:2])}
        run["host"] = {**run["host"], "details": {**run["host"].get("details", {}), "generation": generation}}
    folder = RunFolder(path)
    folder.write_run(run)
    for number in range(1, launches + 1):
        of_launch = RunFolder(folder.launch(number)) if launches > 1 else folder
        if launches > 1:
            of_launch.write_run(run)
        for index, (_, rows) in enumerate(frame.groupby("group")):
            of_launch.write_pass(index, {column: rows[column].tolist() for column in rows}, complete=True)
    return path


def test_profiles_of_two_generations_are_compared_phase_by_phase(tmp_path) -> None:
    new, old = write_profile(tmp_path / "new"), write_profile(tmp_path / "old", "v0", (NEW_BLOCKS,))
    found = compare_runs([new, old])
    rows = {row.metric: row for row in found.rows}
    assert list(rows) == ["scope", *(label for name, (label, _) in PHASES.items() if name != NEW_BLOCKS)]
    for name, (label, _) in PHASES.items():
        if name != NEW_BLOCKS:
            usual = sum(own_us(name, step) for step in range(STEPS)) / STEPS
            assert rows[label].first_us == pytest.approx(usual, rel=0.02, abs=0.05), label
            assert rows[label].other_us == pytest.approx(usual, rel=0.02, abs=0.05), label
    assert "only new has new blocks: old does that in other phases, or not at all" in found.refusals
    assert "a turn of old has its output in it, and one of new has not: whole steps are not compared" in found.refusals
    assert not any("self times" in said for said in found.refusals)
    text = render_comparison(found, "markdown")
    assert "native: rest of output" in text


def test_profiles_of_one_generation_have_their_whole_turns_compared(tmp_path) -> None:
    found = compare_runs([write_profile(tmp_path / "before"), write_profile(tmp_path / "after")])
    assert [row.metric for row in found.rows][-1] == "step"
    assert [row.difference_us for row in found.rows] == [None] * len(found.rows)
    assert {row.first_us - row.other_us for row in found.rows} == {0.0}
    old = compare_runs([write_profile(tmp_path / "old", "v0"), write_profile(tmp_path / "older", "v0")])
    assert [row.metric for row in old.rows][-1] == "step"
    assert not any("whole steps" in said for said in old.refusals)


def test_steps_of_the_model_runner_alone_have_no_output_in_any_generation(make) -> None:
    host = make_run()["host"]
    details = {**host.get("details", {}), "generation": "v0"}
    found = compare_runs([make("new"), make("old", host={**host, "details": details})])
    assert "step" in {row.metric for row in found.rows}
    assert not any("whole steps" in said for said in found.refusals)


def test_phases_with_other_functions_opened_are_not_compared(tmp_path) -> None:
    found = compare_runs([write_profile(tmp_path / "before"), write_profile(tmp_path / "after", into=["schedule"])])
    assert {row.metric for row in found.rows} == {"step"}
    assert any("self times of after and before are of other things (probes differ)" in s for s in found.refusals)


def test_phases_of_several_launches_get_a_verdict(tmp_path) -> None:
    new, old = write_profile(tmp_path / "new", launches=3), write_profile(tmp_path / "old", "v0", launches=3)
    found = compare_runs([new, old])
    assert [row.metric for row in found.rows] == ["scope", *(label for label, _ in PHASES.values())]
    assert {row.verdict for row in found.rows} == {"equivalent"}
