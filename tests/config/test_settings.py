"""The settings: each config loads, goes to launch grain by itself, and is valid at each of its arms.

What would come to nothing here, or cannot be had, is refused by name.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from harness.config.file import load
from harness.config.settings import at_arm
from harness.errors import ConfigError
from harness.running import foreseen, servable
from harness.running.foreseen import foresee
from harness.seams import NATIVE

SETTINGS = sorted(Path("configs/settings").glob("*.yaml"))
ON_A_GPU = {"gpu_loop"}
"""This says nothing on a CPU."""
DOCS = Path("docs/settings.md")


@pytest.fixture(autouse=True)
def build(monkeypatch):
    """Lets vLLM be of a build; a CPU's at first."""

    def of(name: str) -> None:
        monkeypatch.setattr(foreseen, "installed", lambda: (name, "0.32.0"))

    of("cpu")
    monkeypatch.setattr(servable, "_triton_has_a_cpu", lambda: False)
    return of


def refusal(path: Path, *options: str) -> str:
    with pytest.raises(ConfigError) as caught:
        foresee(load(path, options))
    return str(caught.value)


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.stem)
def test_a_setting_can_start(path, build) -> None:
    build("cuda" if path.stem in ON_A_GPU else "cpu")
    loaded = load(path)
    assert f"#   python -m harness run {path}\n" in path.read_text()
    assert f"python -m harness run {path}" in DOCS.read_text()
    assert loaded.experiment.title
    assert foresee(loaded).launch
    for arm in loaded.experiment.arms:
        assert arm.setting is (arm.name != NATIVE)
        at = at_arm(loaded, arm).experiment
        assert {key: at.engine[key] for key in arm.engine} == arm.engine
        assert {key: getattr(at.host, key) for key in arm.host} == arm.host
        assert arm.env.items() <= at.host.env.items()


def test_there_are_settings() -> None:
    named = {
        "threads",
        "hash",
        "block_size",
        "dtype",
        "release",
        "ngram_threads",
        "engine_process",
        "planted",
        *ON_A_GPU,
    }
    assert {path.stem for path in SETTINGS} == named


@pytest.mark.parametrize("name", sorted(ON_A_GPU))
def test_what_needs_a_gpu_is_refused_on_a_cpu(name) -> None:
    path = Path(f"configs/settings/{name}.yaml")
    assert "host.device: cuda was asked for, and this vLLM is for cpu" in refusal(path)


def test_what_a_cpu_has_not_is_refused_by_the_arms_key(monkeypatch) -> None:
    path, v2 = Path("configs/settings/gpu_loop.yaml"), "arms=[{v2: {host: {model_runner: v2}}}]"
    told = refusal(path, "host.device=cpu")
    assert told.startswith(f"{path}:")
    assert "arms.0: engine.async_scheduling: on a CPU vLLM switches it off by itself" in told
    told = refusal(path, "host.device=cpu", v2)
    assert "arms.0: host.model_runner: V2 runners compute their inputs by Triton" in told
    monkeypatch.setattr(servable, "_triton_has_a_cpu", lambda: True)
    assert foresee(load(path, ["host.device=cpu", v2])).launch


def test_a_hash_that_needs_a_package_is_refused_without_it(monkeypatch) -> None:
    path, arms = Path("configs/settings/hash.yaml"), "arms=[{fast: {engine: {prefix_caching_hash_algo: xxhash_cbor}}}]"
    find, there = importlib.util.find_spec, [True]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: there[0] or None if name == "xxhash" else find(name))
    assert foresee(load(path, [arms])).launch
    there[0] = False
    assert "engine.prefix_caching_hash_algo: xxhash_cbor needs the package xxhash, which is not installed here" in (
        told := refusal(path, arms)
    )
    assert "--set arms" in told
    assert "arms.0: " in told
    assert foresee(load(path, [arms, "engine.enable_prefix_caching=false"])).launch, "nothing is hashed then"


@pytest.mark.parametrize("arm", ["{engine: {block_size: 32}}", "{host: {threads: 1, device: auto}}"])
def test_an_arm_that_sets_what_the_config_says_is_refused(arm) -> None:
    told = refusal(Path("configs/settings/block_size.yaml"), f"arms=[{{same: {arm}}}]")
    assert "arms.0: it sets what the config says already, so it would be native once more" in told


def test_a_change_goes_with_a_setting_and_what_is_switched_does_not() -> None:
    patch = Path("patches/settings/ngram_threads.patch").resolve()
    path = Path("configs/settings/ngram_threads.yaml")
    for given in ("engine: {block_size: 64}", "vllm: 0.31.0", "env: {NGRAM_THREADS: 2}", "host: {threads: 2}"):
        loaded = load(path, [f"arms=[{{both: {{patch: {patch}, {given}}}}}]"])
        both = loaded.experiment.arms[1]
        assert both.setting
        assert loaded.path_of(both) == patch
    assert foresee(load(path, [f"arms=[{{both: {{patch: {patch}, env: {{NGRAM_THREADS: 2}}}}}}]"])).launch
    for given, told in (
        ("reference: 'json:dumps', env: {A: 1}", "env start an engine otherwise, and a function is switched"),
        (f"patch: {patch}, engine: {{block_size: 64}}, ceiling: true", "engine start an engine otherwise, and ceiling"),
        ("vllm: 0.31.0, delay_us: 2", "vllm start an engine otherwise, and delay_us is switched in a living one"),
        (f"patch: {patch}, tree: {patch.parent}, vllm: 0.31.0", "patch and tree each say what the arm is"),
    ):
        with pytest.raises(ConfigError, match=told):
            load(path, [f"arms=[{{both: {{{given}}}}}]"])


def test_part_of_a_change_goes_with_no_setting() -> None:
    patch = Path("patches/settings/ngram_threads.patch").resolve()
    only = "vllm.v1.spec_decode.ngram_proposer.NgramProposer.propose"
    arms = f"arms=[{{both: {{patch: {patch}, only: [{only}], env: {{A: 1}}}}}}]"
    assert "only: " in refusal(Path("configs/settings/ngram_threads.yaml"), arms)
