"""Configs of profiles: what they may say, and what `harness profile` makes of any other."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from harness.config.file import load
from harness.config.profile import window
from harness.config.profiled import default_config, profile_of
from harness.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
PROFILE = {"engine": {"model": "none"}, "workload": {"requests": 3, "prompt_tokens": 6, "output_tokens": 5}}


def config(tmp_path: Path, **keys: object) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**PROFILE, **keys}))
    return path


def test_a_profile_has_native_alone_and_the_whole_turn(tmp_path) -> None:
    experiment = load(config(tmp_path, profile={})).experiment
    assert [arm.name for arm in experiment.arms] == ["native"]
    assert (experiment.baseline, experiment.scope, experiment.probes) == ("native", "auto", [])
    assert experiment.profile is not None
    assert experiment.profile.memory


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"arms": ["list"]}, "arms: a profile measures vLLM as it is"),
        ({"swap": "a.b"}, "swap: a profile measures vLLM as it is"),
        ({"probes": ["torch.cat"]}, "probes: a profile"),
        ({"scope": "_prepare_inputs"}, "scope: a profile"),
        ({"profile": {"depth": 9}}, "profile.depth"),
        ({"profile": {"steps": "9:3"}}, "there is no step between 9 and 3"),
        ({"profile": {"steps": ":"}}, "write FIRST:LAST"),
        ({"profile": {"depth": 2}}, "depth: it is of opened phases"),
        ({"profile": {"lines": ["schedule"]}}, "profile.lines.0"),
        ({"profile": {"intoo": []}}, "into"),
        ({"host": {"kind": "vllm_v0"}, "swap": "a.b"}, "swap: a profile measures vLLM as it is"),
    ],
)
def test_what_makes_no_profile_is_refused_in_a_line(tmp_path, keys, told) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml") as refused:
        load(config(tmp_path, **{"profile": {}, **keys}))
    assert told in str(refused.value)


def test_vllm_0_5_4_is_profiled_and_else_takes_arms_at_a_seam_alone(tmp_path) -> None:
    path = config(tmp_path, host={"kind": "vllm_v0"}, arms=["native"])
    with pytest.raises(ConfigError, match="seam: is missing: vllm_v0 takes arms at a seam alone"):
        load(path)
    experiment = profile_of(path, {}, []).experiment
    assert (experiment.host.generation, experiment.seam, experiment.scope) == ("v0", "", "auto")
    assert [arm.name for arm in experiment.arms] == ["native"]


def test_a_seam_on_vllm_0_5_4_becomes_a_profile(tmp_path) -> None:
    path = config(tmp_path, host={"kind": "vllm_v0"}, seam="slot_mapping", arms=["list", "array"])
    assert load(path).experiment.scope == "prepare_model_input"
    experiment = profile_of(path, {"into": ["schedule"]}, []).experiment
    assert (experiment.seam, experiment.baseline, experiment.profile.into) == ("", "native", ["schedule"])


def test_lines_name_the_python_that_lacks_what_times_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("harness.config.profile.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=f"`{re.escape(sys.executable)} -m pip install line_profiler`"):
        load(config(tmp_path, profile={"lines": ["a.b"]}))


@pytest.mark.parametrize(
    ("steps", "numbers"), [("100:200", (100, 200)), (":5", (0, 5)), ("5:", (5, None)), (" 1:2 ", (1, 2))]
)
def test_a_window_of_steps(steps, numbers) -> None:
    assert window(steps) == numbers


def test_any_config_can_be_profiled(tmp_path) -> None:
    compared = {"seam": "slot_mapping", "arms": ["list", "numpy"], "probes": ["torch.cat"], "scope": "_prepare_inputs"}
    protocol, sweep = {"exposed": True, "seconds": 5}, {"workload.requests": [1, 2]}
    of_arms = config(tmp_path, **compared, protocol=protocol, sweep=sweep)
    experiment = profile_of(of_arms, {"into": ["schedule"], "steps": "1:3", "lines": []}, []).experiment
    assert [arm.name for arm in experiment.arms] == ["native"]
    assert (experiment.seam, experiment.probes, experiment.sweep, experiment.protocol.exposed) == ("", [], {}, False)
    assert experiment.protocol.seconds == 5
    assert experiment.profile is not None
    assert (experiment.profile.into, experiment.profile.steps) == (["schedule"], "1:3")


def test_an_option_stands_in_the_refusal_of_what_it_gave(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"--steps 3:2: profile\.steps"):
        profile_of(config(tmp_path), {"steps": "3:2"}, [])
    with pytest.raises(ConfigError, match="--target"):
        profile_of(config(tmp_path), {"targets": ["a;b"]}, [])


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "profile").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_projects_profiles_are_valid(path, tmp_path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n0,10,5\n")
    overrides = [f"workload.file={trace}"] if path.stem == "trace" else []
    loaded = profile_of(path, {}, overrides)
    assert loaded.experiment.profile is not None
    assert loaded.experiment.title.startswith("Anatomy of a turn: ")
    assert f"harness profile configs/profile/{path.name}" in path.read_text()


def test_a_window_is_kept_without_what_is_around_it(tmp_path) -> None:
    assert load(config(tmp_path, profile={"steps": " 1:2 "})).experiment.profile.steps == "1:2"


def test_the_default_is_there() -> None:
    assert default_config().is_file()
