"""The issue's ablation compared with a run's, on the same code path (vLLM 0.5.4): by sign and share, never by time.

What is compared is `array` against `list` at the seam `slot_mapping`: an array.array for each sequence and a torch.cat
of torch.frombuffers, where vLLM had one list and a torch.tensor.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

from harness.analysis.metrics import SUM

if TYPE_CHECKING:
    from harness.analysis.intervals import Interval
    from harness.analysis.summary import Summary

__all__ = ["DEFINITION", "PublishedRow", "published_beside_measured"]

ARMS: Final = ("list", "array")
"""The baseline and the issue's alternative, as the seam's place on vLLM 0.5.4 names them."""
TOTAL: Final = "sum of these"
DEFINITION: Final = (
    "share: the time that array takes more than list, as per cent of list's time in all these APIs together. Published "
    "are seconds of a whole serving run on a GPU machine that the thread does not name; measured is the host's time on "
    "this machine's CPU, under another model and workload: shares may differ, and times are not to be compared"
)


@dataclass(frozen=True)
class PublishedRow:
    """One API: its published difference and the measured one, each as per cent of list's time in all of these APIs.

    `measured` is None where the run has not measured it. `agreement` compares the measured sign with the published
    one: `same`, `other`, `not resolved`, `withheld`, or `not measured`.
    """

    api: str
    published: float
    measured: Interval | None
    agreement: str

    @property
    def sentence(self) -> str:
        """The row in words."""
        direction = "more" if self.published > 0 else "less"
        published = f"{self.api}: as published array takes {direction} ({self.published:+.1f} %)"
        if self.measured is None:
            return f"{published}; this run did not measure it"
        within = f"{self.measured.low:.1f} to {self.measured.high:.1f} %"
        return {
            "same": f"{published}, and so it does here ({within})",
            "other": f"{published}, and here it does not: {within}",
            "not resolved": f"{published}; here the sign is not resolved ({within})",
            "withheld": f"{published}; the verdicts of this run are withheld",
        }[self.agreement]


def published_beside_measured(summary: Summary) -> list[PublishedRow]:
    """A row an API and one for their sum; none where the run is not the issue's ablation on the issue's code path."""
    config = summary.run["config"]
    baseline, arm = ARMS
    if (config.get("host", {}).get("kind"), config.get("seam"), config["baseline"]) != (
        "vllm_v0",
        "slot_mapping",
        baseline,
    ):
        return []
    measured = summary.arms.get(arm)
    if measured is None or not measured.measured:
        return []
    table = _table()
    of_list = sum(published for published, _ in table.values())
    own = summary.arms[baseline].probes
    own_ms = sum(own[api].corrected_self_ns for api in table if api in own) / 1e6
    rows = [_row(summary, api, api, 100 * more / of_list, own_ms) for api, (_, more) in table.items()]
    complete = set(table) == set(summary.probes)
    total = 100 * sum(more for _, more in table.values()) / of_list
    return [*rows, _row(summary, TOTAL, SUM if complete else "", total, own_ms)]


def _row(summary: Summary, api: str, metric: str, published: float, own_ms: float) -> PublishedRow:
    comparison = summary.difference(ARMS[1], metric)
    if comparison is None or own_ms <= 0:
        return PublishedRow(api, published, None, "not measured")
    measured = comparison.per_pass_ms.scaled(100 / own_ms)
    if summary.withheld:
        agreement = "withheld"
    elif not measured.low > 0 and not measured.high < 0:
        agreement = "not resolved"
    else:
        agreement = "same" if (measured.low > 0) == (published > 0) else "other"
    return PublishedRow(api, published, measured, agreement)


def _table() -> dict[str, tuple[float, float]]:
    """By API: seconds with list, and how many more with array."""
    text = (resources.files("harness") / "published" / "slot_mapping_ablation.csv").read_text(encoding="utf-8")
    return {row["api"]: (float(row["list_s"]), float(row["diff_s"])) for row in csv.DictReader(text.splitlines())}
