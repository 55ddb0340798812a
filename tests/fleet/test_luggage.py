"""What goes along to a node, and when a node is not as this machine is."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import TYPE_CHECKING

import pytest

from harness.changes.sources import SourceFile
from harness.config.file import load
from harness.errors import ConfigError
from harness.fleet import luggage as packing
from harness.fleet import resources
from harness.fleet.luggage import pack_luggage
from harness.fleet.node import Node
from harness.fleet.parcel import files_below, unpack
from harness.fleet.resources import gpus_of
from harness.running.place import Place, Process

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """\
engine: {model: models/tiny}
workload: {kind: trace, file: ../traces/trace.csv}
arms: [{wide: {engine: {tensor_parallel_size: 4, pipeline_parallel_size: 2}}}]
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A working directory with a config, its model and its trace in folders of their own."""
    for folder in ("work", "configs/models/tiny", "traces"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "configs/models/tiny/config.json").write_text("{}")
    (tmp_path / "traces/trace.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n")
    (tmp_path / "configs/c.yaml").write_text(CONFIG)
    (tmp_path / "secret").write_text("not for others")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def test_files_keep_their_places_to_each_other_and_to_the_working_directory(here) -> None:
    loaded = load(here / "configs/c.yaml")
    packed = pack_luggage(loaded, Place())
    unpack(packed.files, here / "there")
    assert sorted(files_below(here / "there")) == [
        "configs/c.yaml",
        "configs/models/tiny/config.json",
        "traces/trace.csv",
    ]
    assert (packed.config, packed.working, packed.linked) == ("configs/c.yaml", "work", {})


def test_a_model_with_weights_is_looked_for_on_the_node_under_its_own_path(here, monkeypatch) -> None:
    monkeypatch.setattr(packing, "LARGEST", 1)
    packed = pack_luggage(load(here / "configs/c.yaml"), Place())
    unpack(packed.files, here / "there")
    assert "configs/models/tiny/config.json" not in files_below(here / "there")
    model = here / "configs/models/tiny"
    assert packed.linked == {"configs/models/tiny": str(model)}
    assert Node().begin(packed) == ""
    model.rename(here / "gone")
    assert Node().begin(packed) == f"there is no {model}, which is too large to be carried along"


@pytest.fixture
def variables(monkeypatch) -> None:
    """What a node changes of its process's variables is put back."""
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_a_node_runs_a_launch_with_what_was_carried_along(here, variables) -> None:
    (here / "changed.py").write_text("CHANGED = 1\n")
    installed = here / "site" / "vllm"
    installed.mkdir(parents=True)
    place = Place({"other": [SourceFile("vllm/new.py", "vllm.new", here / "changed.py", new=True)]})
    node = Node()
    assert node.begin(pack_luggage(load(here / "configs/c.yaml"), place), ["OMP_NUM_THREADS"]) == ""
    script = (
        "import os, sys, pathlib; out = pathlib.Path(sys.argv[-1]); out.mkdir(parents=True); "
        "(out / 'cwd').write_text(os.getcwd()); (out / 'omp').write_text(os.environ.get('OMP_NUM_THREADS', 'none')); "
        "first = pathlib.Path(os.environ['PYTHONPATH'].split(':')[0]); "
        "(out / 'new').write_text((first / 'vllm/new.py').read_text()); "
        "(out / 'config').write_text(open(sys.argv[2]).read()); sys.exit('said at last')"
    )
    folder = here / "run/launches/01"
    process = Process(
        1, "other", ["-c", script, "run", "c.yaml", "--out", str(folder)], {"PYTHONHASHSEED": "7"}, folder
    )
    ran = node.run(process)
    assert (ran.exit_status, ran.said.strip()) == (1, "said at last")
    unpack(ran.folder, folder)
    read = {name: path.read_text() for name, path in files_below(folder).items()}
    assert (read["omp"], read["new"], read["config"]) == ("none", "CHANGED = 1\n", CONFIG)
    assert read["cwd"].endswith("/tree/work")
    node.end()
    assert not os.path.exists(read["cwd"])  # noqa: PTH110


def test_a_node_that_has_something_else_says_what(here) -> None:
    packed = pack_luggage(load(here / "configs/c.yaml"), Place())
    other = dataclasses.replace(packed, versions={**packed.versions, "torch": "0.1"})
    assert "and 0.1 where the run was called" in Node().begin(other)
    absent = dataclasses.replace(packed, versions={"nothing": "1"})
    assert Node().begin(absent) == "nothing is not installed there, and 1 where the run was called"
    assert "its harness is another one" in Node().begin(dataclasses.replace(packed, code="other"))


def test_gpus_are_those_of_the_largest_engine_and_none_on_a_cpu(here, monkeypatch) -> None:
    loaded = load(here / "configs/c.yaml")
    monkeypatch.setattr(resources, "on_cpu", lambda host: False)
    assert gpus_of(loaded) == 8
    monkeypatch.setattr(resources, "on_cpu", lambda host: True)
    assert gpus_of(loaded) == 0
    on_ray = load(here / "configs/c.yaml", ["engine.distributed_executor_backend=ray", "host.process=subprocess"])
    with pytest.raises(ConfigError, match="launches on a fleet stay on one node, which is taken: write mp"):
        gpus_of(on_ray)


def test_a_node_needs_no_ray() -> None:
    assert "ray" not in sys.modules
