"""Arms that are settings, at launch grain: how they are started, and what they are held against."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from harness.analysis.summarise import summarise
from harness.config.file import load
from harness.config.settings import at_arm
from harness.errors import ConfigError
from harness.records.folder import read_run
from harness.report import write_reports
from harness.report.arms_table import build_arms_table
from harness.running.grains import choose_grain
from harness.seams import AA, NATIVE
from tests.analysis.launch_noise import figures_of
from tests.running.played import CONFIG, SETTINGS, TABLE, Process


def test_settings_are_started_as_they_say_and_held_against_native(launches) -> None:
    made = launches(config=SETTINGS)
    outcome = made.execute()
    assert (outcome.status, outcome.exit_status, outcome.message) == ("complete", 0, "")
    assert Counter(launched.arm for launched, _ in Process.started) == {NATIVE: 4, "slow": 4, "big": 4}
    records = read_run(made.folder.path)
    started = {launch.run["arm"]: launch.run["config"] for launch in records.launches}
    assert {arm: config["engine"].get("size") for arm, config in started.items()} == {
        NATIVE: None, "slow": None, "big": 2,
    }  # fmt: skip
    assert {arm: config["host"]["env"] for arm, config in started.items()} == {
        NATIVE: {}, "slow": {"SLOW": "1"}, "big": {},
    }  # fmt: skip
    summary = write_reports(made.folder.path)
    found = summary.difference("slow", "scope")
    assert (found.verdict, found.per_step_us.estimate) == ("slower", pytest.approx(5, abs=0.5))
    assert summary.difference("big", "scope").verdict in ("not resolved", "equivalent")
    assert summary.arms["slow"].equal


def test_figures_of_launches_come_by_block_for_a_look_at_real_noise(launches) -> None:
    made = launches(config=SETTINGS)
    made.execute()
    write_reports(made.folder.path)
    figures = figures_of(made.folder.path, [NATIVE, "slow"], "scope")
    assert figures.shape == (4, 2)
    assert figures[:, 1] - figures[:, 0] == pytest.approx(5, abs=1.5)


def test_a_setting_that_never_comes_into_the_scope_has_no_difference_there(launches) -> None:
    made = launches(config=SETTINGS)
    made.execute()
    records = read_run(made.folder.path)
    for launch in records.launches:
        if launch.run["arm"] == "big":
            for name in [name for name in launch.columns if name.startswith("scope.")]:
                launch.columns[name] = np.zeros(len(launch.columns[name]), dtype=np.int64)
    summary = summarise(records)
    assert summary.difference("big", "scope") is None
    assert summary.difference("big", "step") is not None
    assert summary.difference("slow", "scope").verdict == "slower"
    assert {found.arm for found in summary.shapes} == {"slow", AA}
    assert "the scope is not compared for big: either native or these never came into execute_model" in summary.notes[0]


def test_where_only_some_engines_time_their_turns_the_loops_are_compared(launches) -> None:
    made = launches(config=SETTINGS)
    made.execute()
    records = read_run(made.folder.path)
    alike = summarise(records)
    assert (alike.turns, alike.loop, alike.step_word) == (False, False, "step")
    for launch in records.launches:
        if launch.run["arm"] == NATIVE:
            launch.columns["turn_ns"] = launch.columns["execute_ns"] + 1_000_000
    summary = summarise(records)
    assert (summary.turns, summary.loop, summary.step_word, summary.timed_in) == (False, True, "turn", "engine's loop")
    assert summary.as_json()["step"] == "turn of the engine's loop"
    assert summary.arms[NATIVE].bare_step_ns < 1_000_000 * summary.arms[NATIVE].steps, "its own turns are not taken"
    assert summary.difference("slow", "step").verdict == "slower"
    assert any(note.startswith("the engine cores of some arms are in other processes") for note in summary.notes)


def test_a_setting_that_computes_otherwise_is_measured_and_the_report_says_so(launches) -> None:
    made = launches(config=SETTINGS, big="wrong")
    outcome = made.execute()
    assert (outcome.status, outcome.exit_status) == ("complete", 0)
    assert any(told.startswith("big computes otherwise than native, as a setting may") for told in made.told)
    summary = write_reports(made.folder.path)
    assert summary.arms["big"].measured
    assert summary.arms["big"].equal is None
    table = build_arms_table(summary)
    assert table.columns[0].cells[table.rows.index("big")] == "otherwise"
    assert table.columns[0].cells[table.rows.index("slow")] == "yes"
    assert any(note.startswith("big computes otherwise than native") for note in summary.notes)


def test_a_setting_that_does_other_work_is_struck(launches, monkeypatch) -> None:
    monkeypatch.setattr("harness.running.arm_launches.signature_difference", lambda one, other: "6 steps, not 5")
    made = launches(config=SETTINGS.replace("{slow: {env: {SLOW: 1}}}, ", ""))
    outcome = made.execute()
    assert outcome.exit_status in (1, 130)
    assert "other work than native" in outcome.message


def test_settings_go_to_launch_grain_by_themselves_and_mix_with_nothing_that_is_switched(tmp_path) -> None:
    (tmp_path / "config.yaml").write_text(SETTINGS)
    choice = choose_grain(load(tmp_path / "config.yaml"), {})
    assert choice.launch
    assert choice.why == (
        "slow: SLOW=1 is set when an engine starts", "big: engine.size=2 is set when an engine starts",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="step was asked for"):
        choose_grain(load(tmp_path / "config.yaml", ["protocol.grain=step"]), {})
    for arms, told in (
        ("{native: {engine: {size: 2}}}", "give the setting another name"),
        ("{both: {engine: {size: 2}, reference: 'm:f'}}", "switched in a living one"),
        ("{slow: {env: {SLOW: 1}}, only: [a.b]}", "only"),
    ):
        (tmp_path / "config.yaml").write_text(CONFIG.replace("{state: {patch: state.patch}}", arms))
        with pytest.raises(ConfigError, match=told):
            load(tmp_path / "config.yaml")


def test_what_is_wrong_with_a_setting_is_told_before_anything_is_started(tmp_path) -> None:
    (tmp_path / "config.yaml").write_text(SETTINGS)
    loaded = load(tmp_path / "config.yaml")
    slow, big = loaded.experiment.arms[1:]
    assert at_arm(loaded, slow).experiment.host.env == {"SLOW": "1"}
    assert at_arm(loaded, big).experiment.engine == {"model": "none", "size": 2}
    threads = slow.model_copy(update={"env": {"OMP_NUM_THREADS": "2"}})
    with pytest.raises(
        ConfigError, match=r"env: OMP_NUM_THREADS is what host.threads sets: write host: \{threads: N\}"
    ):
        at_arm(loaded, threads)
    odd = big.model_copy(update={"engine": {}, "host": {"treads": 2}})
    with pytest.raises(ConfigError, match=r"host.treads: unknown key; did you mean 'threads'\?"):
        at_arm(loaded, odd)


def test_a_release_runs_on_its_own_python_with_this_harness(launches, root, tmp_path) -> None:
    made = launches(config=SETTINGS.replace("{env: {SLOW: 1}}", "{vllm: 0.31.0}"))
    other = tmp_path / "other/vllm"
    other.mkdir(parents=True)
    (other / "table.py").write_text(f"# 0.31.0\n{TABLE}")
    made.environments = {
        "slow": SimpleNamespace(
            hash="0123", version="0.31.0", torch="2.11.0", python=tmp_path / "bin/python", packages_root=other.parent,
            variables=lambda before: {"PYTHONPATH": f"harness-code:{before.get('PYTHONPATH', '')}"},
        )
    }  # fmt: skip
    assert made.execute().status == "complete"
    for launched, how in Process.started:
        is_other = launched.arm == "slow"
        assert (how["python"] == str(tmp_path / "bin/python")) is is_other
        assert how["text"].startswith("# 0.31.0") is is_other
        assert ("harness-code:" in how["env"]["PYTHONPATH"]) is is_other
    records = read_run(made.folder.path)
    assert records.run["environments"] == {"slow": {"hash": "0123", "vllm": "0.31.0", "torch": "2.11.0"}}
    assert any("slow was started with vLLM 0.31.0 and torch 2.11.0" in note for note in summarise(records).notes)
