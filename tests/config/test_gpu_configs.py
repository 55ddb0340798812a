"""The GPU runs that one command makes: each has a config that loads, and one that fails keeps no other back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TypeAlias

import pytest
import yaml

from harness.config.file import kind_of, load, load_micro

SCRIPT = Path("configs/gpu/all.sh")
Call: TypeAlias = tuple[str, Path, list[str]]
"""The folder's name, the config and the overrides."""
PYTHON = """#!{python}
import json, sys
from pathlib import Path
_, _, _, _, config, *rest = sys.argv
with open({told!r}, "a") as file:
    file.write(json.dumps([config, rest]) + "\\n")
sys.exit("gpu-v1-prefill" in str(rest))
"""


@pytest.fixture
def play(tmp_path):
    """Runs the script with a Python that writes down what it was called with; gives that, and what was said."""

    def run(
        *names: str, trace: str = "", changed: str = ""
    ) -> tuple[list[tuple[str, Path, list[str]]], subprocess.CompletedProcess[str]]:
        told = tmp_path / "told"
        told.unlink(missing_ok=True)
        python = tmp_path / "python"
        python.write_text(PYTHON.format(python=sys.executable, told=str(told)))
        python.chmod(0o755)
        done = subprocess.run(
            ["sh", SCRIPT, python, tmp_path / "out", *names], capture_output=True, text=True, check=False,
            env={**os.environ, "TRACE": trace, "SET": changed},
        )  # fmt: skip
        calls = []
        for line in told.read_text().splitlines() if told.exists() else ():
            config, (_, out, *rest) = yaml.safe_load(line)
            calls.append((Path(out).name, Path(config), [word for word in rest if word != "--set"]))
        return calls, done

    return run


def test_every_run_has_a_config_that_loads(play, tmp_path) -> None:
    (tmp_path / "trace.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n0,100,20\n")
    calls, done = play(trace=str(tmp_path / "trace.csv"))
    assert len({name for name, *_ in calls}) == len(calls) == 23
    for name, path, overrides in calls:
        if kind_of(path) == "micro":
            load_micro(path, overrides)
            continue
        experiment = load(path, overrides).experiment
        small = name in ("gpu-slot_mapping", "gpu-planted")  # jobs that a CPU runs as well
        setting = path.parent.name == "settings"
        assert experiment.host.generation in name or small or setting
        assert (path.parent / experiment.engine["model"] / "config.json").is_file()
        assert experiment.protocol.exposed or small or setting
    assert (done.returncode, done.stderr) == (1, "failed: gpu-v1-prefill-8k\n"), "and the runs after it were made"


def test_runs_can_be_chosen_and_are_not_made_again(play, tmp_path) -> None:
    (tmp_path / "out" / "gpu-v2-decode-1").mkdir(parents=True)
    calls, done = play("gpu-v2-decode-1", "gpu-v2-decode-256")
    assert [(name, overrides) for name, _, overrides in calls] == [
        ("gpu-v2-decode-256", ["host.model_runner=v2", "workload.requests=256"])
    ]
    assert "gpu-v2-decode-1 is there" in done.stdout
    assert done.returncode == 0
    assert play("gpu-v2-trace")[0] == [], "without a trace there is none to run"


def test_one_setting_can_change_every_run_that_starts_an_engine(play) -> None:
    calls, _ = play("gpu-v1-decode-1", "gpu-micro", changed="protocol.seconds=25 engine.seed=3")
    assert [overrides for *_, overrides in calls] == [
        ["host.model_runner=v1", "workload.requests=1", "protocol.seconds=25", "engine.seed=3"], []
    ]  # fmt: skip
