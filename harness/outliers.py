"""Outlying steps, and what happened in them: an interrupt by another process, a garbage collection, page faults."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from harness.summary import Cause, Outliers

__all__ = ["CAUSES", "FAR", "find_outliers"]

FAR: Final = 5.0
"""Robust standard deviations above what is usual. A normal distribution has one value in three million there."""

CAUSES: Final = {
    "involuntary_switches": "another process had the core (involuntary context switch)",
    "gc_collections": "Python collected garbage",
    "page_faults": "more page faults than is usual in that step",
}
"""Column of the records, and what it means; a step with several counts under the first."""


def find_outliers(frame: pd.DataFrame) -> Outliers | None:
    """Steps that took far longer than the same step usually takes under the same arm, in the same pass' conditions.

    What is compared is log(step / its median over passes), less the pass' own median: a stretch in which the machine
    is slow is drift and no outlier. The spread is 1.4826 times the median absolute deviation of all of them.

    Args:
        frame: one row a (pass, step), as `Records.frame`.
    """
    step_ns = (frame["execute_ns"] + frame["sample_ns"]).astype(float)
    if not (step_ns > 0).all():
        return None
    same = [frame["arm"], frame["probed"], frame["step"]]
    usual_ns = step_ns.groupby(same).transform("median")
    residual = pd.Series(np.log(step_ns / usual_ns), index=frame.index)
    residual -= residual.groupby(frame["pass"]).transform("median")
    spread = 1.4826 * float(residual.abs().median())
    outlying = residual > FAR * spread
    if spread == 0:
        return None
    waiting = outlying.copy()
    causes = []
    for column, meaning in CAUSES.items():
        more = frame[column] > frame[column].groupby(same).transform("median")
        causes.append(
            Cause(column, meaning, int((waiting & more).sum()), _share(more, outlying), _share(more, ~outlying))
        )
        waiting &= ~more
    excess_ns = float((step_ns - usual_ns)[outlying].clip(lower=0).sum())
    return Outliers(
        steps=len(frame),
        outlying=int(outlying.sum()),
        excess_share=excess_ns / float(step_ns.sum()),
        unexplained=int(waiting.sum()),
        causes=causes,
    )


def _share(event: pd.Series[bool], of: pd.Series[bool]) -> float:
    """Share of the steps `of` in which the event happened."""
    return float((event & of).sum() / of.sum()) if of.any() else 0.0
