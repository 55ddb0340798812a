"""Plots of long runs: as large as what is seen of them, and nothing that stands out goes missing."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import artist

from harness.analysis.course import Course
from harness.analysis.summarise import summarise
from harness.records.folder import Records
from harness.report import figures
from harness.report.plots import POINTS, course_plot, draw_plots, seen, steps_plot
from harness.seams import AA
from tests.analysis.test_summarise import make_frame, make_run


@pytest.fixture(scope="module")
def summary():
    return summarise(Records(make_run(), make_frame()))


def long(summary, count: int, steps: int = 10):
    """The same summary after so many groups, with a pass and a garbage collection in each."""
    rng = np.random.default_rng(0)

    def noise(length: int) -> list[float]:
        return rng.normal(size=length).tolist()

    course = Course(
        by_group_us={name: noise(count) for name in ("array", AA)},
        by_step_us={name: noise(steps) for name in ("array", AA)},
        scope_level=noise(count),
        machine_level=noise(count),
        collections=(rng.random(count) < 0.5).astype(int).tolist(),
    )
    return replace(summary, course=course)


def points(svg: str) -> int:
    """Corners of all lines, and marks."""
    return len(re.findall(r"\b[ML] ", svg)) + svg.count("<use ")


def test_a_plot_of_a_long_run_is_no_larger_than_one_of_a_run_that_fills_it(summary) -> None:
    full, longer = (course_plot(long(summary, count)) for count in (POINTS, 200 * POINTS))
    assert points(longer) < 1.1 * points(full)
    assert len(longer) < 1.1 * len(full)
    full, longer = (steps_plot(long(summary, 10, steps)) for steps in (POINTS, 200 * POINTS))
    assert points(longer) < 1.1 * points(full)
    assert "(the lowest and the highest of each" not in full
    assert "(the lowest and the highest of each 400 steps)" in longer


def test_names_as_long_as_a_config_allows_leave_room_for_what_is_drawn() -> None:
    long_name = "x" * 100
    run, frame = make_run(arms_measured=["list", long_name, AA]), make_frame().replace({"arm": {"array": long_name}})
    run["config"]["arms"] = [{"name": "list"}, {"name": long_name}]
    plots = draw_plots(summarise(Records(run, frame)))
    assert [plot.name for plot in plots] == ["parts", "shapes", "steps", "course"]
    for plot in plots[:2]:
        assert "x" * 16 + "…" + "x" * 15 in plot.svg


def test_a_single_value_that_stands_out_is_seen_in_a_long_run() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=70_000)
    values[[0, 12_345, 69_999]] = -50, 40, 60
    places = seen(values.tolist())
    assert len(places) <= POINTS
    assert places == sorted(set(places))
    assert {0, 12_345, 69_999} < set(places)


def test_of_a_run_that_fits_every_value_is_drawn() -> None:
    assert seen([1.0, 3.0, 2.0]) == [0, 1, 2]
    assert seen([]) == []


def test_what_quickens_the_import_of_matplotlib_is_taken_back() -> None:
    assert figures.Figure.__module__ == "matplotlib.figure"
    assert "alpha" in artist.kwdoc(artist.Artist)
