"""The command line without an engine: help, lists, refusals and their exit status."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import errors
from harness.config.experiment import Host as HostConfig
from harness.hosts.starting import dtype_default, resolve_model
from harness.hosts.vllm import VllmHost
from harness.hosts.vllm_settings import engine_environment
from harness.hosts.workers import as_far_as_all, merge_workers
from harness.records import machine


def harness(*args: str, **kwargs) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)


HEAVY = ("jinja2", "matplotlib", "numpy", "pandas", "pyarrow", "scipy", "torch", "vllm")


def imports_of(*args: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """What a command did, and which of the heavy packages it imported for that."""
    program = (
        "import sys, atexit, harness.cli\n"
        f"atexit.register(lambda: print('imported:', *sorted({set(HEAVY)!r} & set(sys.modules))))\n"
        f"sys.argv = ['harness', *{args!r}]\n"
        "harness.cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return done, done.stdout.rpartition("imported:")[2].strip()


@pytest.mark.parametrize("command", [[], ["run"], ["report"], ["list"], ["flame"], ["selftest"], ["doctor"], ["env"]])
def test_help_is_there_and_imports_nothing_heavy(command) -> None:
    done, imported = imports_of(*command, "--help")
    assert done.stdout.startswith("Usage: harness")
    assert (done.returncode, imported) == (0, "")


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["list"], 0, ""),
        (["run", "configs/slot_mapping.yaml", "--set", "protocol.grups=2"], 2, "did you mean 'groups'?"),
        (["run", "configs/slot_mapping.yaml", "--set", "engine.model=models/tiny-lama"], 2, "one-layer-llama, tiny"),
        (["run", "configs/slot_mapping.yaml", "--out", "reports/reference/slot_mapping-cpu"], 2, "already holds a run"),
        (["run", "configs/micro/all.yaml", "--set", "secnds=1"], 2, "did you mean 'seconds'?"),
        (["selftest", "--set", "protocol.grups=2"], 2, "did you mean 'groups'?"),
        (["env", "add", "torch==2.13.0"], 2, "is another package"),
        (["env", "remove", "vllm==0.0.1"], 2, "there is no environment 'vllm==0.0.1'"),
        (["doctor", "none.yaml"], 2, "none.yaml: cannot be read"),
        (["report", "configs"], 1, "configs holds no run"),
        (["report", "reports/reference/micro-cpu", "--format", "csv"], 2, "micro-benchmarks have terminal, markdown"),
        (["compare", "configs", "tests"], 1, "configs holds no run"),
        (["compare", "reports/reference/slot_mapping-cpu", "tests"], 1, "tests holds no run"),
        (["flame", "--pid", "999999999"], 1, "process 999999999"),
    ],
)
def test_what_needs_no_engine_and_no_figures_imports_nothing_heavy(args, status, message) -> None:
    """They take seconds to import, and a misspelt key is to be told at once."""
    done, imported = imports_of(*args)
    assert (done.returncode, imported) == (status, "")
    assert message in done.stderr


def test_the_table_of_a_report_stands_before_what_draws_is_imported(tmp_path) -> None:
    folder = tmp_path / "run"
    shutil.copytree("reports/reference/planted-cpu", folder)
    program = (
        "import sys, harness.report.screen as screen\n"
        "print_screen = screen.print_screen\n"
        "def told(*args, **more):\n"
        "    print_screen(*args, **more)\n"
        "    print('imported:', *sorted({'jinja2', 'matplotlib', 'pandas', 'torch'} & set(sys.modules)))\n"
        "screen.print_screen = told\n"
        f"sys.argv = ['harness', 'report', {str(folder)!r}]\n"
        "from harness.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    table, _, rest = done.stdout.partition("imported:")
    assert "_prepare_inputs" in table
    assert rest.split() == [f"{folder}/report.md", *f"python -m harness report {folder} --full".split()]
    assert done.stderr == "drawing the report (some seconds)\n"


def test_list_names_what_can_be_swapped_arms_probes_and_configs() -> None:
    done = harness("list")
    assert done.returncode == 0
    for word in (
        "slot_mapping",
        "native",
        "list_with_array",
        "cat_frombuffers",
        "torch.frombuffer",
        "Configs",
        "--swap NAME=",
    ):
        assert word in done.stdout
    assert "array.array a sequence" in " ".join(done.stdout.split())  # an arm's own first line


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run", "none.yaml"], "harness: none.yaml: cannot be read"),
        (["run", "configs/slot_mapping.yaml", "--arms", "nope"], "has no arm 'nope'"),
        (["run", "configs/slot_mapping.yaml", "--set", "protocol.grups=2"], "did you mean 'groups'?"),
        (["run", "configs/slot_mapping.yaml", "--arms", ","], "--arms: name at least one arm"),
        (["run", "configs/slot_mapping.yaml", "--set", "engine.tensor_parallel_size=two"], "write a whole number"),
        (["run", "configs/slot_mapping.yaml", "--set", "engine.model="], "write a folder or a hub name"),
        (["run", "configs/slot_mapping.yaml", "--set", "engine.model=models/tiny-lama"], "one-layer-llama, tiny-llama"),
        (["run", "configs/slot_mapping.yaml", "--set", "title=2020-13-45"], "the value is no valid YAML"),
        (["run", "configs/slot_mapping.yaml", "--set", "arms=[list, {native: 'x:Y'}]"], "give yours another name"),
        (["run", "configs/slot_mapping.yaml", "--native"], "--native is for flamegraphs: give --flamegraph as well"),
        (["run", "configs/slot_mapping.yaml", "--set", "flamegraph.rate_hz=0"], "flamegraph.rate_hz"),
        (["report", "reports", "--full", "--format", "csv"], "--full: --format csv always holds everything"),
        (["flame"], "Missing option '--pid'"),
        (["flame", "--pid", "1", "--seconds", "0"], "Invalid value for '--seconds'"),
        (["run"], "Missing argument 'CONFIG'"),
        (["runn"], "No such command 'runn'"),
    ],
)
def test_what_the_user_can_mend_ends_in_one_line_and_status_2(args, message, tmp_path) -> None:
    before = sorted(Path("reports").iterdir())
    done = harness(*args)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(Path("reports").iterdir()) == before  # a run that never began leaves no folder


def test_list_names_a_config_that_cannot_be_read(tmp_path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "good.yaml").write_text("title: A good one")
    done = harness("list", "--configs", str(tmp_path))
    assert done.returncode == 0
    assert "cannot be read" in done.stdout
    assert "A good one" in done.stdout


def test_a_folder_without_a_run_is_a_failure_in_one_line(tmp_path) -> None:
    done = harness("report", str(tmp_path))
    assert (done.returncode, done.stderr) == (1, f"harness: {tmp_path} holds no run: there is no run.json\n")


def test_a_missing_vllm_is_said_with_its_mend(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(errors.HostError, match="vLLM is not installed here; `make setup`"):
        VllmHost(HostConfig(), {"model": "x"}).start()


def test_the_engines_environment() -> None:
    env = engine_environment(HostConfig(process="subprocess", model_runner="v1", env={"A": "b"}), {"model": "hub/x"})
    assert env["VLLM_ENABLE_V1_MULTIPROCESSING"] == "1"
    assert env["VLLM_USE_V2_MODEL_RUNNER"] == "0"
    assert env["OMP_NUM_THREADS"] == "1"
    assert env["A"] == "b"
    assert "HF_HUB_OFFLINE" not in env
    parallel = engine_environment(HostConfig(threads=None), {"model": "configs/models/tiny-llama"})
    assert "OMP_NUM_THREADS" not in parallel
    assert parallel["HF_HUB_OFFLINE"] == "1"
    assert engine_environment(HostConfig(), {"model": "x", "tensor_parallel_size": 2})[
        "VLLM_CPU_OMP_THREADS_BIND"
    ] == "nobind"  # fmt: skip


def test_a_model_is_a_folder_beside_the_config_or_a_hubs_name(tmp_path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(errors.ConfigError, match=r"with a config\.json"):
        resolve_model("model", tmp_path)
    (tmp_path / "model" / "config.json").write_text("{}")
    assert resolve_model("model", tmp_path) == str(tmp_path / "model")
    assert resolve_model("meta-llama/Llama-3.2-1B", tmp_path) == "meta-llama/Llama-3.2-1B"
    for gone in ("./gone", "model/gone"):
        with pytest.raises(errors.ConfigError, match=r"with a config\.json"):
            resolve_model(gone, tmp_path)
    with pytest.raises(errors.ConfigError, match=r"beside it there is .*tiny-llama"):
        resolve_model("models/tiny-lama", Path("configs"))


def worker(steps=2, **changes):
    columns = {"step": list(range(steps)), "arm": [0] * steps}
    found = {"columns": columns, "failure": None, "mismatches": [], "watched": {"calls": {"f": [1] * steps}}}
    return {
        **found,
        "unrestored": [],
        "spans": [],
        "found": [],
        "other_threads": 0,
        "changed": [],
        "not_reset": "",
        **changes,
    }


def test_faults_of_every_worker_count() -> None:
    failure = {"arm": "x", "step": 1, "error": "E"}
    mismatch = {"arm": "x", "reason": "expected 1"}
    second = worker(
        failure=failure,
        mismatches=[mismatch],
        watched={"calls": {"f": [1, 0]}},
        unrestored=["cat"],
        other_threads=2,
        changed=["dtype"],
        not_reset="rows",
    )
    merged = merge_workers([worker(spans=[[0, "of the first", 1, 2]]), second])
    assert merged["failure"] == failure
    assert merged["mismatches"] == [{"arm": "x", "reason": "worker 1: expected 1"}]
    assert merged["watched"] == {"calls": {"f": [1, 1]}}  # of the first
    assert merged["unrestored"] == ["cat"]
    assert merged["other_threads"] == 2
    assert merged["changed"] == ["dtype"]
    assert merged["not_reset"] == "rows"
    assert merged["spans"] == [[0, "of the first", 1, 2]]
    with pytest.raises(errors.StepMismatchError, match=r"disagree on the number of steps: \[2, 3\]"):
        merge_workers([worker(), worker(steps=3)])


@pytest.mark.parametrize(("second", "agree"), [([1, 0, 2], True), ([1, 2, 2], False), ([1, 0, 0], False)])
def test_workers_that_ran_a_step_under_different_arms_are_told(second, agree) -> None:
    """Each worker switches by its own count of steps; where they part, no figure belongs to any arm."""
    workers = [worker(columns={"step": [0, 1, 2], "arm": arms}) for arms in ([1, 0, 2], [1, 0, 2], second)]
    if agree:
        assert merge_workers(workers)["columns"]["arm"] == [1, 0, 2]
    else:
        with pytest.raises(errors.StepMismatchError, match="workers ran a step under different arms"):
            merge_workers(workers)


def test_of_a_pass_that_was_cut_short_all_is_kept_that_every_worker_has() -> None:
    """Ctrl-C finds one worker a step ahead of the other."""
    for watched in ({"calls": {"f": [1, 1, 1]}}, {}):  # of a checking pass, and of another
        merged = merge_workers(as_far_as_all([worker(steps=3, watched=watched), worker()]))
        assert merged["columns"] == {"step": [0, 1], "arm": [0, 0]}
        assert merged["watched"] == watched
    assert as_far_as_all([]) == []


@pytest.mark.parametrize("package", ["harness", "patches"])
def test_public_names_are_declared_and_exist(package) -> None:
    """Every module says what is public, and has it (those that need a vLLM are seen by its tests)."""
    import importlib

    for path in sorted(Path(package).rglob("*.py")):
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        if name.endswith(("__main__", "vllm_weights", "vllm_worker", "v0.worker")):
            continue
        module = importlib.import_module(name)
        assert path.read_text().count('"""') >= 2, f"{path} has no docstring"
        for public in getattr(module, "__all__", ()):
            assert hasattr(module, public), f"{name}.{public}"
        if path.name != "__init__.py":
            assert module.__all__


INTEL, OLDER, ARM = "flags : fpu avx512f avx512_bf16 amx_bf16", "flags\t\t: fpu avx2 f16c", "Features : fp asimd bf16"


@pytest.mark.parametrize(
    ("cpuinfo", "model", "engine", "expected"),
    [
        (OLDER, "bfloat16", {}, {"dtype": "float32"}),
        (INTEL, "bfloat16", {}, {}),
        (ARM, "bfloat16", {}, {}),
        (OLDER, "float16", {}, {}),
        (OLDER, "bfloat16", {"dtype": "bfloat16"}, {}),
        (OLDER, "bfloat16", {"dtype": "auto"}, {}),
        (OLDER, None, {}, {}),
    ],
)
def test_a_cpu_without_bfloat16_gets_float32_unless_the_config_says_otherwise(
    monkeypatch, tmp_path, cpuinfo, model, engine, expected
) -> None:
    monkeypatch.setattr(machine, "_read", lambda path: f"processor : 0\n{cpuinfo}\nbugs :\n")
    if model is not None:
        (tmp_path / "config.json").write_text(json.dumps({"torch_dtype": model}))
    assert dtype_default({"model": str(tmp_path), **engine}) == expected


def test_the_engine_is_given_what_the_cpu_needs_and_on_a_gpu_nothing(monkeypatch) -> None:
    monkeypatch.setattr(machine, "_read", lambda path: OLDER)
    engine = {"model": "configs/models/tiny-llama"}
    assert VllmHost(HostConfig(device="cpu"), engine).engine_args["dtype"] == "float32"
    assert VllmHost(HostConfig(device="cpu"), {**engine, "dtype": "bfloat16"}).engine_args["dtype"] == "bfloat16"
    assert "dtype" not in VllmHost(HostConfig(device="cuda"), engine).engine_args
