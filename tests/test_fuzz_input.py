"""Mutated configs and drawn command lines: each is taken, or refused in lines that name file or option.

By hand, with ten thousand drawn cases each: python -m pytest --hypothesis-profile=long tests/test_fuzz_input.py
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import main
from harness.config.experiment import SyntheticWorkload
from harness.config.file import Loaded, kind_of, load, load_micro
from harness.errors import ConfigError, HarnessError
from harness.running.foreseen import foresee, foresee_micro
from harness.running.run import Outcome
from harness.workload.requests import build
from tests.fuzzing import cases

CONFIGS = {path: yaml.safe_load(path.read_text()) for path in sorted(Path("configs").rglob("*.yaml"))}
KEYS = sorted(
    {key for config in CONFIGS.values() for x in (config, *config.values()) if isinstance(x, dict) for key in x}
    | {"until", "exposed", "launches", "uniform", "lognormal", "env", "reference", "name", "delay_us", "flamegraph"}
    | {"ids", "zipf", "exponent", "sampling", "temperature", "top_k", "top_p", "logprobs", "detokenize"}
    | {"json_schema", "shared_prefix", "lora", "adapters", "rank"}
    | {"swap", "patch", "tree", "revert", "only", "equality", "ignore", "by_design", "grain", "scope"}
)  # fmt: skip
CHANGED = {
    "swap": "json.encoder.JSONEncoder.encode",
    "arms": [
        {"fast": "json:dumps"},
        {"pr": {"patch": "a.patch", "revert": False, "only": ["Pool.touch"]}},
        {"old": {"tree": "tree", "only": ["vllm.pool"]}},
    ],
    "scope": ["json.encoder.JSONEncoder.iterencode", "_prepare_inputs"],
    "equality": {"ignore": ["context.attn_metadata[*].scheduler_metadata"], "by_design": ["logits"]},
}
"""Of a config that compares functions, patches and trees, each in the place of what a committed one has."""

NUMBERS = st.sampled_from([0, -1, 1, 2, 10**6, 10**12, 2**31, 2**63, 2**64, 0.0, -0.5, 1e-320, 1e308])
ODD_NUMBERS = st.sampled_from([float("inf"), float("-inf"), float("nan"), True, False, 10**400])
TEXTS = st.sampled_from(
    ["", " ", "list", "native", "numpy", "a" * 300, "a\nharness: b", "\x1b[31mred", "../../x", "/", ".", "~", "a=b",
     "[/x]", ".torch.tensor", "torch:tensor", "torch.tensor", "os.path:join", "gone:Arm", "x.py:Arm", ":", "m:",
     "\u202eabc", "ßµ", "/dev/null", "1e999", "nan", "null", "on", "{", "kind", "micro", "trace"]
) | st.text(max_size=8)  # fmt: skip
SCALARS = st.none() | NUMBERS | ODD_NUMBERS | TEXTS | st.binary(max_size=4) | st.dates()
VALUES = (
    NUMBERS
    | TEXTS
    | st.integers(1, 9)
    | st.floats(0, 1)
    | st.recursive(
        SCALARS,
        lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | TEXTS, below, max_size=3),
        max_leaves=6,
    )
)
"""Half of them of kinds that a config has."""
RAW_TEXTS = st.sampled_from(
    ["[" * 200, "{a: " * 60 + "}" * 60, "9" * 5000, "0x" + "f" * 5000, "&a [*a]", "*nowhere", "!!binary aGk=",
     "!!set {a}", "!!python/object:os.system x", "!!timestamp x", "!!bool x", "!!int ''", "2020-13-45", "1:99",
     "? [a]\n: b", "<<: 3", "\t",
     '"\\ud800"', '"\\0"', "- a: b\n c", "'", "!!omap [a: b]", "{<<: {a: b}, a: c}", "!x y", "%YAML 9.9",
     "--- a\n--- b"]
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a config, as keys that lead to it."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in below for place in places(each, (*path, key)))]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Path, str]:
    """A committed config with one to three mutations, as text."""
    path = draw(st.sampled_from(list(CONFIGS)))
    config = copy.deepcopy(CONFIGS[path])
    if "workload" in config and draw(st.integers(0, 2)) == 0:
        config = {key: value for key, value in config.items() if key not in ("seam", "baseline")}
        config |= copy.deepcopy(CHANGED)
        for key in draw(st.lists(st.sampled_from(["swap", "scope", "equality"]), max_size=1)):
            del config[key]
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        place = draw(st.sampled_from(places(config)))
        if not place:
            config[draw(st.sampled_from(KEYS) | TEXTS)] = draw(VALUES)
            continue
        parent = config
        for key in place[:-1]:
            parent = parent[key]
        kind = draw(st.sampled_from(["replace", "replace", "delete", "rename", "nest", "within"]))
        if kind == "delete":
            del parent[place[-1]]
        elif kind == "rename" and isinstance(parent, dict):
            parent[draw(st.sampled_from(KEYS) | TEXTS | st.integers())] = parent.pop(place[-1])
        elif kind == "nest":
            for _ in range(draw(st.sampled_from([1, 1, 1, 2, 34, 60]))):
                parent[place[-1]] = draw(st.sampled_from([[parent[place[-1]]], {"a": parent[place[-1]]}]))
        elif kind == "within" and isinstance(parent[place[-1]], dict):
            parent[place[-1]][draw(st.sampled_from(KEYS) | TEXTS)] = draw(VALUES)
        else:
            parent[place[-1]] = draw(VALUES)
    text = _dump(config)
    if draw(st.integers(0, 3)) == 0:  # what no dump would write
        lines = text.splitlines(keepends=True)
        index = draw(st.integers(0, len(lines)))
        raw = draw(RAW_TEXTS)
        lines.insert(
            index, draw(st.sampled_from([raw, f"{raw}\n", f"x: {raw}\n", f"  {raw}\n", *lines[:1], *lines[-3:]]))
        )
        text = "".join(lines)
    return path, text


def _dump(config: Any) -> str:
    """As YAML; numbers of any length too."""
    import sys

    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return yaml.safe_dump(config, allow_unicode=True, sort_keys=False)
    finally:
        sys.set_int_max_str_digits(limit)


POOL = "class Pool:\n    def touch(self):\n        return 1\n"
PATCH = (
    "--- a/vllm/pool.py\n+++ b/vllm/pool.py\n@@ -1,3 +1,3 @@\n class Pool:\n     def touch(self):\n"
    "-        return 1\n+        return 10\n"
)


@pytest.fixture(scope="module")
def folder():
    """A copy of the configs' folder, so that relative paths in them lead where they should."""
    with tempfile.TemporaryDirectory() as name:
        for path in Path("configs").rglob("*.*"):
            (Path(name) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(name) / path).write_bytes(path.read_bytes())
        (Path(name) / "configs" / "trace.csv").write_text("ContextTokens,GeneratedTokens\n30,4\n")
        installed = Path(name) / "site"
        for parent in (installed, *{path.parent for path in (Path(name) / "configs").rglob("*.yaml")}):
            tree = parent if parent == installed else parent / "tree"
            (tree / "vllm").mkdir(parents=True)
            (tree / "vllm" / "pool.py").write_text(POOL if parent == installed else POOL.replace("1", "2"))
            (parent / "a.patch").write_text(PATCH)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("harness.running.changed.installed_root", lambda: installed)
            yield Path(name)


def in_lines(said: str) -> None:
    """What every refusal keeps: lines that nothing foreign has broken, and that are not long."""
    assert said
    for line in said.split("\n"):
        assert line.isprintable()
        assert 10 < len(line) < 1500


def taken(file: Path) -> tuple[Loaded | None, str]:
    """What comes of a config (None of a micro one), or what is said of it; nothing but an error for the user is."""
    try:
        if kind_of(file) == "micro":
            benchmarks = load_micro(file)[1]
            foresee_micro(file, benchmarks)
            return None, ""
        loaded = load(file)
        foresee(loaded)
    except ConfigError as error:
        return None, str(error)
    return loaded, ""


@cases(700)
@given(mutated())
def test_fuzz_configs(folder, case) -> None:
    path, text = case
    file = folder / path.with_stem("fuzzed")
    file.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    loaded, said = taken(file)
    if said:
        in_lines(said)
        assert all(line.startswith(str(file.parent)) for line in said.split("\n"))
    if loaded is None:
        return
    # What is taken can be written to run.json, set as the environment, and served.
    content = json.dumps(loaded.experiment.model_dump(mode="json"), allow_nan=False, ensure_ascii=False)
    assert len(content.encode()) < 10**6
    for name, value in loaded.experiment.host.env.items():
        assert name.encode()
        assert value.encode().find(b"\0") < 0
    workload = loaded.experiment.workload
    if not isinstance(workload, SyntheticWorkload) or workload.requests <= 1000:
        assert build(workload, loaded.folder, 100, 16).requests


OPTIONS = {
    "ab": ["--swap", "--tree", "--revert", "--only", "--grain", "--scope", "--config", "--out", "--set", "--full"],
    "run": ["--out", "--set", "--arms", "--trace", "--flamegraph", "--whole", "--native", "--nvtx", "--full", "-v"],
    "report": ["--format", "--full"],
    "compare": ["--format", "--out"],
    "flame": ["--pid", "--seconds", "--rate", "--scope", "--whole", "--native", "--nonblocking", "--out"],
    "list": ["--configs"],
    "selftest": ["--seconds", "--out", "--set", "--usual-way", "-v"],
    "doctor": ["--try"],
}
ALONE = {
    "--revert",
    "--trace",
    "--flamegraph",
    "--whole",
    "--native",
    "--nvtx",
    "--full",
    "-v",
    "--nonblocking",
    "--try",
}
SWAPS = st.builds("{}{}{}".format, TEXTS | st.just("json.encoder.JSONEncoder.encode"), st.sampled_from("=:"), TEXTS)
WORDS = (
    TEXTS | NUMBERS.map(str) | st.sampled_from(["nan", "inf", "-inf", "1e999", "json", "terminal", "list,numpy", ","])
)
PATHS = st.sampled_from(
    [*map(str, CONFIGS), "configs", "tests", "none.yaml", "a" * 300, "/dev/null", "", ".", "README.md", "reports/none",
     "a\udcff"]
)  # fmt: skip
PLACES = sorted({".".join(map(str, place)) for config in CONFIGS.values() for place in places(config) if place})


@st.composite
def setting(draw: st.DrawFn) -> str:
    """What could stand behind --set."""
    key = draw(st.sampled_from(PLACES) | st.sampled_from(KEYS) | TEXTS)
    value = draw(VALUES.map(lambda value: _dump(value).removesuffix("...\n").strip()) | RAW_TEXTS | WORDS)
    return draw(st.sampled_from([f"{key}={value}", f"{key}={value}", f"{key}{value}", f"{key}.x={value}"]))


@st.composite
def command_line(draw: st.DrawFn) -> list[str]:
    """Arguments of some subcommand, right ones and wrong ones."""
    command = draw(st.sampled_from(list(OPTIONS)))
    arguments = draw(st.lists(PATHS, max_size=2))
    if command in ("run", "selftest", "doctor") and draw(st.booleans()):
        arguments = [draw(st.sampled_from(list(map(str, CONFIGS))))]
    for option in draw(st.lists(st.sampled_from(OPTIONS[command]), max_size=4)):
        arguments.append(option)
        if option not in ALONE:
            words = (WORDS | PATHS).filter(lambda word: word.strip() != "/")  # a list of the whole disk takes minutes
            arguments.append(draw(setting() if option == "--set" else SWAPS if option == "--swap" else words))
    if draw(st.integers(0, 9)) == 0:
        arguments.insert(draw(st.integers(0, len(arguments))), draw(WORDS))
    return [command, *(argument.replace("\0", "") for argument in arguments)]


@pytest.fixture(scope="module")
def nothing_starts():
    """Whatever would start an engine, sample a process or measure does nothing; no folder is made."""

    class NoFolder:
        note = ""

        def __init__(self, path, passes=True) -> None:
            self.path = path

        existing = classmethod(lambda cls, path: cls(path))
        write_text = write_run = close = lambda self, *_: None

    def refuse(*_):
        raise HarnessError("it would begin now, and is not to in a test")

    with pytest.MonkeyPatch.context() as patch:
        outcome = Outcome("complete", 0)
        patch.setattr("harness.records.folder.RunFolder", NoFolder)
        patch.setattr("harness.cli.executing.execute", lambda *_: outcome)
        patch.setattr("harness.cli.executing.execute_launches", lambda *_: outcome)
        patch.setattr("harness.cli.grains.execute_both", lambda *_: outcome)
        patch.setattr("harness.cli.points.execute_points", lambda *_: outcome)
        patch.setattr("harness.signals.heed", dict)
        patch.setattr("harness.cli.run._show", lambda *_: None)
        patch.setattr("harness.config.ab.write_config", lambda loaded, *_: loaded)
        patch.setattr("harness.cli.micro.run_micro", _micro)
        patch.setattr("harness.records.folder.read_run", refuse)
        patch.setattr("harness.hosts.vllm_v0.go_where_it_is", lambda: None)
        patch.setattr("harness.cli.doctor._examine", lambda *_: iter(()))
        patch.setattr("harness.cli.doctor._try", lambda *_, **__: iter(()))
        patch.setattr("harness.sampling.attach.runner_process", refuse)
        yield


def _micro(config: Path, overrides: Any, path: Path) -> int:
    foresee_micro(config, load_micro(config, overrides)[1])
    return 0


@cases(300)
@given(command_line())
def test_fuzz_command_lines(nothing_starts, arguments) -> None:
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main(arguments)
    said = err.getvalue()
    assert ended.value.code in (0, 1, 2)
    assert "fault of harness" not in said
    assert "Traceback" not in said
    if ended.value.code:
        assert said
    if not said.startswith("Usage:"):
        assert all(
            line.isprintable() and line.startswith("harness: ") for line in said.removesuffix("\n").split("\n") if line
        )
