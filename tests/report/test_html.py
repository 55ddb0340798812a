"""The page: it holds what the table holds, needs nothing from outside, and loads in a browser without complaint."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from harness.analysis.drift import LevelShift
from harness.analysis.summarise import summarise
from harness.records.folder import Records
from harness.report.html import render_html
from harness.report.table import build_table
from harness.report.verdict import verdict_sentence
from harness.seams import AA
from tests.analysis.test_summarise import make_counters, make_frame, make_run
from tests.processes import HANG_S

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def summary():
    frame = make_frame()
    frame["pass"] += 6 * (frame["arm"] == "array") + 12 * (frame["arm"] == AA)  # enough passes to have levels
    return summarise(Records(make_run(), frame, counters=make_counters()))


@pytest.fixture(scope="module")
def page(summary) -> str:
    return render_html(summary)


class Reading(HTMLParser):
    """Cells of tables, headings, and everything that a browser would fetch or that has an id."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self._in_cell = False
        self.feed(page)

    def handle_starttag(self, tag, attributes) -> None:
        named = dict(attributes)
        if tag == "td":
            self._in_cell = True
            self.cells.append("")
        self.ids += [named["id"]] if "id" in named else []
        self.fetched += [named[key] for key in ("src", "href", "xlink:href") if key in named]

    def handle_endtag(self, tag) -> None:
        self._in_cell &= tag != "td"

    def handle_data(self, data) -> None:
        if self._in_cell:
            self.cells[-1] += data


def test_the_page_holds_the_table_and_the_plots(summary, page) -> None:
    cells = Reading(page).cells
    for column in build_table(summary).columns:
        for cell in filter(None, column.cells):
            assert cell in cells
    assert page.count("<svg") == 4
    for heading in ("Where the time goes", "By the shape of the batch", "Step by step", "Over the run"):
        assert f"<h2>{heading}</h2>" in page
    assert "python -m harness run config.yaml" in page


def test_the_page_fetches_nothing_and_no_two_things_share_an_id(page) -> None:
    reading = Reading(page)
    assert [link for link in reading.fetched if not link.startswith(("#", "data:"))] == []
    assert "@import" not in page
    assert len(reading.ids) == len(set(reading.ids))
    used = set(re.findall(r"url\(#([^)]+)\)", page)) | {link[1:] for link in reading.fetched if link.startswith("#")}
    assert used <= set(reading.ids)


def test_text_in_plots_takes_the_pages_colour(page) -> None:
    assert "currentColor" in page
    assert "prefers-color-scheme: dark" in page
    assert "#0a0b0c" not in page


def test_what_the_config_says_is_text_and_no_markup(summary) -> None:
    run = {**summary.run, "config": {**summary.run["config"], "title": "<script>alert(1)</script>"}}
    page = render_html(replace(summary, run=run))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_verdict_is_one_sentence_for_the_scope_and_the_step(summary) -> None:
    assert verdict_sentence(summary) == (
        "Against list, _prepare_inputs (140 us a step) is faster with array (-5.7 %); "
        "the whole step (520 us) is faster with array (-1.5 %); wrong is struck."
    )


def test_withheld_verdicts_stand_first_and_there_is_no_sentence(summary) -> None:
    changed = replace(summary, drift=[LevelShift("share", 1, 9, 18, 0.05, 50.0, withholds=True)])
    page = render_html(changed)
    assert verdict_sentence(changed) == ""
    assert page.index("Verdicts are withheld. From pass 9 of 18") < page.index("<dl>")


def test_a_run_that_measured_nothing_has_a_page_too() -> None:
    page = render_html(summarise(Records(make_run(status="failed", message="the engine failed"), make_frame()[:0])))
    assert "No arm was measured" in page
    assert "the engine failed" in page
    assert "<svg" not in page


def browse(file) -> str:
    """What a browser made of a page, or a picture; fails if it complained."""
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--no-first-run", "--disable-sync", "--disable-component-update", f"--user-data-dir={file.parent / 'profile'}",
        "--enable-logging=stderr", "--v=0", "--virtual-time-budget=2000", "--dump-dom", f"file://{file}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=HANG_S)
    assert "CONSOLE" not in done.stderr
    return done.stdout


@in_browser
def test_a_browser_loads_it_without_complaint(page, tmp_path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page)
    document = browse(file)
    assert document.count("<svg") == 4
    assert "whole step, bare" in document
