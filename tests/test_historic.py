"""vLLM 0.5.4: what is tested of it without it; `tests/engine/test_historic.py` has the rest."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness.config.file import load
from harness.errors import ConfigError, HostError
from harness.hosts import vllm_v0
from harness.hosts.vllm_v0 import SETUP, go_where_it_is, interpreter
from harness.seams import SEAMS

CONFIGS = sorted(Path("configs/historic").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_its_configs_load_and_stand_on_the_issues_load(path) -> None:
    experiment = load(path).experiment
    assert (experiment.host.generation, experiment.scope) == ("v0", "prepare_model_input")
    assert (experiment.workload.requests, experiment.baseline) == (128, "list")
    assert {arm.name for arm in experiment.arms} == {"native", *SEAMS[experiment.seam].places["v0"].arms}


def test_the_same_arm_has_the_issues_name_there() -> None:
    places = SEAMS["slot_mapping"].places
    assert places["v0"].arms["array"] == places["v1"].arms["cat_frombuffers"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("host.process=subprocess", "vllm_v0 is in this process"),
        ("host.model_runner=v1", "has one model runner"),
        ("host.kind=vllm", "seam: 'decode_seq_lens' is not in this runner: set host.kind: vllm_v0"),
    ],
)
def test_what_it_has_not_is_refused(override, said) -> None:
    with pytest.raises(ConfigError, match=said):
        load(CONFIGS[0], [override])


def test_without_its_environment_the_run_says_how_to_make_it(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(vllm_v0, "HOME", f"{tmp_path}/none")
    monkeypatch.setattr(os, "execv", lambda *args: pytest.fail("there is nowhere to go"))
    with pytest.raises(HostError, match=SETUP):
        go_where_it_is()


def test_an_environment_that_lost_its_vllm_is_said_so_and_not_entered_for_ever(monkeypatch, tmp_path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    (tmp_path / vllm_v0.READY).touch()
    monkeypatch.setattr(vllm_v0, "HOME", str(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(os, "execv", lambda *args: pytest.fail("it is here already"))
    with pytest.raises(HostError, match="has no vLLM"):
        go_where_it_is()


def test_it_becomes_the_same_command_there(monkeypatch, tmp_path) -> None:
    home = tmp_path / "venv"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").touch()
    monkeypatch.setattr(vllm_v0, "HOME", str(home))
    with pytest.raises(HostError, match=SETUP):
        interpreter()  # a setup that broke off
    (home / vllm_v0.READY).touch()
    became: list[object] = []
    monkeypatch.setattr(os, "execv", lambda *args: became.append(args))
    monkeypatch.setattr(sys, "argv", ["harness", "run", "a.yaml", "--set", "x=1"])
    go_where_it_is()
    python = str(home / "bin" / "python")
    assert became == [(python, [python, "-m", "harness", "run", "a.yaml", "--set", "x=1"])]
