"""Where a turn's time goes, on a profile with known times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.anatomy import dissect
from harness.analysis.phase_exposure import shown_of_phases
from harness.analysis.phase_figures import phase_figures
from harness.analysis.phase_memory import Per, left_behind
from harness.analysis.phase_samples import _innermost, sampled_phases
from harness.analysis.phase_times import arrival_of, undisturbed
from harness.report.anatomy_tables import overview
from harness.sampling.stacks import Frame
from harness.seams import NATIVE
from tests.analysis.profiles import (
    FORWARD,
    GROUPS,
    LOGPROBS,
    NEW_BLOCKS,
    OPENING,
    OPENING_US,
    OWN_US,
    PHASES,
    REQUESTS,
    SCHEDULE,
    STEPS,
    TURN,
    core_us,
    make_profile,
    own_us,
)


@pytest.fixture(scope="module")
def anatomy():
    return dissect(make_profile())


def of_kind(anatomy, kind):
    return next(found for found in anatomy.kinds if found.kind == kind)


def phase(anatomy, kind, label):
    return next(found for found in of_kind(anatomy, kind).phases if found.label == label)


def test_kinds_of_turns_are_told_apart_and_the_arrival_is_none_of_them(anatomy) -> None:
    assert [(kind.kind, kind.count) for kind in anatomy.kinds] == [
        ("decode", STEPS - 1),
        ("prefill", 1),
        ("arrival", REQUESTS),
    ]
    assert (anatomy.groups, anatomy.steps) == (GROUPS, STEPS)


def test_each_phase_takes_what_its_function_took_without_the_probes_cost(anatomy) -> None:
    for name, (label, section) in PHASES.items():
        if section == "arrival":
            continue
        expected = np.mean([own_us(name, step) for step in range(1, STEPS)])
        found = phase(anatomy, "decode", label)
        assert found.us.estimate == pytest.approx(expected, rel=2e-3)
        assert found.us.low <= found.us.estimate <= found.us.high
    assert phase(anatomy, "arrival", "rest of arrival").us.estimate == pytest.approx(30, rel=2e-3)


def test_phases_and_rest_add_up_to_the_whole(anatomy) -> None:
    for kind in anatomy.kinds:
        added = sum(found.us.estimate for found in kind.phases) + kind.rest_us
        assert added == pytest.approx(kind.whole_us.estimate, abs=1e-6)
        assert sum(found.share for found in kind.phases) == pytest.approx(1, abs=2e-3)


def test_the_phases_of_the_core_add_up_to_the_bare_turn(anatomy) -> None:
    decode = of_kind(anatomy, "decode")
    assert decode.told.estimate == pytest.approx(1, abs=1e-3)
    of_core = sum(found.us.estimate for found in decode.phases if found.section == "turn")
    assert of_core / decode.bare_us.estimate == pytest.approx(decode.told.estimate, abs=2e-3)  # the same, by the phases
    assert decode.bare_us.estimate == pytest.approx(np.mean([core_us(step) for step in range(1, STEPS)]), rel=2e-3)
    assert of_kind(dissect(make_profile(bare=1.25)), "decode").told.estimate == pytest.approx(0.8, abs=1e-3)


def test_a_disturbed_turn_is_left_out_of_all_phases_alike_and_counted(anatomy) -> None:
    decode = of_kind(anatomy, "decode")
    assert decode.disturbed == pytest.approx(1 / (2 * GROUPS * (STEPS - 1)))
    assert 0.15 < decode.disturbed_time < 0.3  # a hundred turns of 484
    forward = phase(anatomy, "decode", "forward")
    assert forward.longest_us > 90 * OWN_US[FORWARD] > forward.p99_us


def test_what_is_in_every_group_is_no_disturbance() -> None:
    whole = np.full((6, 10), 100.0)
    whole[:, 3] = 5000.0
    assert undisturbed(whole).all()
    whole[2, 4] = 5000.0
    assert (~undisturbed(whole)).sum() == 1


def test_a_phase_that_takes_longer_where_blocks_are_opened_is_found(anatomy) -> None:
    (found,) = [each for each in anatomy.populations if each.label == "schedule"]
    assert (found.kind, found.common, found.turns) == ("decode", "that open a block", len(OPENING))
    assert found.difference_us.estimate == pytest.approx(OPENING_US, rel=0.01)
    assert {each.label for each in anatomy.populations} == {"schedule", "new blocks"}


def test_a_phase_of_which_looking_costs_most_is_marked(anatomy) -> None:
    assert phase(anatomy, "decode", "logprobs").marked
    assert not phase(anatomy, "decode", "forward").marked


def test_a_window_of_steps_tells_of_these_alone() -> None:
    anatomy = dissect(make_profile(steps="1:9"))
    assert [(kind.kind, kind.count) for kind in anatomy.kinds][:1] == [("decode", 8)]
    beyond = dissect(make_profile(steps="100:200"))
    assert [kind.kind for kind in beyond.kinds] == ["arrival"]
    assert any("100:200" in note for note in beyond.notes)


def test_functions_inside_of_an_opened_phase_stand_under_it() -> None:
    records = make_profile(into=["schedule"])
    records.run["anatomy"]["phases"][NEW_BLOCKS] |= {"within": SCHEDULE, "depth": 1}
    anatomy = dissect(records)
    found = phase(anatomy, "decode", "BlockPool.get_new_blocks")
    assert (found.depth, found.within) == (1, "schedule")
    labels = [each.label for each in of_kind(anatomy, "decode").phases]
    assert labels[labels.index("schedule") + 1] == "BlockPool.get_new_blocks"
    assert len(labels) == len(set(labels)) == 6


def test_a_profile_that_measured_nothing_says_so() -> None:
    records = make_profile()
    empty = dissect(replace(records, columns={name: column[:0] for name, column in records.columns.items()}))
    assert not empty.kinds
    assert "nothing was measured" in empty.notes


def delayed(passes: int, later: float = 0.0) -> dict[str, list]:
    """Passes of 40 turns with a delay drawn for each: of `FORWARD` a quarter shows, of `SCHEDULE` all of it.

    What shows of the latter is in the turn itself, but for a part that comes one turn `later`.
    """
    draw = np.random.default_rng(0)
    names, shares = ["", SCHEDULE, FORWARD], {"": 0.0, SCHEDULE: 1.0, FORWARD: 0.25}
    rows = []
    for number in range(passes):
        before = ""
        for step in range(40):
            name = str(draw.choice(names))
            shown = shares[name] * (1 - later) + shares[before] * later
            turn_ns = 1e6 + 1e4 * step + 1e5 * shown + draw.normal(0, 3000)
            rows.append(
                {"pass": number, "step": step, "name": name, "turn_ns": turn_ns, "planted_ns": 1e5 * (name != "")}
            )
            before = name
    rows[123]["turn_ns"] += 5e7  # something took the core away
    return {key: [row[key] for row in rows] for key in rows[0]}


@pytest.mark.parametrize("later", [0.0, 0.7])
def test_the_share_that_shows_is_the_time_that_turns_took_longer_over_what_was_planted(later) -> None:
    labels = {name: label for name, (label, _) in PHASES.items()}
    found = shown_of_phases(delayed(12, later), labels, 0.999)
    for label, share in (("schedule", 1.0), ("forward", 0.25)):
        assert found[label].low < share < found[label].high
        assert found[label].high - found[label].low < 0.1


def test_of_too_few_passes_and_of_torn_ones_nothing_is_said_to_show() -> None:
    assert shown_of_phases({}, {}, 0.95) == {}
    assert shown_of_phases(delayed(5), {}, 0.95) == {}
    assert shown_of_phases({key: column[:-1] for key, column in delayed(12).items()}, {}, 0.95) == {}


def test_what_is_left_behind_is_a_mean_over_turns_and_functions_of_one_label_are_added_up() -> None:
    table = {
        "step": [0, 1, 0, 1, 0, 1, 0],
        "counted": ["tracked"] * 7,
        "name": ["a.first", "a.first", "a.second", "a.second", "a.silent", "a.silent", "a.arrives"],
        "calls": [1, 1, 1, 1, 0, 0, 4],
        "objects": [3.0, 5.0, -1.0, 1.0, 7.0, 7.0, 12.0],
    }
    labels = {"a.first": "phase", "a.second": "phase", "a.arrives": "arrival"}
    whole = Per((0, float("inf")), 2, frozenset({"a.arrives"}), 4.0)
    assert left_behind(table, whole, labels) == {"phase": {"tracked": 4.0}, "arrival": {"tracked": 3.0}}
    last = Per((1, 2), 1, frozenset({"a.arrives"}), 4.0)
    assert left_behind(table, last, labels) == {"phase": {"tracked": 6.0}, "arrival": {"tracked": 3.0}}


def test_a_sample_belongs_to_the_innermost_phase_on_its_stack() -> None:
    turn = Frame("EngineCore.step", "vllm/v1/engine/core.py", 460)
    schedule = Frame("Scheduler.schedule", "vllm/v1/core/sched/scheduler.py", 400)
    inside = Frame("allocate_slots", "vllm/v1/core/kv_cache_manager.py", 10)
    stacks = {(turn,): 20, (turn, schedule): 50, (turn, schedule, inside): 30, (Frame("elsewhere", "x.py"),): 1000}
    labels = {TURN: "rest of the turn", SCHEDULE: "schedule"}
    rest, schedule_found = sorted(
        sampled_phases(stacks, labels, {"rest of the turn": 0.22, "schedule": 0.5}, 0.95), key=lambda each: each.samples
    )
    assert (rest.samples, rest.by_samples.estimate, rest.agrees) == (20, pytest.approx(0.2), True)
    assert (schedule_found.samples, schedule_found.agrees) == (80, False)
    # Clopper and Pearson's limits for 20 of 100, as published tables have them.
    assert (rest.by_samples.low, rest.by_samples.high) == (
        pytest.approx(0.1267, abs=1e-4),
        pytest.approx(0.2918, abs=1e-4),
    )


def test_harness_own_work_is_no_phase_and_a_decorator_is_its_functions() -> None:
    step, timer = Frame("EngineCore.step", "vllm/v1/engine/core.py"), "harness/instrument/step_timer.py"
    timed = Frame("StepTimer.execute.<locals>.timed_execute_model", timer)
    decorator = Frame("context_decorator.<locals>.decorate_context", "torch/utils/_contextlib.py")
    execute = Frame("GPUModelRunner.execute_model", "vllm/v1/worker/gpu_model_runner.py")
    own = Frame("StepRows.executed", "harness/instrument/steps.py")
    labels = {
        "vllm.v1.engine.core.EngineCore.step": "rest of the turn",
        "vllm.v1.worker.gpu_model_runner.GPUModelRunner.execute_model": "rest of execute",
    }
    stacks = {
        (step, timed): 1, (step, timed, own): 2, (step, timed, own, decorator): 4,
        (step, timed, decorator): 8, (step, timed, decorator, execute): 16, (step, decorator): 32,
    }  # fmt: skip
    found = sampled_phases(stacks, labels, dict.fromkeys(labels.values(), 0.5), 0.95)
    assert {each.label: each.samples for each in found} == {"rest of execute": 24, "rest of the turn": 32}


def test_a_profile_with_stacks_has_the_shares_by_samples() -> None:
    path, owner, method = SCHEDULE.rpartition(".")[0].rpartition(".")[0].replace(".", "/"), "Scheduler", "schedule"
    folded = f"MainThread;{owner}.{method} ({path}.py:10) 7\n"
    anatomy = dissect(replace(make_profile(), folded={"native": folded}))
    assert {found.label: found.samples for found in anatomy.sampled if found.samples} == {"schedule": 7}


def test_functions_of_one_label_show_as_one_phase() -> None:
    found = shown_of_phases(delayed(12), {SCHEDULE: "both", FORWARD: "both"}, 0.999)
    assert list(found) == ["both"]
    assert found["both"].low < 0.625 < found["both"].high


def test_native_and_its_repetition_share_their_groups(anatomy) -> None:
    forward = phase(anatomy, "decode", "forward")
    records = make_profile()
    alone = {key: column[records.columns["arm"] == "native"] for key, column in records.columns.items()}
    run = {**records.run, "arms_measured": ["native"]}
    half = phase(dissect(replace(records, run=run, columns=alone)), "decode", "forward")
    assert forward.us.high - forward.us.low == pytest.approx(half.us.high - half.us.low, rel=0.2)
    first = {key: column[records.columns["group"] == 0] for key, column in records.columns.items()}
    one = phase(dissect(replace(records, columns=first)), "decode", "forward")
    assert (one.us.low, one.us.high) == (float("-inf"), float("inf"))


def test_launches_take_what_only_they_know_and_intervals_are_over_them() -> None:
    launch = make_profile()
    top = {key: value for key, value in launch.run.items() if key not in ("switch", "anatomy")}
    anatomy = dissect(replace(launch, run=top, launches=[launch] * 3))
    rest = phase(anatomy, "decode", "rest of the turn")
    assert rest.us.estimate == pytest.approx(OWN_US[TURN], rel=2e-3)  # without the instrument's own time
    assert of_kind(anatomy, "decode").told.estimate == pytest.approx(1, abs=2e-3)
    assert anatomy.launches == 3
    assert rest.us.high - rest.us.low == pytest.approx(0, abs=1e-9)  # the three are the same


def test_two_opened_functions_of_one_name_are_two_rows() -> None:
    records = make_profile(into=["schedule"])
    phases = records.run["anatomy"]["phases"]
    phases[NEW_BLOCKS] |= {"label": "BlockPool.take", "within": SCHEDULE, "depth": 1}
    phases[LOGPROBS] |= {"label": "Other.take", "within": SCHEDULE, "depth": 1}
    table = overview(dissect(records), 20)
    assert table.rows.count("  get_new_blocks") + table.rows.count("  update_from_output") == 2


def test_a_sample_outside_of_every_phase_is_of_none() -> None:
    elsewhere, own = Frame("elsewhere", "x.py"), Frame("StepRows.executed", "harness/instrument/steps.py")
    assert _innermost((elsewhere,), {TURN: "rest of the turn"}) == ""
    assert _innermost((), {TURN: "rest of the turn"}) == ""
    assert _innermost((elsewhere, own), {TURN: "rest of the turn"}) == ""


def test_where_nothing_arrives_there_is_no_arrival() -> None:
    assert arrival_of([], np.zeros(3, dtype=np.int64)) is None


def test_figures_of_phases_are_of_whole_groups_alone() -> None:
    profile = make_profile()
    whole = phase_figures(profile)[NATIVE]
    last = profile.columns["group"] == GROUPS - 1
    kept = ~last | (np.cumsum(last) < last.sum())  # the last group lacks its last step
    cut = phase_figures(replace(profile, columns={name: column[kept] for name, column in profile.columns.items()}))
    assert cut[NATIVE].keys() == whole.keys()
    assert cut[NATIVE]["step"] == pytest.approx(whole["step"], rel=0.05)
