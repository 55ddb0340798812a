"""What is known of a run before its engine starts."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace
from typing import Final

import pytest

from harness.config.file import load, load_micro
from harness.config.numbers import LONGEST
from harness.errors import ConfigError, HostError
from harness.running import executors, foreseen
from harness.running.executors import check_executor
from harness.running.foreseen import foresee, foresee_micro
from tests.config.test_config import MINIMAL

TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


@pytest.fixture
def path(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"max_position_embeddings": 512}')
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("[" * 100_000)
    file = tmp_path / "c.yaml"
    file.write_text(MINIMAL.replace("some/model", "model"))
    return file


@pytest.fixture(autouse=True)
def small_machine_with_a_cpu_build(monkeypatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=8 * 2**30))
    monkeypatch.setattr(foreseen, "installed", lambda: ("cpu", "0.32.0"))
    monkeypatch.setattr(foreseen, "declared_arguments", lambda: {"model", "max_model_len"})


def refusal(path, *options: str) -> str:
    with pytest.raises(ConfigError) as caught:
        foresee(load(path, options))
    (line,) = str(caught.value).splitlines()
    assert line.startswith((f"{path}:", "--set "))
    return line


def test_a_good_config_passes(path) -> None:
    foresee(load(path))
    foresee(load(path, ["probes=[compute_slot_mapping, torch.tensor, json.dumps]"]))
    foresee(load(path, ["arms=[list, 'os.path:join', 'harness.examples.own_slots:Comprehension']"]))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("engine.max_modl_len=4", "engine.max_modl_len: vLLM 0.32.0 has no such engine argument; did you mean"),
        ("engine.model=./gone", "engine.model: ./gone: there is no folder of that name with a config.json"),
        (f"engine.model={'x' * 300}", "longer than the name of any model or folder"),
        (f"engine.model=./{'x' * 300}/y", "there is no folder of that name with a config.json"),
        ("engine.model=broken", "broken/config.json is no JSON object"),
        ("workload.sampling={temperature: 1, seed: 0}", "workload.sampling.seed: on a CPU vLLM cannot draw by seed"),
        (
            "workload.sampling={json_schema: {properties: {a: {type: strng}}}}",
            "workload.sampling.json_schema.properties.a.type: is no JSON schema: 'strng' is not",
        ),
        ("workload.sampling={detokenize: true}", "engine.tokenizer: the model has none, and one of bytes needs a voc"),
        ("host.device=cuda", "host.device: cuda was asked for, and this vLLM is for cpu"),
        ("protocol.sync=true", "protocol.sync: it needs a CUDA device"),
        ("protocol.nvtx=true", "protocol.nvtx: it needs a CUDA device"),
        ("arms=[list, 'gone.module:Arm']", "arms.1: there is no module 'gone' here"),
        ("arms=[list, 'patches.gone:Arm']", "arms.1: there is no module 'patches.gone' here"),
        ("arms=[list, 'patches.slot_mapping:Gone']", "slot_mapping.py has no class Gone; it has Sequences, List"),
        ("probes=[gone.function]", "probes.0: gone.function: there is no module 'gone' here"),
        ("probes=[json.dmups]", "probes.0: json.dmups: 'json' has no attribute 'dmups'; did you mean 'dumps' or"),
        ("probes=[json:JSONEncoder.encod]", "'JSONEncoder' has no attribute 'encod'; did you mean 'encode'"),
        ("scope=[_prepare_inputs, _prepare_inputt]", "scope: on vLLM's v1 model runners there is no method "
         "'_prepare_inputt'; did you mean '_prepare_inputs'"),
        ("scope=prepare_attn", "scope: on vLLM's v1 model runners there is no method 'prepare_attn'"),
        ("scope=json.dmups", "scope: 'json' has no attribute 'dmups'; did you mean 'dumps'"),
        ("scope=gone.function", "scope: there is no module 'gone' here"),
        ("probes=[json.JSONEncoder]", "probes.0: json.JSONEncoder: json.JSONEncoder is a class: name a function of it"),
        ("workload={requests: 1000000, prompt_tokens: 10000, output_tokens: 1}", "workload.requests: 1,000,000 requ"),
        ("protocol.groups=100000", "protocol.groups: 600,000 passes of at least 500 steps need about"),
    ],
)  # fmt: skip
def test_what_would_fail_in_the_engine_is_refused_before(path, option, message) -> None:
    assert message in refusal(path, "workload.output_tokens=500", option)


SWAP: Final = """
host: {device: cpu}
engine: {model: model}
workload: {requests: 4, prompt_tokens: 8, output_tokens: 3}
swap: json.dumps
arms: [mine: "json:loads"]
"""


@pytest.mark.parametrize(
    ("swap", "message"),
    [
        ("json.dmups", "swap: 'json' has no attribute 'dmups'; did you mean 'dumps' or"),
        ("json.encoder", "swap: json.encoder is a module: name a function in it"),
        ("json.dumps.deep", "swap: json.dumps is a function: leave .deep out"),
        ("gone.function", "swap: there is no module 'gone' here"),
    ],
)
def test_what_is_to_be_replaced_is_looked_up_before(path, swap, message) -> None:
    path.write_text(SWAP.replace("json.dumps", swap))
    assert message in refusal(path)


@pytest.mark.parametrize("swap", ["json.dumps", "torch.tensr"])
def test_what_may_be_replaced_is_not_refused_before(path, swap) -> None:
    path.write_text(SWAP.replace("json.dumps", swap))
    foresee(load(path))


@pytest.mark.parametrize(
    "options",
    [
        ["scope=_update_states"],
        ["scope=[_prepare_inputs, execute_model]"],
        ["scope=set_active_loras"],  # of a class that the runner's inherits from
        ["scope=prepare_inputs", "host.model_runner=v2"],
        ["scope=whatever", "engine.worker_cls=my.Worker"],  # which has a runner of its own
        ["probes=[torch.tensr]"],  # torch makes most of its names when it is imported
        ["probes=[vllm.v1.worker.block_table.BlockTable.append_row]"],
    ],
)
def test_what_may_be_there_is_not_refused_before(path, monkeypatch, options) -> None:
    monkeypatch.setattr(foreseen, "declared_arguments", lambda: {"model", "worker_cls"})
    monkeypatch.setattr(foreseen, "installed", lambda: ("cuda", "0.32.0"))  # V2 runners are on a GPU alone
    foresee(load(path, options))


@pytest.mark.parametrize(("value", "refused"), [("vllm.plugins.own:register", True), ("my.plugin:register", False)])
def test_what_plugins_may_have_given_to_vllm_is_not_refused_before(path, monkeypatch, value, refused) -> None:
    monkeypatch.setattr(foreseen, "entry_points", lambda group: [SimpleNamespace(value=value)])
    monkeypatch.setattr(foreseen, "RUNNERS", {"v1": ("harness.gone.Gone", "harness.errors.ConfigError")})
    if refused:
        assert "'with_traceback'" in refusal(path, "scope=with_tracebac")
        assert "'dumps'" in refusal(path, "probes=[json.dmups]")
    else:
        foresee(load(path, ["scope=with_tracebac", "probes=[json.dmups]"]))


def test_requests_are_counted_as_long_as_the_model_lets_them_be(path) -> None:
    workload = "workload={requests: 100000, prompt_tokens: 1000000, output_tokens: 1}"
    foresee(load(path, [workload, "engine.max_model_len=16"]))
    assert "about 187 GiB of memory, and this machine has 8: take fewer" in refusal(
        path, workload.replace("requests: 100000", "requests: 1000000"),
        "engine.max_model_len=5000",
    )  # fmt: skip


GIB = 2**30


@pytest.fixture
def machine(monkeypatch):
    """Makes this a machine with as much memory."""

    def make(total: float) -> None:
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=int(total)))

    return make


def test_a_request_needs_500_bytes_and_40_a_token_of_which_those_generated_are_held_twice(path, machine) -> None:
    """By hand: 1,000 requests of 90 tokens and 5 new ones: 1,000 * 500 + 40 * (90,000 + 2 * 5,000)."""
    workload = ["workload={requests: 1000, prompt_tokens: 90, output_tokens: 5}", "protocol.seconds=1"]
    machine(4_500_000)
    foresee(load(path, workload))
    machine(4_499_999)
    assert "workload.requests: 1,000 requests of 95,000 tokens need about 0 GiB of memory" in refusal(path, *workload)


def test_requests_of_a_trace_are_counted_one_by_one_and_clipped_to_what_the_model_takes(path, machine) -> None:
    """By hand: of 512 tokens at most, (512 + 3) and (10 + 512); what is generated is held twice."""
    (path.parent / "t.csv").write_text(f"{TRACE}x,9999,3\nx,10,9999\n")
    trace = ["workload={kind: trace, file: t.csv}", "protocol.seconds=1"]
    machine(2 * 500 + 40 * (522 + 2 * 515))
    foresee(load(path, trace))
    machine(2 * 500 + 40 * (522 + 2 * 515) - 1)
    assert "workload.file: 2 requests of 1,037 tokens need" in refusal(path, *trace)


@pytest.mark.parametrize(("bare", "passes"), [("true", 60), ("false", 30)])
def test_a_row_of_300_bytes_stays_of_each_step_of_every_pass(path, machine, bare, passes) -> None:
    """10 groups of two arms and A/A, probed and bare, of 500 steps."""
    options = [
        "workload={requests: 1, prompt_tokens: 1, output_tokens: 500}", "arms=[list, numpy]", "protocol.groups=10",
        f"protocol.bare={bare}",
    ]  # fmt: skip
    machine(passes * 500 * 300)
    foresee(load(path, options))
    machine(passes * 500 * 300 - 1)
    assert f"protocol.groups: {passes} passes of at least 500 steps need" in refusal(path, *options)
    foresee(load(path, [*options[:2], "protocol.seconds=1"]))  # which measures as many as there is time for


@pytest.mark.parametrize(
    ("engine", "config", "longest"),
    [
        ({"max_model_len": 16}, '{"max_position_embeddings": 512}', 16),
        ({}, '{"max_position_embeddings": 512}', 512),
        ({"max_model_len": None}, '{"max_position_embeddings": 2}', 2),
        ({}, '{"max_position_embeddings": 1}', LONGEST),  # no length, but a mark of something else
        ({}, '{"max_position_embeddings": "many"}', LONGEST),
        ({"max_model_len": "auto"}, '{"max_position_embeddings": 512}', LONGEST),
        ({}, f'{{"max_position_embeddings": {10 * LONGEST}}}', LONGEST),
        ({}, "{}", LONGEST),
        ({}, "[]", LONGEST),
        ({}, "no JSON", LONGEST),
        ({}, None, LONGEST),
    ],
)
def test_a_request_is_as_long_as_the_engine_or_else_the_model_says_where_they_say_it(
    tmp_path, engine, config, longest
) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    assert foreseen._longest(engine, str(tmp_path)) == longest


@pytest.mark.parametrize(("needed", "fits"), [(8 * GIB, True), (8 * GIB + 1, False)])
def test_what_fits_is_at_most_the_machines_memory(path, needed, fits) -> None:
    if fits:
        foreseen._check_memory(needed, "a.key", "things")
        return
    with pytest.raises(ConfigError, match=r"^a\.key: things need about 8 GiB of memory, and this machine has 8: take"):
        foreseen._check_memory(needed, "a.key", "things")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", TRACE + "x,many,3\n", "workload.file: "),
        ("t.csv", TRACE, "holds no request"),
        ("t.jsonl", "null\n", "t.jsonl:1: "),
    ],
)
def test_a_broken_trace_is_refused_before(path, name, content, message) -> None:
    (path.parent / name).write_text(content)
    said = refusal(path, f"workload={{kind: trace, file: {name}}}")
    assert "workload.file: " in said
    assert message in said


def test_nothing_of_what_is_named_is_imported_for_it(path) -> None:
    package = path.parent / "loud_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "arm.py").write_text("class Arm: ...\ndef f(): ...\n")
    sys.path.insert(0, str(path.parent))
    try:
        foresee(load(path, ["arms=[list, 'loud_package.arm:Arm']", "probes=[loud_package.arm.f]"]))
        assert "has no class Gone; it has Arm" in refusal(path, "arms=[list, 'loud_package.arm:Gone']")
    finally:
        sys.path.remove(str(path.parent))
    assert "loud_package" not in sys.modules


def test_without_vllm_nothing_is_begun(path, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HostError, match="vLLM is not installed here"):
        foresee(load(path))


def test_containers_of_micro_benchmarks_fit_into_memory(tmp_path) -> None:
    path = tmp_path / "m.yaml"
    for text, held in (
        ("benchmark: concat\npieces: [1000000]\nlengths: [1000000]", "1,000,000,000,000 items"),
        ("benchmark: to_cpu\nsizes: [99999998, 99999999, 100000000]", "299,999,997 items"),
    ):
        path.write_text(f"kind: micro\n{text}\n")
        with pytest.raises(ConfigError, match=held):
            foresee_micro(path, load_micro(path)[1])
    path.write_text("kind: micro\nbenchmark: operations\n")
    foresee_micro(path, load_micro(path)[1])


def test_texts_need_a_tokenizer_that_is_there_or_can_be_made(path) -> None:
    asked = "workload.sampling={detokenize: true}"
    (path.parent / "model" / "config.json").write_text('{"vocab_size": 1024}')
    foresee(load(path, [asked]))
    (path.parent / "model" / "config.json").write_text('{"vocab_size": 100}')
    assert "not 100: name a tokenizer" in refusal(path, asked)
    (path.parent / "model" / "tokenizer.json").write_text("{}")
    foresee(load(path, [asked]))


def test_a_schema_needs_what_keeps_texts_to_it(path, monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "xgrammar" else find(name))
    assert "json_schema: there is no xgrammar here" in refusal(path, "workload.sampling={json_schema: {type: object}}")


@pytest.fixture
def on_ray(monkeypatch) -> list[str]:
    """Engines on Ray, on a build of vLLM that could have them."""
    monkeypatch.setattr(foreseen, "declared_arguments", lambda: {"model", "distributed_executor_backend"})
    monkeypatch.setattr(executors, "on_cpu", lambda host: False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: SimpleNamespace(name=name))
    return ["engine.distributed_executor_backend=ray", "host.process=subprocess"]


@pytest.mark.parametrize("name", ["ray", "vllm.v1.executor.ray_executor_v2.RayExecutorV2"])
def test_an_executor_on_ray_needs_a_device_ray_and_a_process_of_its_own(path, on_ray, monkeypatch, name) -> None:
    options = [f"engine.distributed_executor_backend={name}", *on_ray[1:]]
    key = "engine.distributed_executor_backend: "
    check_executor(load(path, options).experiment)
    assert key + "Ray takes the signals" in refusal(path, *options[:1])
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None if module == "ray" else SimpleNamespace())
    assert key + "there is no Ray here: pip install 'harness[ray]', or write mp" in refusal(path, *options)
    monkeypatch.setattr(executors, "on_cpu", lambda host: True)
    assert key + "vLLM's platform for the CPU does not run on Ray: write mp" in refusal(path, *options)
    monkeypatch.setattr(executors, "entry_points", lambda group: [group])  # somebody's platform, which may have one
    assert key + "there is no Ray here" in refusal(path, *options)


def test_an_arm_on_ray_is_looked_at_as_well(path, on_ray, monkeypatch) -> None:
    monkeypatch.setattr(executors, "on_cpu", lambda host: True)
    file = path.parent / "settings.yaml"
    file.write_text("engine: {model: model}\nworkload: {requests: 3, prompt_tokens: 6, output_tokens: 5}\n"
                    "arms: [{ray: {engine: {distributed_executor_backend: ray}}}]\n")  # fmt: skip
    with pytest.raises(ConfigError, match=r"arms\.0.*: vLLM's platform for the CPU does not run on Ray"):
        foresee(load(file))


def test_where_any_runner_is_right_a_scope_may_name_a_method_of_either(path, monkeypatch) -> None:
    path.write_text(SWAP)
    with pytest.raises(ConfigError, match="on vLLM's v1 model runners there is no method 'prepare_attn'"):
        foresee(load(path, ["scope=prepare_attn"]))
    monkeypatch.setattr("harness.running.foreseen.on_cpu", lambda host: False)  # so as on a GPU
    for method in ("prepare_attn", "_prepare_inputs"):
        foresee(load(path, [f"scope={method}"]))
    assert "scope: on vLLM's model runners there is no method 'nowhere'" in refusal(path, "scope=nowhere")
    assert "on vLLM's v1 model runners" in refusal(path, "scope=prepare_attn", "host.model_runner=v1")
