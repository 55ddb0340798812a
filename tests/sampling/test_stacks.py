"""Stacks: read and written, cut to a scope, matched at the seam, merged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sampling.stacks import ENTRY, PLANTED, SEAM, Frame, change, cut, fold, match, merge, parse

VLLM, PASSED_ON = "vllm/v1/worker/block_table.py", "MultiGroupBlockTable.compute_slot_mapping"
STEP = Frame("StepTimer.execute.<locals>.timed_execute_model", "harness/instrument/step_timer.py", 113)
SCOPE = Frame("GPUModelRunner._prepare_inputs", "vllm/v1/worker/gpu_model_runner.py", 2144)
GROUP = Frame(PASSED_ON, VLLM, 290)
NATIVE = Frame("BlockTable.compute_slot_mapping", VLLM, 150)
HAND_OVER = Frame("Site.implement.<locals>.compute_slot_mapping", "harness/seams/slot_mapping.py", 149)
LISTS = Frame("Site._lists_from_runner", "harness/seams/slot_mapping.py", 180)
DIFF = Frame("diff", "numpy/lib/_function_base_impl.py", 1485)
SLOTS = Frame("List.slots", "patches/slot_mapping.py", 51)
APPEND = Frame("append_slots", "patches/slot_mapping.py", 31)
DELAYED = Frame("plant.<locals>.delayed", "harness/instrument/planting.py", 30)

names = st.sampled_from(["f", "Class.method", "f.<locals>.<listcomp>", "at::(anonymous namespace)::g", "<module>"])
files = st.sampled_from(["vllm/a.py", "numpy/b.py", "libtorch_cpu.so", "patches/slot_mapping.py", "harness/seams/x.py"])
frames = st.builds(Frame, names, files, st.integers(0, 99))
seam_frames = st.sampled_from([GROUP, NATIVE, HAND_OVER, LISTS, SLOTS, DELAYED, SCOPE])
stacks = st.dictionaries(
    st.lists(frames | seam_frames, min_size=1, max_size=8).map(tuple), st.integers(1, 1000), max_size=12
)


GENERATE = Frame("LLM.generate", "vllm/entrypoints/llm.py", 473)
CALL = Frame("PyObject_Call", "python3.11")
CLOCK = Frame("clock_gettime", "libc.so.6")


def test_py_spys_lines_are_read() -> None:
    found = parse(
        "thread (17960): MainThread;<module> (serve.py:12);LLM.generate (vllm/entrypoints/llm.py:473) 3\n"
        "thread (0x7F00);poll (zmq/sugar/poll.py:99) 1\n"
        "thread (17961): MainThread;<module> (serve.py:12);LLM.generate (vllm/entrypoints/llm.py:473) 2\n"
        "main (app.py:1);at::(anonymous namespace)::wrap (libtorch_cpu.so) 4\n"
        "0x7f4ac78dda88 (libc.so.6);<native> 5\n"
        "\n"
        "torn line\n"
    )
    assert found == {
        (Frame("MainThread"), Frame("<module>", "serve.py", 12), GENERATE): 5,
        (Frame("thread"), Frame("poll", "zmq/sugar/poll.py", 99)): 1,
        (Frame("main", "app.py", 1), Frame("at::(anonymous namespace)::wrap", "libtorch_cpu.so")): 4,
        (Frame("0x7f4ac78dda88", "libc.so.6"), Frame("<native>")): 5,
    }  # fmt: skip


@given(stacks)
def test_what_is_written_is_read_again(found) -> None:
    assert parse(fold(found)) == found


def test_a_cut_begins_at_the_outermost_call_and_leaves_the_rest_out() -> None:
    found = {(STEP, SCOPE, GROUP, SCOPE): 2, (STEP, GROUP): 3, (STEP, SCOPE): 1}
    assert cut(found, "_prepare_inputs") == {(SCOPE, GROUP, SCOPE): 2, (SCOPE,): 1}
    assert cut(found, "timed_execute_model", "nothing") == found
    assert cut(found, "prepare_inputs") == {}
    assert cut(found, "GPUModelRunner._prepare_inputs") == cut(found, "_prepare_inputs")
    assert cut(found, "vllm.v1.worker.gpu_model_runner.GPUModelRunner._prepare_inputs") == cut(found, "_prepare_inputs")
    assert cut(found, "vllm.v1.worker.other_runner.OtherRunner._prepare_inputs") == {}
    bare = {(Frame("_prepare_inputs"), GROUP): 4}
    assert cut(bare, "vllm.v1.worker.gpu_model_runner.GPUModelRunner._prepare_inputs") == bare


@pytest.mark.parametrize(
    ("stack", "matched"),
    [
        ((SCOPE, GROUP, NATIVE), (SCOPE, GROUP, SEAM)),
        ((SCOPE, GROUP, NATIVE, DIFF), (SCOPE, GROUP, SEAM, DIFF)),
        ((SCOPE, GROUP, HAND_OVER), (SCOPE, GROUP, SEAM)),
        ((SCOPE, GROUP, HAND_OVER, SLOTS, APPEND), (SCOPE, GROUP, SEAM, ENTRY, APPEND)),
        ((SCOPE, GROUP, HAND_OVER, LISTS, DIFF), (SCOPE, GROUP, SEAM, LISTS, DIFF)),
        ((SCOPE, GROUP, HAND_OVER, CALL), (SCOPE, GROUP, SEAM, CALL)),
        ((SCOPE, GROUP, DELAYED), (SCOPE, GROUP, SEAM, PLANTED)),
        ((SCOPE, GROUP, DELAYED, CLOCK, CALL), (SCOPE, GROUP, SEAM, PLANTED, CLOCK, CALL)),
        ((SCOPE, GROUP, DELAYED, HAND_OVER, SLOTS), (SCOPE, GROUP, SEAM, ENTRY)),
        ((SCOPE, GROUP, DELAYED, NATIVE, DIFF), (SCOPE, GROUP, SEAM, DIFF)),
        ((SCOPE, HAND_OVER, SLOTS), (SCOPE, SEAM, ENTRY)),
        ((SCOPE, DIFF), (SCOPE, DIFF)),
    ],
)  # fmt: skip
def test_every_arm_comes_under_the_same_names_at_the_seam(stack, matched) -> None:
    assert match({stack: 7}, "compute_slot_mapping") == {matched: 7}


@given(stacks)
def test_nothing_is_lost_by_matching_or_merging(found) -> None:
    matched = match(found, "compute_slot_mapping")
    assert sum(matched.values()) == sum(found.values())
    tree = merge(found, matched)
    assert tree.counts == [sum(found.values())] * 2

    def check(node) -> None:
        for index in range(2):
            within = sum(child.counts[index] for child in node.children.values())
            assert node.counts[index] == node.own[index] + within
        for child in node.children.values():
            check(child)

    check(tree)


def test_lines_of_one_function_are_merged() -> None:
    later = Frame(SCOPE.name, SCOPE.file, 2200)
    tree = merge({(SCOPE, DIFF): 2, (later,): 3})
    (scope,) = tree.children.values()
    assert (scope.counts, scope.own, list(scope.children)) == ([5], [3], [DIFF.key])


@pytest.mark.parametrize(
    ("counts", "weights", "frames", "us", "resolved"),
    [
        ((0, 4), (2.0, 2.0), 1, 8.0, True),  # 8 > 1.96 * 2 * sqrt(4) = 7.84
        ((0, 4), (2.0, 2.0), 2, 8.0, False),  # 8 < 2.24 * 4
        ((0, 11), (2.0, 2.0), 40, 22.0, True),  # 22 > 3.227 * 2 * sqrt(11) = 21.4
        ((0, 10), (2.0, 2.0), 40, 20.0, False),  # 20 < 20.4
        ((100, 100), (1.0, 1.0), 1, 0.0, False),
        ((400, 200), (1.0, 2.0), 1, 0.0, False),  # the same time, from half as many samples
        ((400, 300), (1.0, 1.0), 40, -100.0, True),  # 100 > 3.227 * sqrt(700) = 85
        ((0, 0), (1.0, 1.0), 1, 0.0, False),
    ],
)
def test_a_change_is_resolved_where_poisson_counts_cannot_explain_it(counts, weights, frames, us, resolved) -> None:
    found = change(counts, weights, frames)
    assert found.us == pytest.approx(us)
    assert found.resolved is resolved


def test_two_recordings_of_the_same_work_differ_in_no_frame_19_times_of_20() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(40)) * 250
    wrong = sum(
        any(
            change((int(a), int(b)), (1.0, 1.0), 40).resolved
            for a, b in zip(*rng.poisson(shares, (2, 40)), strict=True)
        )
        for _ in range(2000)
    )
    assert wrong <= 2000 * 0.05
