"""Several launches: what is drawn for each, what becomes of their records, and of their faults."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from harness.children import begin_as_child
from harness.config.file import load
from harness.instrument.calibration import Calibration
from harness.instrument.instrument import Instrument
from harness.records.folder import RunFolder, read_facts, read_run
from harness.report import write_reports
from harness.running.drawn import PADDING, draw
from harness.running.launches import Launches
from harness.running.run import Run
from harness.sampling.stacks import fold
from tests.conftest import LIST_ONLY
from tests.fakes import FakeHost, Runner, Silent, VirtualClock
from tests.instrument.test_instrument import OffByOne, own
from tests.report.test_flamegraph import LIST, recording
from tests.running.test_proving import CONFIG, Engine

BOTH = LIST_ONLY.replace("arms: [list]", f"arms: [list, numpy, {{wrong: '{own(OffByOne)}'}}]")


def test_launches_are_drawn_apart_from_each_other_and_the_same_again() -> None:
    launches = draw(20, seed=1)
    assert [launch.number for launch in launches] == list(range(1, 21))
    for drawn in ("hash_seed", "padding_bytes", "schedule_seed"):
        assert len({getattr(launch, drawn) for launch in launches}) == 20
    assert draw(20, seed=1) == launches
    assert draw(20, seed=2) != launches
    assert [launch.schedule_seed for launch in draw(3, seed=2**32 - 2)] == [
        2**32 - 2,
        2**32 - 1,
        0,
    ]  # as a config has it


def test_what_is_drawn_for_launches_is_from_all_that_it_may_be() -> None:
    launches = draw(2000, seed=5)
    assert max(launch.hash_seed for launch in launches) < 2**32 - 1  # Python takes no larger one
    assert max(launch.hash_seed for launch in launches) > 2**31
    assert len({launch.hash_seed for launch in launches}) == 2000
    assert {launch.padding_bytes // 1024 for launch in launches} == {0, 1, 2, 3}  # within a page
    assert [launch.schedule_seed for launch in launches] == list(range(5, 2005))


class Process:
    """A launch played in this process: a run on the fake host, where some arm's luck changes with the launch."""

    started: ClassVar[list[tuple[list[str], dict[str, Any]]]]
    ends: ClassVar[dict[int, str]]

    def __init__(self, arguments: list[str], **how: Any) -> None:
        Process.started.append((arguments, how))
        self.signals: list[int] = []
        self.number = len(Process.started)
        config, out = Path(arguments[4]), Path(arguments[arguments.index("--out") + 1])
        overrides = [arguments[i + 1] for i, word in enumerate(arguments) if word == "--set"]
        self.end = Process.ends.get(self.number)
        if self.end == "no records":
            self.exit_status = 1
            return
        clock, rng = VirtualClock(reading_ns=10), np.random.default_rng(self.number)
        work = lambda: clock.advance(int(rng.normal(100_000, 1000)))  # noqa: E731
        lengths = "workload.output_tokens=4" if self.end == "other work" else "workload.output_tokens=5"
        loaded = load(config, [*overrides, lengths], ["list", "wrong"] if self.end == "unequal" else ["list", "numpy"])

        def before_pass(index: int, host: FakeHost) -> None:
            if self.end == "interrupted" and index == 9:
                raise KeyboardInterrupt

        outcome = Run(loaded, FakeHost(clock, Runner(work=work), before_pass), RunFolder(out), Silent()).execute()
        self.exit_status = outcome.exit_status

    def wait(self) -> int:
        if self.end == "interrupted" and not self.signals:
            raise KeyboardInterrupt
        return self.exit_status

    def send_signal(self, number: int) -> None:
        self.signals.append(number)


@pytest.fixture
def launch(tmp_path, monkeypatch):
    def go(**ends: str):
        monkeypatch.setattr(Process, "started", [], raising=False)
        monkeypatch.setattr(Process, "ends", {int(number[1:]): end for number, end in ends.items()}, raising=False)
        path = tmp_path / "config.yaml"
        path.write_text(BOTH)
        loaded = load(path, ["protocol.launches=4", "protocol.groups=3"], ["list", "numpy"])
        announced: list[tuple[int, int, float | None]] = []
        launches = Launches(
            loaded, RunFolder(tmp_path / "run"), [str(path), "--set", "protocol.groups=3"], ["harness", "run"],
            lambda *told: announced.append(told), start=Process,
        )  # fmt: skip
        return launches, announced

    return go


def test_each_launch_has_another_hash_seed_and_environment_size_and_its_own_folder(launch) -> None:
    launches, announced = launch()
    outcome = launches.execute()
    assert (outcome.status, outcome.exit_status) == ("complete", 0)
    assert [told[:2] for told in announced] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    left_s = [told[2] for told in announced]
    assert left_s[0] is None  # nobody knows yet how long a launch takes
    assert all(seconds > 0 for seconds in left_s[1:])
    seeds = {how["env"]["PYTHONHASHSEED"] for _, how in Process.started}
    sizes = {len(how["env"][PADDING]) for _, how in Process.started}
    assert (len(seeds), len(sizes)) == (4, 4)
    for launch, (arguments, how) in zip(draw(4, 0), Process.started, strict=True):
        assert vars(launch) == launches.facts["launches"][launch.number - 1]
        assert how["env"] == {
            **os.environ, "PYTHONHASHSEED": str(launch.hash_seed), PADDING: "x" * launch.padding_bytes
        }  # fmt: skip
        assert how["stdout"] == subprocess.DEVNULL
        assert arguments == [
            sys.executable, "-m", "harness", "run", *launches.arguments,
            "--out", str(launches.folder.launch(launch.number)),
            "--set", "protocol.launches=1", "--set", f"protocol.seed={launch.schedule_seed}",
        ]  # fmt: skip
    folder = launches.folder.path
    assert [read_run(folder / "launches" / f"0{n}").run["config"]["protocol"]["seed"] for n in (1, 2, 3, 4)] == [
        0,
        1,
        2,
        3,
    ]
    records = read_run(folder)
    assert (len(records.launches), records.run["status"]) == (4, "complete")
    assert all(not run.launches for run in records.launches)


def test_the_cost_of_a_probe_is_the_mean_of_the_launches(launch, monkeypatch) -> None:
    costs = iter([100.0, 200.0, 300.0, 400.0])
    monkeypatch.setattr(
        FakeHost, "install", lambda self, instrumentation: installed(self, instrumentation, next(costs))
    )
    launches, _ = launch()
    launches.execute()
    assert launches.facts["calibration"] == {"inside_ns": 250.0, "outside_ns": 25.0, "spread_ns": 0.0}


def installed(host: FakeHost, instrumentation: Any, inside_ns: float) -> Calibration:
    host.instrument = Instrument(host.runner, instrumentation, host.clock)
    return Calibration(inside_ns=inside_ns, outside_ns=inside_ns / 10, spread_ns=0.0)


def test_only_the_first_launch_is_sampled_and_the_whole_report_says_so(launch) -> None:
    launches, _ = launch()
    launches.first_arguments = ["--flamegraph"]
    launches.execute()
    assert ["--flamegraph" in arguments for arguments, _ in Process.started] == [True, False, False, False]
    first = RunFolder.existing(launches.folder.launch(1))
    facts = json.loads((first.path / "run.json").read_text())
    facts["flamegraphs"] = {"list": recording().as_dict()}
    del facts["schema"]
    first.write_run(facts)
    first.write_text("flamegraphs/list.folded", fold(LIST))
    assert list(write_reports(launches.folder.path).flames) == ["list"]
    assert (launches.folder.path / "flamegraphs/list.svg").exists()
    assert "for 15 s an arm, in the first launch" in (launches.folder.path / "report.md").read_text()


def test_the_report_covers_all_launches_and_says_so(launch) -> None:
    launches, _ = launch()
    launches.execute()
    summary = write_reports(launches.folder.path)
    assert summary.launches == 4
    assert summary.arms["numpy"].passes == 4 * 3
    each = [write_reports(launches.folder.launch(n)).difference("numpy", "scope") for n in (1, 2, 3, 4)]
    whole = summary.difference("numpy", "scope")
    assert whole.per_step_us.estimate == pytest.approx(np.mean([found.per_step_us.estimate for found in each]))
    report = (launches.folder.path / "report.md").read_text()
    assert "across 4 launches, each with another hash seed and environment size" in report
    assert "in 4 launches" in report
    alone = (launches.folder.launch(1) / "report.md").read_text()
    assert "in this process" in alone
    assert "in one launch" in alone


def test_ctrl_c_is_passed_on_and_waited_for_and_the_launches_before_are_kept(launch) -> None:
    launches, announced = launch(n3="interrupted")
    outcome = launches.execute()
    assert (outcome.status, outcome.exit_status) == ("interrupted", 130)
    assert "2 of 4 launches were measured and kept before" in outcome.message
    assert len(announced) == 3
    summary = write_reports(launches.folder.path)
    assert summary.arms["numpy"].passes >= 2 * 3
    assert any("launch 3: interrupted" in note for note in summary.notes)


def test_a_launch_that_does_other_work_ends_the_run(launch) -> None:
    launches, _ = launch(n2="other work")
    outcome = launches.execute()
    assert (outcome.status, outcome.exit_status) == ("failed", 1)
    assert "launch 2: it did other work than the launch before: 4 steps instead of 5" in outcome.message


def test_an_unequal_arm_in_a_launch_is_struck_and_the_others_go_on(launch) -> None:
    launches, announced = launch(n2="unequal")
    outcome = launches.execute()
    assert (outcome.status, outcome.exit_status) == ("complete", 1)
    assert "launch 2: not equal to native" in outcome.message
    assert len(announced) == 4
    assert not launches.facts["equality"]["wrong"]["equal"]


def test_a_launch_without_records_ends_the_run(launch) -> None:
    launches, _ = launch(n1="no records")
    outcome = launches.execute()
    assert (outcome.status, outcome.exit_status) == ("failed", 1)
    assert "launch 1: " in outcome.message
    assert "holds no run" in outcome.message
    assert write_reports(launches.folder.path).comparisons == []


def test_ctrl_c_reaches_a_launch_once(launch, monkeypatch) -> None:
    """It is in a process group of its own, so that the terminal does not interrupt it a second time."""
    sent = []
    monkeypatch.setattr(Process, "send_signal", lambda self, number: (sent.append(number), self.signals.append(number)))
    launches, _ = launch(n1="interrupted")
    launches.execute()
    assert sent == [signal.SIGINT]
    assert all(how["process_group"] == 0 and how["preexec_fn"] is begin_as_child for _, how in Process.started)


def test_a_second_ctrl_c_ends_a_launch_that_does_not_end_by_itself(launch, monkeypatch) -> None:
    killed = []

    def wait(self) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Process, "wait", wait)
    monkeypatch.setattr(Process, "kill", lambda self: killed.append(self.number), raising=False)
    launches, announced = launch()
    outcome = launches.execute()
    assert (outcome.status, outcome.exit_status) == ("interrupted", 130)
    assert killed == [1]
    assert len(announced) == 1


class Finds:
    """A launch of a config that leaves its scope open, played in this process."""

    def __init__(self, arguments: list[str], **how: Any) -> None:
        overrides = [arguments[i + 1] for i, word in enumerate(arguments) if word == "--set"]
        out = Path(arguments[arguments.index("--out") + 1])
        run = Run(load(Path(arguments[4]), overrides), FakeHost(runner=Engine()), RunFolder(out), Silent())
        self.exit_status = run.execute().exit_status

    def wait(self) -> int:
        return self.exit_status


def test_the_scope_that_the_launches_find_is_that_of_the_whole_run(tmp_path) -> None:
    path = tmp_path / "config.yaml"
    arm = f"{{t: '{Engine.__module__}:totals'}}"
    config = CONFIG.format(swap=f"{Engine.__module__}.Engine.total", arms=arm)
    path.write_text(config.replace("scope: _prepare_inputs\n", ""))
    folder = RunFolder(tmp_path / "run")
    command = [str(path), "--set", "protocol.groups=3"]
    launches = Launches(load(path, ["protocol.launches=3"]), folder, command, [], lambda *_: None, start=Finds)
    assert launches.execute().exit_status == 0

    whole, (first, second) = launches.facts["config"], [read_facts(folder.launch(number)) for number in (1, 2)]
    assert first["config"]["scope"] == second["config"]["scope"] != "auto"
    assert (whole["scope"], whole["probes"]) == (first["config"]["scope"], first["config"]["probes"])
    summary = write_reports(folder.path)
    assert summary.difference("t", "scope").per_step_us is not None
