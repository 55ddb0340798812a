"""Configs that compare functions, patches and source trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.config.arms import name_from
from harness.config.file import load
from harness.errors import ConfigError
from harness.records.config_schema import ConfigEntry
from harness.running.instrumenting import instrument

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """\
engine: {model: some/model}
workload: {requests: 4, prompt_tokens: 8, output_tokens: 4}
swap: vllm.v1.core.block_pool.BlockPool.touch
arms: [mine.py:fast]
"""
SWAP = "swap: vllm.v1.core.block_pool.BlockPool.touch\n"


@pytest.fixture
def write(tmp_path):
    (tmp_path / "mine.py").write_text("def fast(self, *args): ...\nclass Mine: ...\n")
    (tmp_path / "a.patch").write_text("a diff\n")
    (tmp_path / "b.diff").write_text("a diff\n")
    (tmp_path / "tree-1.2").mkdir()

    def write_config(text: str) -> Path:
        path = tmp_path / "c.yaml"
        path.write_text(text)
        return path

    return write_config


def test_a_function_that_replaces_one_of_the_host(write) -> None:
    experiment = load(write(CONFIG)).experiment
    assert (experiment.seam, experiment.swap) == ("", "vllm.v1.core.block_pool.BlockPool.touch")
    assert experiment.swapped == experiment.swap
    assert [arm.name for arm in experiment.arms] == ["native", "fast"]
    assert (experiment.baseline, experiment.scope, experiment.protocol.grain) == ("native", "auto", "auto")
    assert load(write(CONFIG), ["protocol.grain=pass"]).experiment.protocol.between == "pass"
    named = load(write(CONFIG.replace("[mine.py:fast]", "[{a: mine.py:fast}, native]\nbaseline: a"))).experiment
    assert ([arm.name for arm in named.arms], named.baseline) == (["a", "native"], "a")


def test_patches_and_trees_need_neither_seam_nor_swap(write) -> None:
    text = CONFIG.replace(SWAP, "").replace(
        "[mine.py:fast]",
        "[{pr: {patch: a.patch, revert: true, only: [touch, BlockPool.free]}}, {tree: tree-1.2, only: [x.y]}, b.diff]",
    )
    loaded = load(write(text))
    experiment = loaded.experiment
    assert [arm.name for arm in experiment.arms] == ["native", "pr", "tree-1.2", "b"]
    _, patch, tree, bare = experiment.arms
    assert (patch.patch, patch.revert, patch.only, patch.change) == (
        "a.patch",
        True,
        ["touch", "BlockPool.free"],
        "a.patch",
    )
    assert (tree.tree, tree.only, bare.patch) == ("tree-1.2", ["x.y"], "b.diff")
    assert loaded.path_of(tree) == (loaded.folder / "tree-1.2").resolve()
    assert loaded.path_of(experiment.arms[0]) is None
    assert experiment.swapped == ""
    assert (loaded.key_of(1), loaded.key_of(3)) == ("arms.0", "arms.2")


def test_what_a_config_says_of_them_is_read_back_from_run_json(write) -> None:
    for text in (CONFIG, CONFIG.replace(SWAP, "").replace("[mine.py:fast]", "[{pr: {patch: a.patch, only: [x]}}]")):
        experiment = load(write(text), ["equality={ignore: ['a.b[*].c']}", "scope=[a.b, c]"]).experiment
        entry = ConfigEntry.model_validate(experiment.model_dump(mode="json"))
        assert (entry.swap, entry.scope) == (experiment.swap, "a.b + c")
        assert entry.equality is not None
        assert entry.equality.ignore == ["a.b[*].c"]


def test_the_instrument_gets_folders_names_and_fields(write, tmp_path) -> None:
    text = CONFIG.replace("[mine.py:fast]", "[mine.py:fast, {pr: {patch: a.patch, only: [x]}}]\nbaseline: pr")
    options = ["equality={ignore: [logits], by_design: ['model[positions]']}"]
    found = instrument(load(write(text), options), "", {"pr": tmp_path})
    arms = {arm.name: arm for arm in found.arms}
    assert (arms["pr"].folder, arms["pr"].only, arms["A/A"].folder) == (str(tmp_path), ("x",), str(tmp_path))
    assert arms["fast"].reference == f"{(tmp_path / 'mine.py').resolve()}:fast"
    assert (found.seam, found.swap) == ("", "vllm.v1.core.block_pool.BlockPool.touch")
    assert tuple(found.left_out) == ("logits", "model[positions]")


def test_arms_on_the_command_line(write, tmp_path, monkeypatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "c.patch").write_text("a diff\n")
    path = write(CONFIG.replace("[mine.py:fast]", "[mine.py:fast, {pr: {patch: a.patch}}, b.diff]"))
    assert [arm.name for arm in load(path, [], ["fast"]).experiment.arms] == ["native", "fast"]
    assert [arm.patch for arm in load(path, [], ["pr", "fast", "b"]).experiment.arms] == ["", "a.patch", "", "b.diff"]
    monkeypatch.chdir(elsewhere)
    for options, arms in (
        ([], ["c.patch", "fast"]),
        (["arms=[{c: {patch: c.patch}}, {fast: ../mine.py:fast}]"], []),
    ):
        experiment = load(path, options, arms).experiment
        assert [arm.patch for arm in experiment.arms] == ["", "elsewhere/c.patch", ""]


@pytest.mark.parametrize(
    ("arms", "line", "message"),
    [
        ("arms: [mine.py:fast]\nseam: slot_mapping", 3, "swap: seam and swap both say what is replaced: leave one out"),
        ("arms: [mine.py:slow]", 4, "arms.0: {0}/mine.py has no function slow; it has fast"),
        ("arms: [mine.py:Mine]", 4, "arms.0: {0}/mine.py has no function Mine; it has fast"),
        ("arms: [native, mine.py:slow]", 4, "arms.1: {0}/mine.py has no function slow; it has fast"),
        ("arms: [gone.py:f]", 4, "arms.0: there is no file {0}/gone.py"),
        ("title: a", 1, "arms: is missing: say what replaces the function, as in `- fast: mine.py:function`"),
        (
            "arms: [list]",
            4,
            "arms: 'list' says not what it is: write module:NAME or path/file.py:NAME, or {{patch: FILE}}, "
            "or {{tree: FOLDER}}",
        ),
        (
            "arms: [native]",
            3,
            "swap: no arm replaces vllm.v1.core.block_pool.BlockPool.touch: give one, as in "
            "`- fast: mine.py:function`, or leave swap out",
        ),
        (
            "arms: [a.patch]",
            3,
            "swap: no arm replaces vllm.v1.core.block_pool.BlockPool.touch: give one, as in "
            "`- fast: mine.py:function`, or leave swap out",
        ),
        ("arms: [mine.py:fast, {pr: {patch: gone.patch}}]", 4, "arms.1: there is no file {0}/gone.patch"),
        ("arms: [mine.py:fast, {pr: {tree: gone}}]", 4, "arms.1: there is no folder {0}/gone"),
        ("arms: [mine.py:fast, {pr: {tree: mine.py}}]", 4, "arms.1: {0}/mine.py is no folder"),
        (
            "arms: [{pr: {patch: a.patch, tree: tree-1.2}}]",
            4,
            "arms.0: patch and tree each say what the arm is: keep one",
        ),
        (
            "arms: [{pr: {patch: a.patch, reference: m:f}}]",
            4,
            "arms.0: reference and patch each say what the arm is: keep one",
        ),
        (
            "arms: [{pr: {tree: tree-1.2, revert: true}}]",
            4,
            "arms.0: revert takes a patch back: give patch, or leave revert out",
        ),
        (
            "arms: [{pr: {reference: 'm:f', only: [x]}}]",
            4,
            "arms.0: only picks from a patch or a tree: give one, or leave only out",
        ),
        ("arms: [{pr: {patch: a.patch, only: [x, x]}}]", 4, "arms.0: only: x is named twice"),
        (
            "arms: [{pr: {patch: a.patch, only: ['x y']}}]",
            4,
            "arms.0.only.0: string should match pattern "
            r"'^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*$', not 'x y'",
        ),
        (
            "arms: [{pr: {patch: a.patch, delay_us: 3}}]",
            4,
            "arms.0: delay_us is planted behind one function, and a patch may have many: leave one out",
        ),
        ("arms: [{pr: {ptach: a.patch}}]", 4, "arms.0.ptach: unknown key; did you mean 'patch'?"),
        (
            "arms: [{native: mine.py:fast}]",
            4,
            "arms: `native` is the host's own implementation; give yours another name",
        ),
        (
            "arms: [{native: {patch: a.patch}}]",
            4,
            "arms: `native` is the host's own implementation; give yours another name",
        ),
        ("arms: [mine.py:fast]\nbaseline: slow", 5, "baseline: 'slow' is none of the arms (native, fast)"),
        ("arms: [mine.py:fast]\nscope: auto + x", 5, "scope: auto stands alone: leave it or the others out"),
        (
            "arms: [mine.py:fast]\nscope: a..b",
            5,
            "scope: string should match pattern "
            r"'^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*( \+ [A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)*$', not 'a..b'",
        ),
        (
            "arms: [mine.py:fast]\nprotocol: {grain: steps}",
            5,
            "protocol.grain: input should be 'auto', 'step', 'pass' or 'launch', not 'steps'",
        ),
        ("arms: [mine.py:fast]\nequality: {ignore: [a], by_design: [a]}", 5, "equality: a is named twice"),
        (
            "arms: [mine.py:fast]\nequality: {ignore: ['a b']}",
            5,
            "equality.ignore.0: string should match pattern "
            r"'^[A-Za-z_]\w*(\.\w+|\[[^\[\]\s]+\])*$', not 'a b'",
        ),
        ("arms: [mine.py:fast]\nequality: {ignored: []}", 5, "equality.ignored: unknown key; did you mean 'ignore'?"),
        (
            "arms: [mine.py:fast]\nhost: {kind: vllm_v0}",
            1,
            "seam: is missing: vllm_v0 takes arms at a seam alone, and neither swap nor patches",
        ),
    ],
)
def test_a_fault_is_one_line_with_file_line_key_and_mend(write, arms, line, message) -> None:
    path = write(CONFIG.replace("arms: [mine.py:fast]", arms))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}:{line}: {message.format(path.parent)}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "arms: [mine.py:fast]",
            "swap: is missing, so nothing says what 'fast' replaces: give swap: "
            "package.module.function, or seam: one of slot_mapping, decode_seq_lens, tensor_from_list",
        ),
        (
            "arms: [list]",
            "seam: is missing, so there is no arm 'list': give one of slot_mapping, decode_seq_lens, "
            "tensor_from_list, or swap: package.module.function, or {patch: FILE}, or {tree: FOLDER}",
        ),
        ("swap: touch\narms: [mine.py:fast]", "swap: 'touch' names no function: write package.module.function"),
        ("swap: a.b c\narms: [mine.py:fast]", "swap: 'a.b c' names no function: write package.module.function"),
        (
            "seam: slot_mapping\narms: [list, a.patch]",
            "arms: 'a' is a patch or a tree, and a seam takes classes alone: leave seam out",
        ),
        (
            "seam: slot_mapping\narms: [list]\nprotocol: {grain: launch}",
            "protocol: grain: at a seam arms change between steps or passes: write step or pass",
        ),
        (
            "arms: [a.patch]\nprotocol: {exposed: true}",
            "protocol: exposed plants delays behind one function: give swap or seam, or leave it out",
        ),
        (
            "arms: [a.patch, {late: {delay_us: 3}}]",
            "arms: delay_us is planted behind a function: give swap or seam, or leave it out",
        ),
    ],
)
def test_what_is_replaced_and_by_what_must_fit(write, text, message) -> None:
    path = write(CONFIG.replace(SWAP, "").replace("arms: [mine.py:fast]", text))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).partition(": ")[2] == message


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("../55749.patch", "55749"),
        ("a b/what is this?.diff", "what-is-this-"),
        ("native.patch", "native-change"),
        ("../vllm-0.31", "vllm-0.31"),
        ("---.patch", "change"),
        ("x" * 300, "x" * 100),
    ],
)
def test_an_arm_without_a_name_has_its_files(path, name) -> None:
    assert name_from(path) == name
