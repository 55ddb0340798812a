"""A trial of a few seconds, and what it tells of the run."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.analysis.intervals import detectable, joint_confidence
from harness.analysis.measured import arm_values
from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.shapes import steps_by_shape
from harness.analysis.statistics import paired_difference
from harness.config.file import load
from harness.errors import RecordsError
from harness.records.folder import RunFolder, read_run
from harness.running.planning import MIN_GROUPS
from harness.running.run import Run
from harness.running.trial import TRIAL_S, Forecast, describe, forecast, plan_trial
from tests.conftest import LIST_ONLY
from tests.fakes import FakeHost, Runner, Silent, VirtualClock

ARMS = LIST_ONLY.replace("arms: [list]", "arms: [numpy, list, array]\nbaseline: list")


@pytest.fixture
def tried(tmp_path, monkeypatch):
    """A config as it was loaded, and the records of its trial: 100 us +-1 in the scope, 300 us in the step."""
    monkeypatch.setattr("harness.running.trial.TRIAL_S", 1e-6)  # as few groups as an interval needs

    def go(*overrides: str):
        path = tmp_path / "config.yaml"
        path.write_text(ARMS)
        loaded, clock, rng = load(path, overrides), VirtualClock(), np.random.default_rng(1)
        runner = Runner(
            work=lambda: clock.advance(int(rng.normal(100_000, 1000))), forward=lambda: clock.advance(200_000)
        )
        run = Run(plan_trial(loaded), FakeHost(clock, runner), RunFolder(tmp_path / "run"), Silent())
        assert run.execute().status == "complete"
        assert run.facts["arms_measured"] == ["list", "A/A"]
        return loaded.experiment, read_run(run.folder.path)

    return go


def test_a_trial_measures_the_baseline_alone_and_tells_its_step(tried) -> None:
    found = forecast(*tried())
    assert found.scope_us == pytest.approx(100, rel=0.01)
    assert found.step_us == pytest.approx(300, rel=0.01)
    assert (found.launches, found.groups) == (1, 12)


def test_the_time_is_that_of_all_arms_probed_and_bare_and_of_all_launches(tried, monkeypatch) -> None:
    experiment, records = tried("protocol.seconds=45", "protocol.launches=3", "protocol.counters=true")
    records = dataclasses.replace(records, run={**records.run, "pass_s": 0.5, "start_s": 4.0})
    monkeypatch.setattr("harness.running.trial.last_start_s", lambda experiment: None)
    found = forecast(experiment, records, imported_s=16.0)
    assert found.groups == round(45 / (0.5 * 4 * 2))
    assert found.measure_s == found.groups * 4.0
    assert found.before_s == 0.5 * (1 + 5) + 3 * 0.5 * 2  # the check, five under each arm alone; three counted
    assert found.total_s == pytest.approx(3 * (20 + found.before_s + found.measure_s), abs=10)
    monkeypatch.setattr("harness.running.trial.last_start_s", lambda experiment: 31.0)
    assert forecast(experiment, records, imported_s=16.0).start_s == 31.0  # as it took whole the last time


def test_a_trial_is_of_the_baseline_alone_once_and_without_what_costs_time_beside(tmp_path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(ARMS)
    loaded = load(
        path, ["protocol.until={half_width_us: 1.0, max_seconds: 60}", "protocol.bare=false", "protocol.seed=7"]
    )
    planned = plan_trial(loaded)
    protocol = planned.experiment.protocol
    assert (planned.path, [arm.name for arm in planned.experiment.arms]) == (path, ["list"])
    assert (protocol.seconds, protocol.until, protocol.launches) == (TRIAL_S, None, 1)
    assert (protocol.counters, protocol.exposed, protocol.bare) == (False, False, True)
    assert (protocol.seed, protocol.confidence) == (7, loaded.experiment.protocol.confidence)
    several = plan_trial(load(path, ["protocol.launches=3", "protocol.counters=true", "protocol.exposed=true"]))
    protocol = several.experiment.protocol
    assert (protocol.launches, protocol.counters, protocol.exposed, protocol.bare) == (1, False, False, True)


def half_width_us(records, metric: str, joint: float, groups: int) -> float:
    """Of A/A against the baseline, as if so many groups had been measured."""
    values = arm_values(records, [])
    of_aa, of_list = values["A/A"][metric], values["list"][metric]
    found = paired_difference(of_aa, of_list, joint)
    return (found.high - found.low) / 2 * np.sqrt(len(of_list) / groups) / of_list.shape[1] / 1e3


def test_an_interval_is_as_wide_as_all_of_the_reports_rows_together_make_it(tried) -> None:
    """By hand, of three arms, one probe and two shapes of batches: three times scope, sum, rest, two means and CPU time
    of it, the probe, three of the step, and the shapes; and the own cost of each of four.
    """
    experiment, records = tried("protocol.groups=48")
    found = forecast(experiment, records)
    rows = 3 * (6 + 1 + 3 + 2) + 4
    assert len(steps_by_shape(records.run["steps"])) == 2
    joint = joint_confidence(0.95, rows)
    assert found.resolves_scope_us == pytest.approx(half_width_us(records, SCOPE, joint, 48))
    assert found.resolves_step_us == pytest.approx(half_width_us(records, STEP, joint, 48))
    assert found.finds_scope_us == pytest.approx(detectable(found.resolves_scope_us, joint, 48))
    protocol = experiment.protocol.model_copy(update={"bare": False, "exposed": [5.0]})
    alone = forecast(experiment.model_copy(update={"protocol": protocol}), records)
    joint = joint_confidence(0.95, 3 * (6 + 1 + 2) + 1)
    assert alone.resolves_scope_us == pytest.approx(half_width_us(records, SCOPE, joint, 48))
    assert alone.resolves_step_us is None


def test_more_groups_resolve_more_as_their_root_says(tried) -> None:
    experiment, records = tried("protocol.groups=5")
    few = forecast(experiment, records)
    assert few.groups == MIN_GROUPS  # as many as the trial had: its own half-width
    protocol = experiment.protocol.model_copy(update={"groups": 500})
    many = forecast(experiment.model_copy(update={"protocol": protocol}), records)
    assert few.resolves_scope_us / many.resolves_scope_us == pytest.approx(10, rel=1e-3)
    assert few.finds_scope_us > 1.3 * few.resolves_scope_us
    assert 0.1 < few.resolves_scope_us < 20  # of values that spread by 1 us


def test_what_was_found_is_told_in_sentences() -> None:
    found = Forecast(4210.0, 388.0, 18.2, 9.0, 44.0, 5, 11, 3.14, None, 4.3)
    assert describe(found, "_prepare_inputs") == {
        "a step": "4,210 us in the model runner, of which _prepare_inputs takes 388 us (9.2 %)",
        "the run": "will take about 6 min: the engine's start 18 s, checking, warming up and counting 9 s, "
        "measuring 44 s (11 groups), 5 times",
        "resolves": "differences from about 3.1 us a step in _prepare_inputs (half-width of an interval in the report; "
        "a difference of 4.3 us in _prepare_inputs is found about nine times in ten)",
    }
    fine = Forecast(4212.6, 388.46, 18.26, 9.04, 44.04, 1, 11, 3.146, 41.58, 4.364)
    assert describe(fine, "_prepare_inputs") == {
        "a step": "4,210 us in the model runner, of which _prepare_inputs takes 388 us (9.2 %)",
        "the run": "will take about 76 s: the engine's start 18 s, checking, warming up and counting 9 s, "
        "measuring 44 s (11 groups)",
        "resolves": "differences from about 3.1 us a step in _prepare_inputs and 42 us in the whole step (half-width "
        "of an interval in the report; a difference of 4.4 us in _prepare_inputs is found about nine times in ten)",
    }
    whole = describe(dataclasses.replace(found, resolves_step_us=41.0, launches=1), "_prepare_inputs")
    assert "and 41 us in the whole step" in whole["resolves"]
    assert "times" not in whole["the run"]


def test_a_trial_that_measured_nothing_tells_nothing(tried) -> None:
    experiment, records = tried()
    with pytest.raises(RecordsError, match="the trial measured nothing"):
        forecast(experiment, dataclasses.replace(records, columns={}))
