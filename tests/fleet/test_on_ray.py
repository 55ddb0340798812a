"""A real Ray: two nodes on this machine, one of which is killed in the middle of a block. No engine is started: quick
processes stand in the place of launches (`quick.py`)."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.fleet.on_ray import address_of
from tests.processes import HANG_S
from tests.with_ray import PYTHON, needs_ray, ray_environment


@needs_ray
def test_a_node_that_is_killed_loses_its_block_alone_and_another_one_is_run_on_the_other_node(tmp_path) -> None:
    with ray_environment() as environment:
        environment |= {"PYTHONPATH": str(Path.cwd()), "TMPDIR": str(tmp_path / "tmp")}
        (tmp_path / "tmp").mkdir()
        command = [str(PYTHON), "-m", "tests.fleet.lose_a_node", str(tmp_path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    told = {int(number): each for number, each in found["told"].items()}
    lost = {int(block): node for block, (node, why) in found["ended"].items() if why}
    whole = {int(block): node for block, (node, why) in found["ended"].items() if not why}
    assert (len(lost), len(whole)) == (1, 4)
    (number,) = lost
    assert "was lost: Actor" in found["ended"][str(number)][1]
    of_lost = [launch for launch, block, _ in found["launches"] if block == number]
    assert [launch for launch, _ in found["ran"] if launch in of_lost] == of_lost[:1]  # its first one had ended
    assert told[of_lost[0]]["node"] == found["victim"]
    for block in whole:
        launches = [launch for launch, of, _ in found["launches"] if of == block]
        assert len({told[launch]["node"] for launch in launches}) == 1
    node = {told[launch]["node"] for launch, block, _ in found["launches"] if block > number and block in whole}
    assert found["victim"] not in node
    # Only what the lost node had made is left.
    assert [path.name.rpartition("-")[0] for path in sorted((tmp_path / "tmp").glob("harness-*"))] == [
        "harness-node", "harness-overlays",
    ]  # fmt: skip
    # Alone: on a node no launch begins before the one before has ended.
    for name in {each["node"] for each in told.values()}:
        times = sorted((each["begun"], each["ended"]) for each in told.values() if each["node"] == name)
        assert all(ended <= begun for (_, ended), (begun, _) in itertools.pairwise(times))
    # What launches need went along: config, model, the variables that were drawn, and the arm's changed file.
    arms = {launch: arm for launch, _, arm in found["launches"]}
    for launch, each in told.items():
        assert each["config"].startswith("engine: {model: model}")
        assert (each["model"], each["seed"]) == ("{}", str(launch))
        assert each["changed"] == (arms[launch] == "other")


@pytest.mark.parametrize("text", ["slurm", "ray:", "ray://host:1", "rays"])
def test_what_is_no_cluster_of_rays_is_refused(text) -> None:
    with pytest.raises(ConfigError, match=r"write ray, for one that is started here, or ray:HOST:PORT"):
        address_of(text)


def test_a_fleet_without_ray_is_refused_in_one_line(monkeypatch) -> None:
    assert "ray" not in sys.modules
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"there is no Ray here: pip install 'harness\[ray\]'"):
        address_of("ray:head:6379")
