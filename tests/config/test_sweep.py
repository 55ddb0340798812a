"""`sweep` of a config: what it may say, the points that it makes, and what is refused."""

from __future__ import annotations

import pytest

from harness.config.file import load
from harness.config.sweep import MOST_POINTS, points_of
from harness.errors import ConfigError
from tests.conftest import LIST_ONLY


@pytest.fixture
def loaded(tmp_path):
    def read(sweep: str, *overrides: str):
        path = tmp_path / "config.yaml"
        path.write_text(f"{LIST_ONLY}\nsweep: {sweep}\n")
        return load(path, overrides)

    return read


def test_each_point_has_its_values_and_its_part_of_the_time(loaded) -> None:
    whole = loaded("{workload.requests: [1, 8, 64]}", "protocol.seconds=30")
    points = points_of(whole)
    assert [point.loaded.experiment.workload.requests for point in points] == [1, 8, 64]
    assert [point.loaded.experiment.protocol.seconds for point in points] == [10, 10, 10]
    assert [point.loaded.experiment.sweep for point in points] == [{}, {}, {}]
    assert [point.told for point in points] == [f"workload.requests={value}" for value in (1, 8, 64)]
    for point in points:
        again = load(whole.path, ["protocol.seconds=30", *point.overrides])
        assert again.experiment == point.loaded.experiment


def test_a_point_is_measured_for_some_seconds_at_least(loaded) -> None:
    points = points_of(loaded("{protocol.seed: [1, 2, 3, 4, 5, 6, 7, 8]}", "protocol.seconds=16"))
    assert {point.loaded.experiment.protocol.seconds for point in points} == {5}
    points = points_of(loaded("{protocol.seed: [1, 2]}", "protocol.seconds=2"))
    assert {point.loaded.experiment.protocol.seconds for point in points} == {2}


def test_two_keys_make_every_pair(loaded) -> None:
    points = points_of(loaded("{workload.requests: [1, 2], workload.prompt_tokens: [3, 4]}"))
    found = [(p.values["workload.requests"], p.values["workload.prompt_tokens"]) for p in points]
    assert found == [(1, 3), (1, 4), (2, 3), (2, 4)]
    assert [point.number for point in points] == [1, 2, 3, 4]
    assert "protocol.seconds" not in points[0].shared  # the config says how many groups


def test_a_config_without_a_sweep_has_no_points(loaded) -> None:
    assert points_of(loaded("{}")) == []


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ("{workload.requests: [1]}", "sweep"),
        ("{workload.requests: [1, 1]}", "workload.requests: a value is given twice: keep one"),
        ("{arms: [1, 2]}", "sweep"),
        ("{baseline: [list, array]}", "sweep"),
        ("{workload.requests: [{a: 1}, 2]}", "workload.requests: write numbers, short texts, true or false"),
        ("{workload.requests: [1, 2], engine.seed: [1, 2], protocol.seed: [1, 2]}", "sweep"),
        ("3", "sweep"),
    ],
)
def test_what_is_no_sweep_is_refused_with_its_line(loaded, sweep, said) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(sweep)
    (line,) = str(refused.value).splitlines()
    assert "config.yaml:" in line
    assert said in line


def test_a_point_that_is_not_valid_is_named(loaded) -> None:
    with pytest.raises(
        ConfigError, match=r"config\.yaml:\d+: sweep: the config is not valid at workload\.requests=0: "
    ):
        points_of(loaded("{workload.requests: [1, 0]}"))
    with pytest.raises(ConfigError, match=r"sweep: the config is not valid at workload\.reqests=1: .*reqests"):
        points_of(loaded("{workload.reqests: [1, 2]}"))


def test_too_many_points_are_refused(loaded) -> None:
    values = list(range(1, 7))
    with pytest.raises(ConfigError, match=f"sweep: 36 points; take {MOST_POINTS} or fewer: each is a run of its own"):
        points_of(loaded(f"{{workload.requests: {values}, protocol.seed: {values}}}"))
