"""What a report says of a change: what it swaps and reaches, its denominators, and the part for the pull request."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from harness.analysis.names import scope_in_words, short_names
from harness.analysis.own import never_called, own_functions
from harness.analysis.summarise import summarise
from harness.records.folder import Records, read_run
from harness.report import write_reports
from harness.report.changed import changed, in_a_line
from harness.report.command import command_line
from harness.report.markdown import render_markdown
from harness.report.pull_request import HEADING, LINES, pull_request
from harness.report.screen import print_screen
from harness.report.terminal import print_summary
from tests import foreign
from tests.analysis.test_summarise import STEPS, make_counters, make_frame, make_run
from tests.records.test_foreign import change

GOLDEN = Path(__file__).parents[1] / "golden" / "pull_request.md"
SCHEDULER = "vllm.v1.core.sched.scheduler.Scheduler."
RUNNER = "vllm.v1.worker.gpu_model_runner.GPUModelRunner."
SCOPE = f"{SCHEDULER}schedule + {RUNNER}_update_states + {RUNNER}_prepare_inputs"
APPEND, OPEN = "vllm.v1.worker.block_table.BlockTable.append_row", "vllm.v1.core.block_pool.BlockPool.open"
NEVER = f"{SCHEDULER}reset_prefix_cache"


def make_change(turns: bool = True, rare: bool = False, **run) -> Records:
    """`array` is a patch of three functions, one of which is never called; its engine core's turns are timed.

    Args:
        turns: whether the turn is timed.
        rare: its function is called in two steps of five alone.
        run: more of run.json.
    """
    facts = make_run(**run)
    facts["config"] |= {
        "seam": "", "scope": SCOPE, "probes": [OPEN, APPEND],
        "arms": [{"name": "list"}, {"name": "array", "patch": "a.patch"}, {"name": "wrong", "patch": "b.patch"}],
        "equality": {"ignore": [], "by_design": []},
    }  # fmt: skip
    facts["changes"] = {
        "array": {
            "kind": "patch", "file": "a.patch", "sha256": "0e5f7cc2d65036c7", "title": "[Core] Append at once",
            "base": "exact", "left_out": ["tests/v1/test_block_table.py"], "needs_build": ["csrc/cache.cu"],
            "changed": [OPEN, APPEND, NEVER], "refused": [],
        },
        "wrong": {"kind": "patch", "file": "b.patch", "sha256": "15bf35420e827798", "base": "exact"},
    }  # fmt: skip
    put = {"called_through": [], "values": [], "added": [], "left": []}
    facts["switch"] = {
        "functions": [OPEN, APPEND, NEVER], "trampolines": [APPEND], "turns": turns, "put_ns": 1188.9,
        "trampoline_ns": 90.8,
        "arms": {
            "array": {
                **put, "swapped": [OPEN, APPEND, NEVER], "called_through": [APPEND],
                "added": ["vllm.v1.worker.block_table._store"],
                "left": [{"name": "vllm.v1.spec_decode.eagle.Eagle.propose", "why": "its module is not imported"}],
            },
            "wrong": {**put, "swapped": [APPEND]},
        },
    }  # fmt: skip
    facts["calls"] = {arm: {OPEN: 2 * STEPS, APPEND: STEPS, NEVER: 0} for arm in ("native", "list", "array", "wrong")}
    facts["checked"] = {"leaves": 18362, "not_repeated": ["context.scheduler_metadata"], "ignored": []}
    facts["checked"]["cut"] = ["calls.f[*].self.runner.cut"]
    facts["scope_found"] = True
    frame = make_frame()
    names = {"torch.cat": OPEN, "compute_slot_mapping": APPEND}
    frame = frame.rename(columns={c: c.replace(old, new) for old, new in names.items() for c in frame if old in c})
    if turns:
        frame["turn_ns"] = frame["execute_ns"] + frame["sample_ns"] + 200_000
    if rare:
        silent = frame["step"] > 1
        frame.loc[silent, [f"{APPEND}.calls", f"{OPEN}.calls", "scope.nested_calls"]] = 0
    return Records(facts, frame, counters=make_counters())


@pytest.fixture
def summary():
    return summarise(make_change())


def part_of(text: str) -> str:
    return text[text.index(f"### {HEADING}") :]


def test_the_part_for_the_pull_request_is_the_golden_one(summary) -> None:
    """After a wanted change: HARNESS_UPDATE_GOLDEN=1 pytest tests/report/test_changed.py, and read the diff."""
    part = part_of(render_markdown(summary, ["run.json"]))
    if os.environ.get("HARNESS_UPDATE_GOLDEN"):
        GOLDEN.write_text(part)
    assert part == GOLDEN.read_text()
    assert len(part.splitlines()) <= LINES


def test_a_run_without_a_change_has_neither_section() -> None:
    summary = summarise(Records(make_run(), make_frame()))
    assert (changed(summary), pull_request(summary), in_a_line(summary)) == (None, [], "")
    assert HEADING not in render_markdown(summary)


def test_the_step_is_the_turn_where_that_was_timed(summary) -> None:
    plain = summarise(make_change(turns=False))
    assert (summary.turns, plain.turns) == (True, False)
    longer_ns = summary.arms["list"].bare_step_ns - plain.arms["list"].bare_step_ns
    assert longer_ns == pytest.approx(200_000 * STEPS)
    assert summary.as_json()["step"] == "turn of the engine core"
    assert plain.as_json()["step"] == "step of the model runner"
    text, of_step = render_markdown(summary), render_markdown(plain)
    for word in ("the whole turn (720 us)", "whole turn, bare", "turn is", "ms in the engine core", "engine-core time"):
        assert word in text
        assert word not in of_step
    for word in ("the whole step (520 us)", "whole step, bare", "ms in the model runner", "of runner time"):
        assert word in of_step
        assert word not in text


def test_a_turn_without_a_time_makes_no_turns() -> None:
    records = make_change()
    records.columns.loc[records.columns.index[3], "turn_ns"] = 0
    assert summarise(records).as_json()["step"] == "step of the model runner"


def test_a_function_that_is_never_called_is_said_everywhere(summary) -> None:
    entries = {entry.label: entry for entry in changed(summary).arms["array"]}
    assert entries["NEVER CALLED in this workload"].text == "Scheduler.reset_prefix_cache"
    assert entries["not switched"].text == "Eagle.propose (its module is not imported)"
    assert entries["left out"].text == "tests/v1/test_block_table.py"
    assert entries["needs a build"].text == "csrc/cache.cu"
    note = "never called in this workload: Scheduler.reset_prefix_cache of array; the figures say nothing of them"
    assert note in summary.notes
    assert "**NEVER CALLED in this workload: Scheduler.reset_prefix_cache**" in render_markdown(summary)
    assert "NEVER CALLED: Scheduler.reset_prefix_cache" in "".join(pull_request(summary))


def test_what_an_arm_found_in_its_caches_is_said() -> None:
    store = "vllm.v1.worker.block_table._store"
    records = make_change()
    records.run["cache_hits"] = {"array": {f"array: {store}": 12345}}
    entries = {entry.label: entry.text for entry in changed(summarise(records)).arms["array"]}
    told = "block_table._store 12,345, in a pass of this arm alone; caches are emptied before each pass"
    assert entries["found in its caches"] == told
    assert "found in its caches" not in str(changed(summarise(make_change())))


@pytest.mark.parametrize(
    ("sampling", "answers"),
    [
        ({}, "tokens"),
        ({"logprobs": 0, "detokenize": False}, "tokens and log probabilities"),
        ({"logprobs": 20, "detokenize": True}, "tokens, texts and log probabilities"),
    ],
)
def test_all_that_a_pass_answers_is_named_as_compared(sampling, answers) -> None:
    records = make_change()
    records.run["config"]["workload"] = {"requests": 1, "sampling": sampling}
    text = render_markdown(summarise(records), ["run.json"])
    assert text.count(f"(3) the {answers} of every pass") == 2
    assert text.count(f"; the same {answers} in every pass") == 2


def test_what_switching_costs_stands_beside_the_effect(summary) -> None:
    lines = " ".join(changed(summary).lines)
    assert "in 1.19 us, in every arm alike" in lines
    assert "array: 5 calls a pass through a trampoline of 91 ns are 0.091 us a step" in lines
    assert "†" not in lines
    assert "3.13" not in lines
    dear = make_change()
    dear.run["switch"]["trampoline_ns"], dear.run["machine"]["python"] = 9000.0, "3.13.1"
    lines = " ".join(changed(summarise(dear)).lines)
    assert "9† us a step, in every arm alike, beside a difference of 8 us, which is more than the difference" in lines
    assert "Python 3.13.1: from 3.13 on a function whose code was set never specialises again; so in every arm" in lines


def test_shares_are_of_the_scope_and_of_the_turn(summary) -> None:
    (table,) = (table for caption, table in changed(summary).tables if caption.startswith("The change's own"))
    rows = dict(zip(table.rows, zip(*(column.cells for column in table.columns), strict=True), strict=True))
    assert rows["BlockTable.append_row (array)"][::2] == ("40.01 → 30.01", "-7.14")
    assert rows["the scope (array)"] == ("140.0 → 132.0", "-8.00 [-8.00, -8.00]", "-5.71", "-1.11")
    assert rows["whole turn (array)"][0] == "720.0 → 712.0"


def test_steps_of_two_kinds_are_told_apart() -> None:
    (found,) = summarise(make_change(rare=True)).populations
    assert [(kind.kind, kind.steps) for kind in found.kinds] == [
        ("its functions are called", 2), ("they are not called", 3),
    ]  # fmt: skip
    (alike,) = summarise(make_change()).populations
    assert (alike.kinds, alike.apart) == ([], False)
    text = render_markdown(summarise(make_change(rare=True)))
    assert "Steps of two kinds" in text
    assert "Steps of two kinds" not in render_markdown(summarise(make_change()))


def test_names_are_as_short_as_they_can_be_and_none_is_another() -> None:
    names = ["vllm.v1.a.Table.append", "vllm.v1.b.Table.append", SCHEDULER + "schedule", "torch.cat", "plain"]
    expected = ["a.Table.append", "b.Table.append", "Scheduler.schedule", "torch.cat", "plain"]
    assert list(short_names(names).values()) == expected
    assert short_names(["b.c", "a.b.c"]) == {"b.c": "b.c", "a.b.c": "a.b.c"}


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("_prepare_inputs", "_prepare_inputs"),
        ("prepare_inputs + prepare_attn", "prepare_inputs + prepare_attn"),
        (f"{RUNNER}_sample", "sampling"),
        (f"{SCHEDULER}schedule + {RUNNER}_build_attention_metadata", "schedule and attention metadata"),
        (SCOPE, "schedule, _update_states and 1 more phase"),
        (f"{SCOPE} + vllm.x.Y.z", "schedule, _update_states and 2 more functions"),
    ],
)
def test_a_sentence_names_two_phases(scope, words) -> None:
    assert scope_in_words(scope, short_names(scope.split(" + "))) == words


def test_full_names_stand_in_the_report_once(summary) -> None:
    text = render_markdown(summary)
    for name in (OPEN, APPEND, NEVER, *SCOPE.split(" + ")):
        assert text.count(name) == 1


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_screen_fits_and_has_the_change_in_a_line(summary, width) -> None:
    console = Console(file=io.StringIO(), width=width)
    print_screen(summary, console)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "3 functions swapped, 18,362 leaves a pass compared" in " ".join(lines)
    assert "vllm.v1" not in "".join(lines)
    if width >= 80:
        assert len(lines) <= 37


def test_the_whole_terminal_has_the_section(summary) -> None:
    console = Console(file=io.StringIO(), width=100)
    print_summary(summary, console)
    text = console.file.getvalue()
    assert "What was changed" in text
    assert "NEVER CALLED in this workload" in text


HOSTILE = "<script>alert(1)</script> [a](javascript:x) \x1b[31m `c` | {{ 7 }}\n# two"


def test_a_strangers_change_is_shown_as_text(tmp_path) -> None:
    folder = foreign.make_run_folder(tmp_path / "run")
    change(folder, "config/arms", [{"name": "list"}, {"name": "array", "patch": "a"}, {"name": "wrong", "patch": "b"}])
    change(folder, "config/seam", "")
    names = [HOSTILE, "torch.cat"]
    facts = {
        "changes": {"array": {
            "kind": "patch", "file": HOSTILE, "title": HOSTILE, "sha256": HOSTILE, "base": HOSTILE,
            "left_out": names, "needs_build": names, "only": names, "refused": [{"name": HOSTILE, "why": HOSTILE}],
        }},
        "switch": {
            "functions": names, "trampolines": names, "put_ns": 1.0, "trampoline_ns": 1e15,
            "arms": {"array": {
                "swapped": names, "called_through": names, "values": names, "added": names,
                "left": [{"name": HOSTILE, "why": HOSTILE}],
            }},
        },
        "calls": {"array": {HOSTILE: 0, "torch.cat": 10**15}, HOSTILE: {}},
        "called_in": {HOSTILE: {HOSTILE: 2, "": 1}, "torch.cat": {HOSTILE: 3}},
        "checked": {"leaves": 9, "not_repeated": names, "ignored": names},
        "on_other_threads": {HOSTILE: {HOSTILE: 1}},
    }  # fmt: skip
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**content, **facts}))
    write_reports(folder)
    for name in ("report.html", "report.md"):
        text = (folder / name).read_text()
        assert foreign.markup_in(name, text) == []
        assert not re.search(r"\x1b|^# two", text, re.MULTILINE)
    assert len(part_of((folder / "report.md").read_text()).splitlines()) <= LINES


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("switch", []), ("switch/arms", [1]), ("switch/put_ns", -1), ("calls", {"list": {"a": -1}}),
        ("called_in", {"a": {"b": "1"}}),
        ("checked/leaves", "9"), ("changes", {"array": {"kind": "patch"}}), ("on_other_threads", {"list": 3}),
    ],
)  # fmt: skip
def test_what_is_wrong_in_it_is_refused(tmp_path, key, value) -> None:
    folder = foreign.make_run_folder(tmp_path / "run")
    content = json.loads((folder / "run.json").read_text())
    first, _, last = key.partition("/")
    content[first] = {last: value} if last else value
    (folder / "run.json").write_text(json.dumps(content))
    with pytest.raises(Exception, match=rf"run\.json: {first}"):
        read_run(folder)


def test_at_launch_grain_an_arms_functions_are_those_that_its_files_change() -> None:
    run = make_change().run
    del run["switch"]
    run["config"]["protocol"]["grain"] = "launch"
    run["started_with"] = {"array": [OPEN, APPEND]}
    assert own_functions(run)["array"] == [OPEN, APPEND]


def test_a_function_that_a_backend_puts_under_the_swapped_name_counts_as_swapped() -> None:
    run = make_change().run
    of_patch = run["switch"]["arms"]["array"]["swapped"]
    run["config"]["swap"] = "vllm.utils.torch_utils.async_tensor_h2d"
    run["config"]["arms"] = [{"name": "native"}, {"name": "array", "reference": "mine.py:async_tensor_h2d"}]
    living = "vllm.v1.worker.cpu.shm.async_tensor_h2d"  # as vLLM's CPU worker does when it is imported
    run["switch"] |= {"functions": [living, *of_patch], "arms": {"patch": {"swapped": of_patch}}}
    run["calls"] = {"array": {living: 240}}
    assert own_functions(run) == {"array": [living]}
    assert never_called(run, "array") == []
    run["switch"] = {}
    assert own_functions(run) == {"array": ["vllm.utils.torch_utils.async_tensor_h2d"]}


def test_a_patch_from_standard_input_is_repeated_by_the_config_in_the_runs_folder() -> None:
    run = make_change().run
    run["command"] = ["python", "-m", "harness", "ab", "-", "--set", "protocol.groups=5"]
    assert command_line(SimpleNamespace(run=run)) == "python -m harness run config.yaml"
    run["command"] = ["python", "-m", "harness", "ab", "a.patch", "--out", "x"]
    assert command_line(SimpleNamespace(run=run)) == "python -m harness ab a.patch"


def test_the_reason_for_launch_grain_is_the_texts_or_else_the_engines_own(summary) -> None:
    run = summary.run
    run["config"]["protocol"]["grain"] = "launch"
    assert changed(summary).lines[0] == "Arms change from launch to launch: the config asks for it."
    run["grain"] = {"asked": "auto", "why": ["objects that a changed __init__ makes live over a step (48 of Request)"]}
    assert changed(summary).lines[0] == (
        "Arms change from launch to launch: not to be switched: objects that a changed __init__ makes live over a step "
        "(48 of Request)."
    )
    run["changes"]["array"]["refused"] = [{"name": OPEN, "why": "its decorators changed"}]
    assert changed(summary).lines[0] == (
        "Arms change from launch to launch: not to be switched: BlockPool.open (its decorators changed)."
    )


def test_a_scope_beside_the_turn_is_no_part_of_it() -> None:
    records = make_change()
    records.run["config"]["scope"] = "vllm.v1.engine.output_processor.OutputProcessor.process_outputs"
    text = render_markdown(summarise(records))
    assert "ms in the engine core, beside it" in text
    assert "output processing lies beside the turn" in text
    assert "of which" not in text.partition("a step:")[2].partition("\n")[0]
    assert "beside the turn" not in render_markdown(summarise(make_change()))
