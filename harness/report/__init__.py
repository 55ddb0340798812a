"""Report: from numbers to the terminal, Markdown, HTML, plots and flamegraphs; it measures nothing.

Takes a `Summary`, made from a run's folder alone; gives text, and files beside the records.
May import analysis and what is below it that only describes; neither torch nor vLLM.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Final

from harness.records.folder import RunFolder, read_run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from harness.analysis.summary import Summary

__all__ = ["render_reports", "write_reports"]


WHOLE: Final = ("passes", "launches")
"""Folders that are linked as a whole, since they hold many files of one kind."""


def _beside(folder: Path, made: Iterable[str]) -> list[str]:
    """What lies in a run's folder, and what is made for it, pictures first."""
    names = {
        path.relative_to(folder).as_posix() for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in WHOLE and not path.name.startswith(".")
    } | set(made)  # fmt: skip
    whole = [f"{name}/" for name in WHOLE if (folder / name).is_dir() and any((folder / name).iterdir())]
    return sorted(names, key=lambda name: ("/" not in name, not name.endswith(".svg"), name)) + whole


def _figures_csv(summary: Summary) -> str:
    """A row a launch and metric."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("block", "arm", "metric", "us"))
    rows.writerows((each.block, each.arm, each.metric, f"{each.us:.4f}") for each in summary.figures)
    return text.getvalue()


def render_reports(folder: Path, summary: Summary) -> dict[str, str]:
    """Every file that is made of a summary, by its name in the folder; nothing is written."""
    # Imported here, so that the table on the terminal does not wait for the plotting libraries.
    from harness.report.flamegraph import flamegraph_files
    from harness.report.html import render_html
    from harness.report.markdown import render_markdown
    from harness.report.plots import draw_plots

    plots, flamegraphs = draw_plots(summary), flamegraph_files(summary)
    texts = {
        "summary.json": json.dumps(summary.as_json(), indent=2, ensure_ascii=False) + "\n",
        **({"launches.csv": _figures_csv(summary)} if summary.figures else {}),
        **{f"plots/{plot.name}.svg": plot.standalone for plot in plots},
        **{flame.name: flame.text for flame in flamegraphs},
    }
    beside = [name for name in _beside(folder, texts) if name not in ("report.md", "report.html")]
    in_folders = dict.fromkeys(f"{name.partition('/')[0]}/" if "/" in name else name for name in beside)
    texts["report.md"] = render_markdown(summary, ["report.html", *in_folders])
    texts["report.html"] = render_html(summary, plots, flamegraphs, ["report.md", *beside])
    return texts


def write_reports(folder: Path, summary: Summary | None = None) -> Summary:
    """Make summary.json, report.md, report.html and all pictures from the records in `folder` (or their summary).

    Raises:
        RecordsError: the folder holds no run, or cannot be written.
    """
    from harness.analysis.summarise import summarise

    summary = summary or summarise(read_run(folder))
    RunFolder.existing(folder).write_texts(render_reports(folder, summary))
    return summary
