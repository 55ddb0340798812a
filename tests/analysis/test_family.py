"""All of a report's intervals are as wide as their family asks, and all launches count."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from harness.analysis.statistics import paired_difference
from harness.analysis.summarise import scope_half_width_us, summarise
from harness.records.folder import Records
from tests.analysis.null_runs import ARMS, of_run, records_of, synthetic


def test_batch_shapes_and_own_costs_are_as_wide_as_the_family_asks() -> None:
    noise = of_run("slot_mapping-cpu").drawn(8, np.random.default_rng(0))
    summary = summarise(records_of(noise))
    shape = next(found for found in summary.shapes if (found.arm, found.steps) == (ARMS[1], 63))
    alone = paired_difference(noise.scope[1][:, 1:], noise.scope[0][:, 1:], summary.confidence_each)
    assert astuple(shape.per_step_us) == pytest.approx(astuple(alone.scaled(1e-3 / 63)))
    cost = next(found for found in summary.own_costs if found.arm == "list")
    probed = noise.scope[0] + noise.rest[0]
    alone = paired_difference(probed, noise.bare[0], summary.confidence_each)
    assert astuple(cost.per_step_us) == pytest.approx(astuple(alone.scaled(1e-3 / 64)))
    assert cost.share == pytest.approx(alone.estimate / noise.bare[0].sum(axis=1).mean())


def test_the_widest_interval_decides_whether_to_stop() -> None:
    """One arm varies ten times as much as the others."""
    noise = synthetic(np.random.default_rng(0), groups=8)
    noise.scope[1] += 10 * (noise.scope[1] - np.median(noise.scope[1], axis=0))
    records = records_of(noise)
    summary = summarise(records)
    widths = {c.arm: (c.per_step_us.high - c.per_step_us.low) / 2 for c in summary.comparisons if c.metric == "scope"}
    assert widths[ARMS[1]] > 2 * widths[ARMS[2]]
    assert scope_half_width_us(records) == pytest.approx(max(widths.values()))


def test_what_disturbed_later_launches_counts_as_well() -> None:
    def launch(seed: int, disturbed: bool):
        noise = synthetic(np.random.default_rng(seed), groups=6)
        if disturbed:
            noise.bare[0, 3, 7] *= 50
        return records_of(noise)

    def outlying(*disturbed: bool) -> int:
        each = [launch(seed, here) for seed, here in enumerate(disturbed)]
        return summarise(Records(each[0].run, {}, launches=each)).outliers.outlying

    assert outlying(False, False, True) == outlying(False, False, False) + 1
    assert outlying(True, False, False) == outlying(False, False, False) + 1


@pytest.mark.parametrize(
    ("grain", "order", "independent"), [("step", "random", True), ("step", "rotate", False), ("pass", "random", False)]
)
def test_steps_count_as_independent_only_where_arms_were_drawn_for_each(grain, order, independent) -> None:
    noise = of_run("slot_mapping-cpu").drawn(8, np.random.default_rng(0))
    records = records_of(noise)
    records.run["config"]["protocol"] |= {"grain": grain, "order": order}
    summary = summarise(records)
    found = summary.difference(ARMS[1], "scope").per_step_us
    wide, narrow = (
        paired_difference(noise.scope[1], noise.scope[0], summary.confidence_each, grain=each).scaled(1e-3 / 64)
        for each in ("pass", "step")
    )
    assert astuple(found) == pytest.approx(astuple(narrow if independent else wide))
    assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)
    assert scope_half_width_us(records) >= (found.high - found.low) / 2 * (1 - 1e-9)
