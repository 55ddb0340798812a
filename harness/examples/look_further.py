"""Look further into a run than its report does: `python -m harness.examples.look_further RUN`.

`harness.load_run` gives pandas frames; what they hold is in `harness.analysis.frames.LoadedRun`. Here: what the report
says of the scope, then whether the difference grows over a pass, and in which steps it is largest.
"""

from __future__ import annotations

import sys

import pandas as pd

from harness import load_run

__all__ = ["main"]


def main(folder: str) -> None:
    """Print three small tables of the run in `folder`."""
    run = load_run(folder)
    baseline = run.summary.baseline

    of_scope = run.comparisons.query("metric == 'scope'")
    print(f"{run.run['config']['scope']}, us a step to {baseline}")
    print(of_scope[["arm", "us", "low_us", "high_us", "verdict"]].round(1).to_string(index=False))

    # Each arm's usual time in each step of a pass, and its difference to the baseline's.
    probed = run.steps[run.steps["probed"]]
    usual_us = probed.pivot_table(index="step", columns="arm", values="scope.total_ns", aggfunc="median") / 1e3
    differences = usual_us.drop(columns=baseline).sub(usual_us[baseline], axis="index")

    quarter = pd.Series(range(len(differences)), index=differences.index, name="quarter") * 4 // len(differences) + 1
    print("\nBy quarter of the pass, as timed")
    print(differences.groupby(quarter).median().round(1).to_string())

    batch = probed.groupby("step")[["num_reqs", "num_tokens", "num_prefills"]].first()
    largest = differences.abs().max(axis="columns").nlargest(3).index
    print("\nThe steps that differ most, and their batches")
    print(batch.join(differences).loc[largest].round(1).to_string())


if __name__ == "__main__":
    main(sys.argv[1])
