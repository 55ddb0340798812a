"""Configs and options that no engine could start with, or that neither YAML, pydantic nor run.json could take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.config.file import kind_of, load, load_micro
from harness.errors import ConfigError
from tests.config.test_config import MINIMAL

if TYPE_CHECKING:
    from pathlib import Path

LONG = "x" * 300
MICRO = "kind: micro\nbenchmark: to_cpu\nsizes: [1, 10]\n"


def refusal(read, path: Path, *args) -> str:
    """What a reader says: lines of which each names the file or the option."""
    with pytest.raises(ConfigError) as caught:
        read(path, *args)
    said = str(caught.value)
    assert all(line.startswith((f"{path}:", f"{path} ", "--set ", "--arms ")) for line in said.split("\n"))
    assert all(line.isprintable() and len(line) < 1500 for line in said.split("\n"))
    return said


@pytest.fixture
def path(tmp_path) -> Path:
    file = tmp_path / "c.yaml"
    file.write_text(MINIMAL)
    return file


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("protocol.seconds=.inf", "protocol.seconds: is inf: write a finite number"),
        ("protocol.seconds='nan'", "protocol.seconds: input should be a finite number"),
        ("protocol.seconds=1000000000000", "protocol.seconds: input should be less than or equal to 86400"),
        ("protocol.groups=1000000000000", "protocol.groups: input should be less than or equal to 100000"),
        ("protocol.groups=true", "protocol.groups: write a number, not true"),
        ("protocol.groups=-1", "protocol.groups: input should be greater than or equal to 2"),
        ("protocol.launches=100000", "protocol.launches: input should be less"),
        ("protocol.warmup=100000", "protocol.warmup: input should be less"),
        ("protocol.seed=4294967296", "protocol.seed: input should be less"),
        ("protocol.confidence=0.9999999999", "protocol.confidence: input should be less"),
        ("protocol.exposed=[.inf]", "protocol.exposed.0: is inf"),
        ("protocol.exposed=[1.0e-9]", "protocol.exposed.list"),
        ("protocol.until={half_width_us: .nan, max_seconds: 3}", "protocol.until.half_width_us: is nan"),
        ("flamegraph.seconds=.inf", "flamegraph.seconds: is inf"),
        ("flamegraph.rate_hz=10000000", "flamegraph.rate_hz: input should be less"),
        ("host.threads=10000000", "host.threads: input should be less"),
        ("workload.requests=1000000000000", "workload.requests: input should be less"),
        ("workload.requests=99999999999999999999", "workload.requests: is a number of more than 64 bits"),
        ("workload.prompt_tokens=100000000000", "workload.prompt_tokens.constant: input should be less"),
        ("workload.prompt_tokens=.inf", "workload.prompt_tokens: is inf"),
        ("workload.prompt_tokens={uniform: {low: 1, high: 9223372036854775807}}", "uniform.high: input should be less"),
        ("workload.prompt_tokens={lognormal: {median: 1.0e+300, sigma: 1}}", "lognormal.median: input should be less"),
        ("workload.prompt_tokens={lognormal: {median: 3, sigma: 1000}}", "lognormal.sigma: input should be less"),
        ("arms=[list, {name: a, reference: 'm:C', delay_us: .inf}]", "arms.1.delay_us: is inf"),
        ("arms=[list, {name: a, reference: 'm:C', delay_us: 1.0e+12}]", "arms.1.delay_us: input should be less"),
        ("arms=[list, {name: a, reference: 'nowhere'}]", "arms.1.reference: 'nowhere' names no class"),
        ("arms=[list, {a: 'my module:C'}]", "arms.1.reference: 'my module:C' names no class"),
        ("arms=[list, 'mine.py:']", "arms.1.name"),
        ("arms=[list, '.mine:C']", "arms.1.reference: '.mine:C' names no class"),
        (f"arms=[list, '{LONG}.py:C']", "arms.1: "),
        (f"arms=[list, 'm:{LONG}']", "arms.1.name: string should have at most 100 characters"),
        ("arms=[{list: {a: b}}]", "arms.0.a: unknown key; known are ceiling, delay_us, engine, env, host, name, only"),
        ("baseline={}", "baseline: input should be a valid string"),
        ("baseline=[[list]]", "baseline: input should be a valid string"),
        ("host.env={'': b}", "host.env: '' is no name of an environment variable"),
        ("host.env={'A=B': b}", "host.env: 'A=B' is no name of an environment variable"),
        ('host.env={A: "b\\0"}', "host.env.A: holds a NUL character"),
        ('host.env={"A\\0": b}', "host.env: the key 'A\\x00' is no text"),
        (f"host.env={{A: {'b' * 100_000}}}", "host.env: A is longer than an environment variable can be"),
        ("probes=[.torch.tensor]", "probes: '.torch.tensor' names no function: write package.module.function"),
        ("probes=[tensor]", "probes: 'tensor' names no function"),
        ("probes=['torch.']", "probes: 'torch.' names no function"),
        ("probes=[torch.tensor, 'torch:tensor']", "probes: torch.tensor and torch:tensor are the same function"),
        (
            "probes=[compute_slot_mapping, vllm.v1.worker.block_table.BlockTable.compute_slot_mapping]",
            "are the same function; name it once",
        ),
        ("scope=[_prepare_inputs, _prepare_inputs]", "scope: _prepare_inputs is named twice"),
        ("engine.tensor_parallel_size=true", "engine: tensor_parallel_size is True: write a whole number"),
        ("engine.tensor_parallel_size=1000000000000", "engine: tensor_parallel_size is 1000000000000"),
        ("engine.x=!!binary aGVsbG8=", "engine.x: is of type bytes: write text"),
        ("engine.x=2020-01-01", "engine.x: is of type date"),
        ("engine.x=!!set {a, b}", "engine.x: is of type set"),
        ("engine.x={1: 2}", "engine.x: the key 1 is no text: write it in quotes"),
        ('engine.x="\\ud800"', "engine.x: holds half a character"),
        ("engine.x=.nan", "engine.x: is nan"),
        ("engine.x=&a [*a]", "the value is no valid YAML: it holds itself by an alias"),
        (f"engine.x={'[' * 300}{']' * 300}", "the value is no valid YAML: it is nested more than 40 levels deep"),
        (f"engine.x={'[' * 100_000}", "the value is no valid YAML: it is nested more than 40 levels deep"),
        (f"engine.x={'9' * 5000}", "the value is no valid YAML: 9999"),
        (f"engine.x=0x{'9' * 5000}", "engine.x: is a number of more than 64 bits"),
        ("engine.x=!!timestamp a", "the value is no valid YAML: a is no value"),
        ("engine.x=!!bool a", "the value is no valid YAML: a is no value"),
        ("engine.x=!!int ''", "the value is no valid YAML"),
        ("trace=1", "trace: unknown key"),
        ("a..b=1", "a: unknown key"),
        ('"a\nb"=1', '"a b": unknown key'),
        (f"title={'x' * 501}", "title: string should have at most 500 characters"),
        ("host.device=cuda", "host: device: vllm_v0 runs on the CPU alone"),
        ("workload.kind=x", "workload.kind: there is no 'x'; there are 'synthetic', 'trace'"),
        ("kind=micro", "kind: 'micro' starts no engine"),
        (f"seam={LONG}", "seam: there is no seam"),
    ],
)
def test_what_no_engine_could_start_with_is_refused_when_the_config_is_read(path, option, message) -> None:
    more = ["host.kind=vllm_v0"] if "cuda" in option else []
    assert message in refusal(load, path, [*more, option])


@pytest.mark.parametrize("arms", [["list"], ["numpy"]])
def test_a_baseline_that_is_no_name_is_refused_also_where_arms_are_chosen(path, arms) -> None:
    assert "baseline: input should be a valid string" in refusal(load, path, ["baseline={}"], arms)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 1000 + "]" * 1000, ":1: it is nested more than 40 levels deep"),
        ("\n" + "{a: " * 1000 + "1" + "}" * 1000, ":2: it is nested more than 40 levels deep"),
        ("title: a\nengine: &a {model: *a}\n", ":2: it holds itself by an alias"),
        (
            "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{f'*a{i - 1}, ' * 9}]\n" for i in range(1, 9)),
            "more than 100,000 values",
        ),
        ("a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 300)), "nested more than 40 levels"),
        (f"title: a\nx: {'9' * 5000}\n", ":2: this is no valid YAML: 9999"),
        ("title: a\nx: !!timestamp b\n", ":2: this is no valid YAML: b is no value"),
        ("? {a: b}\n: c\n", ":1: a key is a plain word here"),
        ("x: 1\n" * 300_000, "it has more than 1,000,000 bytes, and so is no config"),
        (b"\xff\xfe\x00", "cannot be read: "),
        ("a: *b\n", ":1: this is no valid YAML: found undefined alias"),
        ("- a\n", ":1: a config is a mapping of keys"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("read", [load, load_micro, kind_of])
def test_a_file_that_no_reader_could_take_is_refused_with_its_line(path, text, message, read) -> None:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert message in refusal(read, path)


def test_a_byte_order_mark_and_plain_aliases_are_taken(path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("requests: 4", "requests: &n 4\n  seed: *n").encode())
    assert load(path).experiment.workload.seed == 4


@pytest.mark.parametrize("name", [LONG, "a\0b", "a\nb"])
def test_a_config_whose_name_is_impossible(tmp_path, name) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"kind: micro\ninclude: [{LONG}.yaml]\n", "include.0: .*File name too long"),
        ("kind: micro\ninclude: [c.yaml]\n", "include.0: it includes itself"),
        ("kind: micro\ninclude: [none.yaml]\n", "include.0: there is no file"),
        ("kind: micro\ninclude: [.]\n", "include.0: .* is no file"),
        (MICRO + "seconds: .inf\n", "seconds: is inf"),
        (MICRO + "seed: -1\n", "seed: input should be greater"),
        (MICRO + "seconds: 1000000\n", "seconds: input should be less"),
        (MICRO.replace("10]", "1000000000000]"), "sizes.1: input should be less"),
        (MICRO.replace("to_cpu", "to_cpuu"), ":2: benchmark: there is no 'to_cpuu'; there are 'to_cpu', 'to_gpu'"),
        (MICRO.replace("to_cpu", "[]"), r":2: benchmark: there is no '\[\]'; there are 'to_cpu', 'to_gpu'"),
        (MICRO.replace("benchmark: to_cpu", "title: a"), ":1: benchmark: is missing"),
    ],
)  # fmt: skip
def test_micro_configs_likewise(path, text, message) -> None:
    import re

    path.write_text(text)
    assert re.search(message, refusal(load_micro, path))


def test_includes_end(tmp_path) -> None:
    for index in range(9):
        (tmp_path / f"{index}.yaml").write_text(f"kind: micro\ninclude: [{index + 1}.yaml]\n")
    (tmp_path / "9.yaml").write_text(MICRO)
    with pytest.raises(ConfigError, match="included through more than 5 others"):
        load_micro(tmp_path / "0.yaml")
    assert len(load_micro(tmp_path / "4.yaml")[1]) == 1
    (tmp_path / "8.yaml").write_text(f"kind: micro\ninclude: [{', '.join(['9.yaml'] * 100)}]\n")
    (tmp_path / "7.yaml").write_text(f"kind: micro\ninclude: [{', '.join(['8.yaml'] * 100)}]\n")
    with pytest.raises(ConfigError, match="more than 1000 benchmarks in all"):
        load_micro(tmp_path / "7.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def Mine(): ...", "has no class Mine; it has none"),
        ("def f():\n    class Mine: ...", "has no class Mine; it has none"),
        ("class Outer:\n    class Mine: ...", "has no class Mine; it has Outer"),
        ("x = " + "(" * 500 + ")" * 500, "this is no valid Python"),
        ("x = " + "-" * 100_000 + "1", "cannot be read"),
        ("\0", "null bytes"),
        ("x = 1 + " + " + ".join(["1"] * 300), "has no class Mine"),
    ],
)  # fmt: skip
def test_an_arms_file_without_its_class_is_refused(path, text, message) -> None:
    (path.parent / "mine.py").write_text(text)
    assert message in refusal(load, path, [], [str(path.parent / "mine.py:Mine")])


@pytest.mark.parametrize(
    "text",
    ["def f():\n    global Mine\n    Mine = object", "def __getattr__(name): ...", "\ufeffclass Mine: ...",
     "# coding: latin-1\n# \xe9\nclass Mine: ..."],
)  # fmt: skip
def test_an_arms_file_that_may_have_its_class_is_taken(path, text) -> None:
    (path.parent / "mine.py").write_text(text, encoding="latin-1" if "latin" in text else "utf-8")
    assert load(path, [], [str(path.parent / "mine.py:Mine")]).experiment.arms[-1].name == "Mine"
