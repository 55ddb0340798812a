"""The process of one engine of a sweep: its points one after the other, in folders of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.cli.points import carry_out_points
from harness.config.file import load
from harness.errors import ConfigError
from harness.records.folder import RunFolder
from harness.running.run import Outcome, facts_at_end, facts_at_start
from tests.conftest import LIST_ONLY

if TYPE_CHECKING:
    from pathlib import Path

SWEEP = "sweep: {workload.output_tokens: [3, 5, 7]}\n"


class Host:
    """Only counts how often it is stopped."""

    stopped = 0

    def stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def points(tmp_path):
    (tmp_path / "config.yaml").write_text(f"{LIST_ONLY}\n{SWEEP}")
    loaded = load(tmp_path / "config.yaml")
    folder = RunFolder(tmp_path / "run")
    host, carried = Host(), list[dict[str, Any]]()

    def go(asked: str, **ends: Outcome) -> tuple[int, Host, list[dict[str, Any]]]:
        def carry_out(at: Any, path: Path, given: list[str], **how: Any) -> int:
            how["shared"].host = host
            carried.append({"tokens": at.experiment.workload.output_tokens.mean, "path": path, "given": given, **how})
            outcome = ends.get(f"n{path.name}", Outcome("complete", 0))
            run = RunFolder(path)
            run.write_run({**facts_at_start(at, [], ""), **facts_at_end(outcome)})
            run.close()
            return outcome.exit_status

        status = carry_out_points(
            loaded, asked, folder.path, ["config.yaml"], carry_out, verbose=False, trace=False, flamegraph=True
        )
        return status, host, carried

    yield go
    folder.close()


def test_points_share_an_engine_that_is_stopped_once_in_the_end(points, capsys) -> None:
    status, host, carried = points("1,3")
    assert (status, host.stopped) == (0, 1)
    assert [each["tokens"] for each in carried] == [3, 7]
    assert [each["path"].name for each in carried] == ["01", "03"]
    assert carried[0]["shared"] is carried[1]["shared"]
    assert [each["flamegraph"] for each in carried] == [True, False]
    assert carried[1]["given"] == ["config.yaml", "--set", "sweep={}", "--set", "workload.output_tokens=7"]
    assert carried[1]["typed"] == [
        "python", "-m", "harness", "run", *carried[1]["given"], "--out", str(carried[1]["path"]),
    ]  # fmt: skip
    assert capsys.readouterr().err.startswith("point 3 of 3: workload.output_tokens=7, about ")


def test_a_point_with_an_unequal_arm_is_told_and_the_others_follow(points) -> None:
    status, host, carried = points("1,2,3", n02=Outcome("complete", 1, "not equal"))
    assert (status, host.stopped, len(carried)) == (1, 1, 3)


def test_a_point_that_fails_ends_the_others_of_its_engine(points) -> None:
    status, host, carried = points("1,2,3", n02=Outcome("failed", 1, "the engine failed"))
    assert (status, host.stopped, len(carried)) == (1, 1, 2)


def test_ctrl_c_at_a_point_ends_the_others(points) -> None:
    status, _, carried = points("1,2,3", n01=Outcome("interrupted", 130))
    assert (status, len(carried)) == (130, 1)


@pytest.mark.parametrize("asked", ["4", "1,1x", "0,1", "one"])
def test_points_that_the_sweep_has_not_are_refused(points, asked) -> None:
    with pytest.raises(ConfigError, match="--points: it is for processes that harness starts itself"):
        points(asked)
