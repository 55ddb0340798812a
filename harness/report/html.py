"""report.html: one file that needs no network; on a phone, on paper, in light and in dark."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from markupsafe import Markup

from harness.report.arms_table import build_arms_table
from harness.report.changed import changed
from harness.report.command import command_line
from harness.report.facts import facts
from harness.report.plots import draw_plots
from harness.report.remarks import checked_when, exposed, how_sure, instrument_cost, own_cost
from harness.report.side_tables import side_tables
from harness.report.steadiness import steadiness, withheld
from harness.report.table import build_differences, build_totals
from harness.report.templates import render
from harness.report.verdict import struck, verdict_sentence
from harness.seams import AA, NATIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.summary import Summary
    from harness.report.flamegraph import FlameFile
    from harness.report.plots import Plot

__all__ = ["render_html"]


def render_html(
    summary: Summary,
    plots: Sequence[Plot] | None = None,
    flamegraphs: Sequence[FlameFile] = (),
    files: Sequence[str] = (),
) -> str:
    """The report as a page.

    Args:
        summary: what it shows.
        plots: where they are drawn already; else they are drawn now.
        flamegraphs: to be shown as pictures.
        files: names of the files beside the page, to be linked.
    """
    arms = build_arms_table(summary)
    return render(
        "report.html.j2",
        title=summary.run["config"]["title"] or summary.run["config_file"],
        verdict=verdict_sentence(summary),
        withheld=withheld(summary),
        notes=summary.notes,
        arms=arms,
        facts=facts(summary),
        changed=changed(summary),
        tables=[
            (caption, table)
            for caption, table in (
                ("Accumulated self time and calls in one pass, mean over passes", build_totals(summary)),
                (f"The differences to {summary.baseline}", build_differences(summary)),
                *side_tables(summary),
            )
            if table is not None and table.columns
        ],
        plots={
            plot.heading: Markup(plot.svg)  # noqa: S704 (made by matplotlib)
            for plot in (draw_plots(summary) if plots is None else plots)
        },
        flamegraphs=[(flame, base64.b64encode(flame.svg.encode()).decode()) for flame in flamegraphs if flame.svg],
        files=files,
        how_sure=" ".join([*arms.footnotes, how_sure(summary)]) if arms and summary.comparisons else "",
        remarks=[
            line
            for line in (
                instrument_cost(summary),
                own_cost(summary),
                exposed(summary),
                *steadiness(summary),
            )
            if line
        ],
        struck=struck(summary),
        checked_when=checked_when(summary.run),
        equal=[name for name, arm in summary.arms.items() if arm.equal and name not in (NATIVE, AA)],
        command=command_line(summary),
    )
