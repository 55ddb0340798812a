"""Pairs of separate launches, played: what is started for them, and what is made of their figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.config.file import load
from harness.errors import ConfigError, HostError
from harness.instrument.instrumentation import Instrumentation
from harness.records.folder import RunFolder, read_facts
from harness.running.run import Run
from harness.selftest import usual_way
from harness.selftest.usual_way import PLANTED_US, Pairs, latency_pairs, paired_launches, separate_run_pairs, vocabulary
from tests.fakes import FakeHost, Runner, Silent, VirtualClock

CONFIG = Path("configs/selftest.yaml")


def test_what_a_pair_resolves_is_students_interval_of_a_single_one() -> None:
    assert Pairs("a way", [18.0, 20.0, 22.0], 60.0).resolves_us == pytest.approx(4.302653 * 2.0, rel=1e-6)


def test_latency_pairs_are_launches_with_and_without_the_delay_in_turn(monkeypatch, tmp_path) -> None:
    specs, arms = [], []

    def played(command, log, environment) -> None:
        assert command[1:3] == ["-m", "harness.hosts.vllm_latency"]
        spec = json.loads(Path(command[3]).read_text())
        specs.append(spec)
        (arm,) = Instrumentation.from_dict(spec["instrumentation"]).arms
        arms.append(arm)
        latency_s = 0.064 + 64 * arm.delay_ns / 1e9
        Path(spec["output_json"]).write_text(json.dumps({"avg_latency": latency_s}))

    monkeypatch.setattr(usual_way, "_run", played)
    told: list[str] = []
    found = latency_pairs(load(CONFIG), tmp_path / "latency", 3, told.append)
    assert found.differences_us == pytest.approx([PLANTED_US] * 3)
    assert [arm.delay_ns for arm in arms] == [0, 20_000, 20_000, 0, 0, 20_000]
    assert len(told) == 6
    assert arms[0].reference.endswith(":List")
    arguments = specs[0]["arguments"]
    assert arguments[: arguments.index("--num-iters-warmup")] == [
        "--input-len", "8", "--output-len", "64", "--batch-size", "64", "--num-iters", "10",
    ]  # fmt: skip
    assert specs[0]["engine_args"]["hf_overrides"]["vocab_size"] > 10_000


def test_an_arm_of_a_file_is_found_from_anywhere(tmp_path) -> None:
    (tmp_path / "mine.py").write_text("class Mine: ...")
    (tmp_path / "config.yaml").write_text(
        CONFIG.read_text().replace("[list]", "[mine.py:Mine]").replace(": list", ": Mine")
    )
    assert usual_way._reference(load(tmp_path / "config.yaml")) == f"{tmp_path.resolve() / 'mine.py'}:Mine"


def test_the_benchmark_needs_requests_of_constant_length(tmp_path) -> None:
    loaded = load(CONFIG, ["workload.output_tokens={uniform: {low: 2, high: 5}}"])
    with pytest.raises(ConfigError, match=r"workload\.output_tokens: vLLM's latency benchmark needs a constant"):
        latency_pairs(loaded, tmp_path, 2, lambda text: None)


def test_separate_runs_are_told_apart_by_their_own_totals(monkeypatch, tmp_path) -> None:
    small = ["workload.requests=3", "workload.output_tokens=4"]  # as the user typed them

    def played(command, log, environment) -> None:
        overrides = [command[i + 1] for i, word in enumerate(command) if word == "--set"]
        assert overrides[:2] == small
        clock = VirtualClock(reading_ns=100)
        rng = np.random.default_rng(len(list(tmp_path.glob("*"))))
        host = FakeHost(clock, Runner(work=lambda: clock.advance(int(rng.normal(100_000, 10)))))
        run = Run(
            load(CONFIG, [*overrides, "protocol.groups=3"]),
            host,
            RunFolder(Path(command[command.index("--out") + 1])),
            Silent(),
        )
        assert run.execute().status == "complete"

    monkeypatch.setattr(usual_way, "_run", played)
    in_scope, in_step = separate_run_pairs(load(CONFIG), small, tmp_path, 2, 30.0, lambda text: None)
    assert in_scope.differences_us == pytest.approx([PLANTED_US] * 2, abs=0.5)
    assert in_step.differences_us == pytest.approx([PLANTED_US] * 2, abs=0.5)


def test_paired_launches_have_both_arms_in_each_launch(monkeypatch, tmp_path) -> None:
    small = ["workload.requests=3", "workload.output_tokens=4"]

    def played(command, log, environment) -> None:
        overrides = [command[i + 1] for i, word in enumerate(command) if word == "--set"]
        assert overrides[:2] == small
        assert "protocol.launches=3" in overrides
        folder = RunFolder(Path(command[command.index("--out") + 1]))
        for number, noise_ns in enumerate((10, 20, 30), start=1):
            clock, rng = VirtualClock(reading_ns=100), np.random.default_rng(number)
            host = FakeHost(clock, Runner(work=lambda: clock.advance(int(rng.normal(100_000, noise_ns)))))  # noqa: B023
            one = load(CONFIG, [*overrides, "protocol.launches=1", "protocol.groups=3"])
            assert Run(one, host, RunFolder(folder.launch(number)), Silent()).execute().status == "complete"
        folder.write_run(read_facts(folder.launch(1)))

    monkeypatch.setattr(usual_way, "_run", played)
    in_scope, in_step = paired_launches(load(CONFIG), small, tmp_path / "paired", 3, 30.0, lambda text: None)
    for found in (in_scope, in_step):
        assert found.differences_us == pytest.approx([PLANTED_US] * 3, abs=0.5)
        assert found.differences_us[0] != found.differences_us[1]


def test_the_benchmark_is_held_against_a_paired_run_on_its_own_engine() -> None:
    overrides = ['engine.hf_overrides={"hidden_size": 64}']
    loaded = load(CONFIG, overrides)
    assert load(CONFIG, [*overrides, vocabulary(loaded.experiment)]).experiment.engine["hf_overrides"] == {
        "hidden_size": 64,
        "vocab_size": 16384,
    }


def test_a_launch_that_fails_is_said_with_its_log(tmp_path) -> None:
    with pytest.raises(HostError, match=r"status 3; its log: .*/x.log"):
        usual_way._run(["sh", "-c", "echo why; exit 3"], tmp_path / "x.log", None)
    assert (tmp_path / "x.log").read_text() == "why\n"
