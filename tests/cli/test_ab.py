"""`harness ab`: the config that it stands for, and what it refuses before there is a folder."""

from __future__ import annotations

import difflib
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from harness.cli import executing, main
from harness.cli import run as cli_run
from harness.config.file import load
from harness.running import changed
from harness.running.run import Outcome

TARGET = "json.encoder.JSONEncoder.encode"
OLD = "class Pool:\n    def touch(self):\n        return 1\n\n    def free(self):\n        return 2\n"


def diff(old: str, new: str, name: str = "vllm/pool.py") -> str:
    lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{name}", f"b/{name}")
    return "".join(lines)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A working directory with patches and functions, beside a vLLM of one file."""
    (tmp_path / "site" / "vllm").mkdir(parents=True)
    (tmp_path / "site" / "vllm" / "pool.py").write_text(OLD)
    (tmp_path / "work").mkdir()
    work = tmp_path / "work"
    (work / "a.patch").write_text(diff(OLD, OLD.replace("return 1", "return 10")))
    (work / "b.patch").write_text(diff(OLD, OLD.replace("return 2", "return 20")))
    (work / "has.patch").write_text(diff(OLD.replace("return 1", "return 0"), OLD))
    (work / "no.patch").write_text("hello\n")
    (work / "empty.patch").write_text("")
    (work / "docs.patch").write_text(diff("a\n", "b\n", "README.md"))
    (work / "comment.patch").write_text(diff(OLD, OLD.replace("return 1", "return 1  # one")))
    (work / "mine.py").write_text("def fast(self, o): ...\ndef faster(self, o): ...\n")
    (work / "tree" / "vllm").mkdir(parents=True)
    (work / "tree" / "vllm" / "pool.py").write_text(OLD.replace("return 2", "return 3"))
    monkeypatch.chdir(work)
    monkeypatch.setattr(changed, "installed_root", lambda: tmp_path / "site")
    return work


@pytest.fixture
def ab(here, monkeypatch, capsys):
    """Calls `harness ab`; gives its exit status, what it ran, and what it said."""
    ran = []

    def execute(loaded, folder, *_):
        ran.append(loaded)
        return Outcome("complete", 0)

    monkeypatch.setattr(executing, "execute", execute)
    monkeypatch.setattr(cli_run, "_show", lambda *_: None)
    monkeypatch.setattr("harness.signals.heed", lambda: None)

    def call(*arguments: str, stdin: bytes | None = b""):
        stream = None if stdin is None else SimpleNamespace(buffer=io.BytesIO(stdin))
        monkeypatch.setattr(sys, "stdin", stream)
        monkeypatch.setattr(sys, "argv", ["harness", "ab", *arguments])
        with pytest.raises(SystemExit) as ended:
            main(["ab", *arguments])
        return ended.value.code, ran, capsys.readouterr().err

    return call


def test_a_standard_input_that_is_closed_is_one_line(ab) -> None:
    """`harness ab - <&-`: Python then has none."""
    status, ran, said = ab("-", stdin=None)
    assert (status, ran) == (2, [])
    assert said.splitlines() == [
        "harness: ab -: standard input is closed: pipe a diff into it, as in `gh pr diff 55749 | ...`"
    ]


def test_patches_functions_and_trees_are_arms_beside_native(ab, here) -> None:
    status, (loaded,), said = ab(
        "a.patch",
        "-",
        "--swap",
        f"{TARGET}=mine.py:fast",
        "--swap",
        f"{TARGET}=mine.py:faster",
        "--tree",
        "tree",
        "--out",
        "out",
        "--grain",
        "step",
        "--scope",
        "json.encoder.JSONEncoder.iterencode",
        "--set",
        "protocol.groups=3",
        stdin=(here / "b.patch").read_bytes(),
    )
    assert (status, said) == (0, "")
    experiment = loaded.experiment
    assert [arm.name for arm in experiment.arms] == ["native", "a", "stdin", "fast", "faster", "tree"]
    assert (experiment.baseline, experiment.swap, experiment.seam) == ("native", TARGET, "")
    assert experiment.scope == "json.encoder.JSONEncoder.iterencode"
    assert (experiment.protocol.grain, experiment.protocol.groups) == ("step", 3)
    assert loaded.path == Path("out/config.yaml")
    for name, source in (("a.patch", "a.patch"), ("stdin.patch", "b.patch"), ("fast.py", "mine.py")):
        assert (here / "out" / "given" / name).read_bytes() == (here / source).read_bytes()
    assert loaded.path_of(experiment.arms[5]) == (here / "tree").resolve()
    written = (here / "out" / "config.yaml").read_text()
    assert written.startswith("# Written by: python -m harness ab a.patch - --swap ")
    assert "# python -m harness run out/config.yaml repeats it.\n" in written
    assert load(Path("out/config.yaml")).experiment == experiment
    model = Path("out") / yaml.safe_load(written)["engine"]["model"] / "config.json"
    assert model.resolve() == Path(cli_run.__file__).parents[2] / "configs/models/one-layer-llama/config.json"


def test_a_given_config_keeps_its_load_and_loses_its_arms(ab, here) -> None:
    base = Path(cli_run.__file__).parents[2] / "configs" / "slot_mapping.yaml"
    status, (loaded,), _ = ab("a.patch", "--config", str(base), "--out", "out", "--only", "Pool.touch")
    assert status == 0
    experiment, given = loaded.experiment, load(base).experiment
    assert (experiment.workload, experiment.host) == (given.workload, given.host)
    assert (experiment.seam, experiment.probes, experiment.scope) == ("", [], "auto")
    assert experiment.arms[1].only == ["Pool.touch"]


def test_arms_that_would_have_the_same_name_are_numbered(ab, here) -> None:
    (here / "sub").mkdir()
    (here / "sub" / "a.patch").write_bytes((here / "b.patch").read_bytes())
    (here / "native.patch").write_bytes((here / "b.patch").read_bytes())
    _, (loaded,), _ = ab("a.patch", "sub/a.patch", "native.patch", "--out", "out")
    assert [arm.name for arm in loaded.experiment.arms] == ["native", "a", "a-2", "native-change"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "",
            "ab: there is nothing to compare with native: name a patch, `-` for a diff on standard input, "
            "--swap DOTTED.NAME=path/file.py:function, or --tree FOLDER",
        ),
        ("gone.patch", "ab gone.patch: arms.1: there is no file "),
        ("no.patch", "ab no.patch: arms.1: {0}/no.patch is no patch that git can read"),
        ("a.patch empty.patch", "ab empty.patch: the file is empty, and so is no diff"),
        ("docs.patch", "ab docs.patch: arms.1: {0}/docs.patch changes no Python file of vllm; it changes README.md"),
        (
            "comment.patch",
            "ab comment.patch: arms.1: {0}/comment.patch changes nothing that runs: comments, docstrings "
            "and types alone",
        ),
        (
            "has.patch",
            "ab has.patch: arms.1: {0}/has.patch does not apply to what is installed: in vllm/pool.py the hunk "
            "at line 1 finds other text. What is installed has it already: use --revert",
        ),
        ("a.patch a.patch", "ab a.patch: it is given twice: keep one"),
        ("a.patch ./a.patch", "ab ./a.patch: it is given twice: keep one"),
        ("- -", "ab -: "),
        ("-", "ab -: there was nothing on standard input: pipe a diff into it"),
        (
            "a.patch --only Pool.toch",
            "ab a.patch: arms.1: only: {0}/a.patch changes no Pool.toch; it changes Pool.touch",
        ),
        (f"--swap {TARGET}", f"--swap {TARGET}: write --swap DOTTED.NAME=path/file.py:function"),
        (f"--swap {TARGET}=", f"--swap {TARGET}=: write --swap DOTTED.NAME=path/file.py:function"),
        (
            f"--swap {TARGET}=mine.py",
            f"--swap {TARGET}=mine.py: arms.1.reference: 'mine.py' names no class or function: "
            "write module:NAME or path/file.py:NAME",
        ),
        (f"--swap {TARGET}=mine.py:slow", f"--swap {TARGET}=mine.py:slow: arms.1: "),
        (f"--swap {TARGET}=gone.module:f", f"--swap {TARGET}=gone.module:f: arms.1: there is no module 'gone' here"),
        (
            f"--swap {TARGET}x=mine.py:fast",
            f"--swap {TARGET}x: swap: 'JSONEncoder' has no attribute 'encodex'; did you mean 'encode'",
        ),
        (
            f"--swap {TARGET}=mine.py:fast --swap json.dumps=mine.py:faster",
            "--swap json.dumps=mine.py:faster: one run "
            f"replaces one function, and another --swap names {TARGET}: make a patch of both, or two runs",
        ),
        (
            f"--swap {TARGET}=mine.py:fast --swap {TARGET}=mine.py:fast",
            f"--swap {TARGET}=mine.py:fast: it is given twice: keep one",
        ),
        (
            "--tree tree --revert",
            "--revert: it takes patches back, and --tree gives a whole tree: leave one of them out",
        ),
        (
            f"--swap {TARGET}=mine.py:fast --revert",
            "--revert: it takes patches back, and there is none: name one, or leave --revert out",
        ),
        (
            f"--swap {TARGET}=mine.py:fast --only x",
            "--only: it picks from patches and trees, and there is none: name one, or leave --only out",
        ),
        ("--tree gone", "--tree gone: arms.1: there is no folder "),
        ("--tree .", "--tree .: arms.1: tree {0} has no folder vllm/; name the folder that holds it"),
        ("a.patch --scope json.dump", ""),
        ("a.patch --scope json.dmp", "--scope json.dmp: scope: 'json' has no attribute 'dmp'; did you mean 'dump'"),
        (
            "a.patch --set protocol.grups=3",
            "--set protocol.grups=3: protocol.grups: unknown key; did you mean 'groups'?",
        ),
        ("a.patch --config gone.yaml", "gone.yaml: cannot be read: No such file or directory"),
        (
            "a.patch --grain step --set protocol.grain=x",
            "--set protocol.grain=x: protocol.grain: input should be 'auto'",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_leaves_no_folder(ab, here, arguments, message) -> None:
    status, ran, said = ab(*arguments.split(), "--out", "out")
    if not message:
        assert (status, said) == (0, "")
        return
    assert (status, ran) == (2, [])
    assert said.startswith(f"harness: {message.format(here)}")
    assert said.count("\n") == 1
    assert not (here / "out").exists()
