"""A profile as a screen, as Markdown, as a page, as JSON and as CSV."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from harness.analysis.anatomy import dissect
from harness.analysis.frames import phases_frame
from harness.analysis.intervals import Interval
from harness.report.anatomy import print_anatomy, render_anatomy
from harness.report.anatomy_figures import figure, half_width
from harness.report.anatomy_tables import kind_table, suggestions
from harness.report.console import make_console
from tests.analysis.profiles import make_profile


@pytest.fixture(scope="module")
def anatomy():
    return dissect(make_profile())


def printed(anatomy, width: int = 80, full: bool = False) -> str:
    text = io.StringIO()
    print_anatomy(anatomy, make_console(text, width=width), Path("reports/x"), full)
    return text.getvalue()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (1234.5, "1,234"), (99.96, "100"), (56.78, "56.8"), (0.1234, "0.123"), (-0.0, "0.00")],
)
def test_figures_have_three_digits_and_no_decimals_from_a_hundred_on(value, text) -> None:
    assert figure(value) == text


def test_an_estimate_ends_at_the_digit_of_its_half_width() -> None:
    assert half_width(Interval(1234.56, 1201.0, 1268.0)) == "1,235 ±34"
    assert half_width(Interval(1.2345, 1.2, 1.269)) == "1.234 ±0.034"
    assert half_width(Interval(5.0, float("-inf"), float("inf"))) == "5.00"


def test_the_screen_has_the_phases_and_what_to_try_in_80_columns(anatomy) -> None:
    text = printed(anatomy)
    lines = text.splitlines()
    for label in ("forward", "schedule", "rest of the turn", "new blocks", "all of it"):
        assert any(line.strip().startswith(label) for line in lines), label
    tried = [line for line in lines if "harness ab --swap" in line]
    assert all(len(line) <= 80 for line in lines if line not in tried)
    assert len(lines) <= 40
    assert tried[0].startswith("schedule")
    assert not any(line.startswith("forward (") for line in tried)


def test_everything_is_there_in_full(anatomy) -> None:
    text = printed(anatomy, 120, full=True)
    for told in ("decode: 32 of 33 turns", "prefill: 1 of 33 turns", "arrival: 4 requests", "that open a block"):
        assert told in text


def test_suggestions_are_of_host_code_and_weigh_what_shows(anatomy) -> None:
    labels = [phase.label for phase, _, _ in suggestions(anatomy, "config.yaml")]
    assert labels[0] == "schedule"
    assert "forward" not in labels
    hidden = dissect(make_profile())
    hidden.shown.update({"schedule": Interval(0.0, -0.1, 0.1)})
    assert suggestions(hidden, "config.yaml")[-1][0].label == "schedule"
    assert suggestions(hidden, "config.yaml")[-1][2] == 0


def test_on_vllm_0_5_4_the_line_opens_the_phase_since_no_change_is_taken_there(tmp_path) -> None:
    records = make_profile()
    records.run["config"]["host"] = {**records.run["config"].get("host", {}), "kind": "vllm_v0"}
    old = dissect(records)
    (phase, line, _), *_ = suggestions(old, "config.yaml")
    assert (phase.label, line) == ("schedule", "python -m harness profile config.yaml --into schedule")
    for name in ("report.md", "report.html"):
        text = render_anatomy(tmp_path, old)[name]
        assert "--swap" not in text
        assert "takes changes at a seam alone" in text


def test_what_shows_stands_beside_each_phase_where_it_was_measured(anatomy) -> None:
    assert "shows" not in [column.title for column in kind_table(anatomy.kinds[0], anatomy).columns]
    measured = dissect(make_profile())
    measured.shown.update({"schedule": Interval(0.98, 0.95, 1.01)})
    table = kind_table(measured.kinds[0], measured)
    (shown,) = [column for column in table.columns if column.title == "shows"]
    assert shown.cells[table.rows.index("schedule")] == "98.0 ±3.0"
    assert shown.cells[table.rows.index("forward")] == ""


def test_files_hold_the_same_figures(anatomy, tmp_path) -> None:
    texts = render_anatomy(tmp_path, anatomy)
    summary = json.loads(texts["summary.json"])
    forward = next(phase for phase in summary["kinds"][0]["phases"] if phase["label"] == "forward")
    frame = phases_frame(anatomy).set_index(["kind", "phase"])
    assert frame.loc[("decode", "forward"), "us"] == forward["us"]["estimate"]
    for name in ("report.md", "report.html"):
        assert half_width(anatomy.kinds[0].phases[0].us) in texts[name]
        assert "harness ab --swap" in texts[name]
    assert texts["plots/turn.svg"].startswith("<svg")
    assert "decode" in texts["plots/turn.svg"]


def test_names_from_a_foreign_folder_stay_text(tmp_path) -> None:
    records = make_profile()
    records.run["config"]["title"] = "<script>alert(1)</script>"
    for about in records.run["anatomy"]["phases"].values():
        about["label"] += "<b>|`"
    texts = render_anatomy(tmp_path, dissect(records))
    assert "<script>alert" not in texts["report.html"]
    assert "<b>" not in texts["report.html"].replace("&lt;b&gt;", "")
    assert "<b>" not in texts["report.md"].replace("\\<b>", "")
