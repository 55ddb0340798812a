"""A table of what an arm can do wrong: it is struck by name, with a reason, and the run goes on to its end."""

from __future__ import annotations

import gc
import json
import signal
import textwrap

import numpy as np
import pytest
import torch

from harness.analysis.summarise import summarise
from harness.config.file import load
from harness.instrument.global_state import snapshot
from harness.instrument.pristine import OUT_OF_REACH
from harness.records.folder import RunFolder, read_run
from harness.report import write_reports
from harness.running.run import Run
from tests.fakes import FakeHost, Silent

CONFIG = """\
engine: {{model: none}}
workload: {{requests: 3, prompt_tokens: 6, output_tokens: 5}}
seam: slot_mapping
arms: [list, numpy, {{mine: "{file}:Mine"}}]
protocol: {{groups: 4, bare: false, counters: false}}
"""
STEPS = 5
CHECKED = STEPS
"""Calls of an arm in a checking pass; as many again warm it up."""

ARM = """\
import asyncio, ctypes, gc, os, signal, sys, time
import numpy as np
import torch
from patches.slot_mapping import Numpy

class Mute(Exception):
    def __str__(self):
        raise ValueError("no text")

class Mine(Numpy):
    calls = 0

    def slots(self, block_tables, *args):
        Mine.calls += 1
        slots = super().slots(block_tables, *args)
        return self.mine(slots, block_tables, Mine.calls)

    def mine(self, slots, block_tables, call):
"""


def in_step(body: str) -> str:
    """An arm that does this in every step; `slots` is what is right, `call` the number of the call."""
    return ARM + textwrap.indent(body, " " * 8) + "\n        return slots\n"


@pytest.fixture
def run(tmp_path):
    def execute(text: str, *overrides: str, host: FakeHost | None = None):
        (tmp_path / "arm.py").write_text(text)
        (tmp_path / "config.yaml").write_text(CONFIG.format(file=tmp_path / "arm.py"))
        loaded = load(tmp_path / "config.yaml", overrides)
        run = Run(loaded, host or FakeHost(), RunFolder(tmp_path / "run"), Silent())
        before = snapshot()
        outcome = run.execute()
        assert snapshot() == before
        assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == outcome.status
        summarise(read_run(run.folder.path))  # a report needs no more
        return run, outcome

    return execute


CLASS = "\n\nclass Mine: pass\n"
"""A config's arm is looked for in the text of its file, before anything is started."""

STRUCK = {
    "exits at import": ("raise SystemExit(3)" + CLASS, "SystemExit: 3 (arm.py:1)"),
    "raises at import": ("1 / 0" + CLASS, "ZeroDivisionError"),
    "interrupts at import": ("raise KeyboardInterrupt" + CLASS, "KeyboardInterrupt"),
    "exits when made": ("class Mine:\n def __init__(self): raise SystemExit(0)", "SystemExit: 0"),
    "cannot be described": (
        "class Mute(Exception):\n def __str__(self): raise SystemExit\nclass Mine:\n def __init__(self): raise Mute",
        "Mute: (its text cannot be had: __str__ raised SystemExit)",
    ),
    "an attribute raises": (
        "class Mine:\n slots = print\n @property\n def takes(self): raise SystemExit(1)",
        "raised SystemExit: 1",
    ),
    "a method's look-up raises": (
        "class Mine:\n takes = 'lists'\n @property\n def slots(self): raise RuntimeError('later')",
        "raised RuntimeError: later",
    ),
    "changes state when loaded": (
        "import torch\ntorch.set_default_dtype(torch.float64)\nclass Mine: pass",
        "changed torch's default dtype when it was loaded",
    ),
    "exits": (in_step("raise SystemExit(0)"), "raised SystemExit: 0 (arm.py:"),
    "ends a generator": (in_step("raise GeneratorExit"), "raised GeneratorExit: no message (arm.py:"),
    "interrupts": (in_step("raise KeyboardInterrupt"), "raised KeyboardInterrupt"),
    "raises without a text": (in_step("raise Mute"), "Mute: (its text cannot be had: __str__ raised ValueError)"),
    "raises a long text": (in_step("raise ValueError('x' * 5_000_000)"), "ValueError: xxx"),
    "gives None": (in_step("return None"), "slots must be int64 [tokens] on cpu, not builtins.NoneType"),
    "gives a list": (in_step("return slots.tolist()"), "slots must be int64 [tokens] on cpu, not builtins.list"),
    "gives an array": (in_step("return slots.numpy()"), "slots must be int64 [tokens] on cpu, not numpy.ndarray"),
    "gives a coroutine": (
        in_step("return asyncio.sleep(0)"),
        "slots must be int64 [tokens] on cpu, not builtins.corou",
    ),
    "gives int32": (in_step("return slots.int()"), "slots must be int64 [tokens] on cpu, not int32 [18] on cpu"),
    "changes dtype": (in_step("torch.set_default_dtype(torch.float64)"), "changed torch's default dtype"),
    "changes threads": (in_step("torch.set_num_threads(3)"), "changed torch's number of threads"),
    "changes determinism": (in_step("torch.use_deterministic_algorithms(True)"), "torch's deterministic algorithms"),
    "changes grad mode": (in_step("torch.set_grad_enabled(not torch.is_grad_enabled())"), "torch's grad mode"),
    "changes the device": (in_step("torch.set_default_device('meta')"), "torch's default device"),
    "collects no garbage": (in_step("gc.disable()"), "changed garbage collection, for all that came after it"),
    "changes numpy": (in_step("np.seterr(all='raise')"), "numpy's handling of errors"),
    "goes elsewhere": (in_step("os.chdir('/')"), "the working directory"),
    "takes Ctrl-C away": (in_step("signal.signal(signal.SIGINT, signal.SIG_IGN)"), "the handlers of signals"),
    "computes for ever": (in_step("while True: pass"), "ArmTimeout: it had not returned after 1 s"),
    "waits for ever": (in_step("time.sleep(10**6)"), "ArmTimeout: it had not returned after 1 s"),
    "keeps exceptions": (
        in_step("while True:\n    try: time.sleep(10**6)\n    except Exception: pass"),
        "ArmTimeout: it had not returned after 1 s",
    ),
    "swallows all once": (
        in_step("try: time.sleep(10**6)\nexcept BaseException: time.sleep(10**6)"),
        "ArmTimeout: it had not returned after 1 s",
    ),
    "imports for ever": ("while True: pass" + CLASS, "ArmTimeout: it had not returned after 1 s"),
}


@pytest.mark.parametrize(("text", "reason"), STRUCK.values(), ids=STRUCK)
def test_a_broken_arm_is_struck_and_the_others_are_measured(run, text, reason) -> None:
    found, outcome = run(text, *(["protocol.step_timeout_s=1"] if "ArmTimeout" in reason else []))
    assert (outcome.status, outcome.exit_status) == ("complete", 1)
    (note,) = [note for note in found.observer.notes if "struck" in note]
    assert note.startswith("mine is struck: ")
    assert reason in note
    assert len(note) < 1000
    records = read_run(found.folder.path)
    assert records.run["equality"]["numpy"]["equal"]
    assert not records.run["equality"]["mine"]["equal"]
    assert set(records.frame["arm"]) == {"list", "numpy", "A/A"}
    assert len(records.frame) == 4 * 3 * STEPS


def later(body: str, call: int = 2 * CHECKED + 3) -> str:
    return in_step(f"if call >= {call}:\n" + textwrap.indent(body, "    "))


LATE = {
    "gives int32": (later("return slots.int()"), "slots must be int64"),
    "gives too many": (later("return torch.cat([slots, slots[:1]])"), "differs at step 0"),
    "changes block tables": (later("if len(slots) < 4: block_tables[0, -1] += 1"), "changed its input block_tables"),
}


@pytest.mark.parametrize(("text", "reason"), LATE.values(), ids=LATE)
def test_an_arm_that_turns_wrong_is_found_at_the_runs_end_and_loses_its_figures(run, text, reason) -> None:
    found, outcome = run(text)
    assert (outcome.status, outcome.exit_status) == ("complete", 1)
    assert reason in outcome.message
    assert "of the check after group 4" in outcome.message
    summary = write_reports(found.folder.path)
    assert summary.arms["mine"].equal is False
    assert summary.difference("mine", "scope") is None
    assert summary.difference("numpy", "scope") is not None
    assert "`mine` is struck" in (found.folder.path / "report.md").read_text()
    assert "before measuring and after the last one" in (found.folder.path / "report.md").read_text()


def test_an_arm_that_turns_wrong_is_found_between_groups_and_what_was_measured_is_kept(run) -> None:
    found, outcome = run(later("return slots.int()"), "protocol.groups=40")
    assert (outcome.status, outcome.exit_status) == ("failed", 1)
    assert "no longer equal to native, so measuring ended: arm 'mine' fails at step " in outcome.message
    assert "slots must be int64 [tokens] on cpu, not int32 [3] on cpu" in outcome.message
    records = read_run(found.folder.path)
    (groups,) = records.run["checked_after_groups"]
    assert groups < 40
    assert len(records.frame) == groups * 4 * STEPS
    assert not records.run["equality"]["mine"]["equal"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise Mute", "its text cannot be had"),
        ("return None", "TypeError: slots must be int64 [tokens] on cpu, not builtins.NoneType"),
        ("while True: pass", "ArmTimeout: it had not returned after 1 s"),
    ],
)
def test_an_arm_that_fails_while_it_is_measured_is_named_and_loses_nothing(run, body, error) -> None:
    found, outcome = run(later(body), "protocol.step_timeout_s=1")
    assert (outcome.status, outcome.exit_status) == ("failed", 1)
    assert "arm 'mine' raised at step" in outcome.message
    assert error in outcome.message
    assert "passes were measured and kept" in outcome.message
    assert not found.host.instrument.under_way


def test_state_that_is_changed_while_measuring_is_told_and_put_back(run) -> None:
    _, outcome = run(later("torch.set_default_dtype(torch.float64)"))
    assert (outcome.status, outcome.exit_status) == ("failed", 1)
    assert "an arm changed torch's default dtype, for all that came after it" in outcome.message
    assert torch.get_default_dtype() == torch.float32


def test_state_that_is_changed_while_an_arm_warms_up_strikes_it(run) -> None:
    found, outcome = run(in_step(f"if call == {CHECKED + 1}: gc.disable()"))
    assert (outcome.status, outcome.exit_status) == ("complete", 1)
    assert "arm 'mine' changed garbage collection while it warmed up" in outcome.message
    assert gc.isenabled()
    assert set(read_run(found.folder.path).frame["arm"]) == {"list", "numpy", "A/A"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("call", [2, 2 * CHECKED + 3])
@pytest.mark.parametrize("swallowed", [False, True])
def test_a_signal_while_an_arm_is_at_work_ends_the_run_and_is_not_put_on_the_arm(run, number, call, swallowed) -> None:
    kill = f"if call == {call}:\n    signal.raise_signal({int(number)})"
    if swallowed:
        kill = f"try:\n{textwrap.indent(kill, '    ')}\nexcept BaseException: pass"
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    found, outcome = run(in_step(kill))
    assert (outcome.status, outcome.exit_status) == ("interrupted", 130)
    assert not [note for note in found.observer.notes if "struck" in note]
    assert found.host.stopped
    assert handlers == [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_a_hang_up_that_is_ignored_stays_so(run) -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        _, outcome = run(in_step(f"if call == 2: signal.raise_signal({int(signal.SIGHUP)})"))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (outcome.status, outcome.exit_status) == ("complete", 0)


def test_numpys_state_is_part_of_what_is_put_back() -> None:
    with np.errstate(all="raise"):
        assert snapshot()["numpy's handling of errors"]["over"] == "raise"


class Apart(FakeHost):
    """Its engine core is out of reach."""

    def __init__(self, not_repeated: list[str], why: str = OUT_OF_REACH) -> None:
        super().__init__()
        self.not_repeated, self.why = not_repeated, why

    def checked(self):
        return {**super().checked(), "not_repeated": self.not_repeated, "not_reset": self.why}


@pytest.mark.parametrize("why", [OUT_OF_REACH, ""])
def test_no_arm_is_called_equal_by_tokens_alone_where_native_does_not_repeat_what_it_computes(run, why) -> None:
    field = "context.slot_mapping[model.layers.*.self_attn.attn]"
    under_test, outcome = run(in_step("pass"), host=Apart(["batch.other", field], why))
    assert outcome.status == "failed"
    assert f"native does not repeat what arms at slot_mapping compute (`{field}`)" in outcome.message
    assert f"{why or 'its passes differ in it'}. Where harness reaches" in outcome.message
    assert "set host.process: in_process" in outcome.message
    records = read_run(under_test.folder.path)
    assert "equality" not in records.run
    assert records.run["checked"]["not_repeated"] == ["batch.other", field]


def test_where_native_repeats_what_arms_compute_they_are_compared_and_what_is_not_is_told(run) -> None:
    called = "calls.vllm.v1.worker.block_table.BlockTable.compute_slot_mapping[*].self.block_table.cpu"
    host = Apart(["state.input_batch.block_table.block_tables[*].slot_mapping.cpu", called])
    under_test, outcome = run(in_step("pass"), host=host)
    assert outcome.status == "complete"
    records = read_run(under_test.folder.path)
    assert all(found["equal"] for found in records.run["equality"].values())
    told = f"{OUT_OF_REACH}: block ids do not repeat from pass to pass, so these are compared by tokens alone"
    assert [note for note in summarise(records).notes if note.startswith(told)]
