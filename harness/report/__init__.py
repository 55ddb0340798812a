"""Reports: made from a run's folder alone; they measure nothing and import neither torch nor vLLM."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness.analysis import summarise
from harness.records import RunFolder, read_run
from harness.report.flamegraph import flamegraph_files
from harness.report.html import render_html
from harness.report.markdown import render_markdown
from harness.report.plots import draw_plots

if TYPE_CHECKING:
    from pathlib import Path

    from harness.summary import Summary

__all__ = ["write_reports"]


def write_reports(folder: Path, summary: Summary | None = None) -> Summary:
    """Make summary.json, report.md, report.html and all pictures from the records in `folder` (or their summary).

    Raises:
        RecordsError: the folder holds no run, or cannot be written.
    """
    summary = summary or summarise(read_run(folder))
    plots, flamegraphs = draw_plots(summary), flamegraph_files(summary)
    texts = {
        "summary.json": json.dumps(summary.as_json(), indent=2, ensure_ascii=False) + "\n",
        **{f"plots/{plot.name}.svg": plot.standalone for plot in plots},
        **{flame.name: flame.text for flame in flamegraphs},
    }
    pictures = [name for name in texts if "/" in name]
    folders = list(dict.fromkeys(f"{name.partition('/')[0]}/" for name in pictures))
    trace = ["trace.json"] if (folder / "trace.json").exists() else []
    records = [name for name in ("run.json", "counters.parquet", "passes/", "launches/") if (folder / name).exists()]
    texts["report.md"] = render_markdown(summary, ["report.html", *folders, *trace])
    beside = ["report.md", *pictures, *trace, "summary.json", *records]
    texts["report.html"] = render_html(summary, plots, flamegraphs, beside)
    writer = RunFolder.existing(folder)
    for name, text in texts.items():
        writer.write_text(name, text)
    return summary
