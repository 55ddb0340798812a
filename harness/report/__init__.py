"""Reports: made from a run's folder alone; they measure nothing and import neither torch nor vLLM."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness.analysis import summarise
from harness.records import RunFolder, read_run
from harness.report.flamegraph import flamegraph_files
from harness.report.html import render_html
from harness.report.markdown import render_markdown

if TYPE_CHECKING:
    from pathlib import Path

    from harness.summary import Summary

__all__ = ["write_reports"]


def write_reports(folder: Path, summary: Summary | None = None) -> Summary:
    """Make summary.json, report.md and report.html from the records in `folder` (or from their summary); give that.

    Raises:
        RecordsError: the folder holds no run, or cannot be written.
    """
    summary = summary or summarise(read_run(folder))
    writer = RunFolder.existing(folder)
    writer.write_text("summary.json", json.dumps(summary.as_json(), indent=2, ensure_ascii=False) + "\n")
    writer.write_text("report.md", render_markdown(summary))
    writer.write_text("report.html", render_html(summary))
    for name, text in flamegraph_files(summary).items():
        writer.write_text(name, text)
    return summary
