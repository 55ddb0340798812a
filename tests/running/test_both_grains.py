"""Arms of both grains in one config: each grain is a run of its own, and the report keeps them apart."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness.analysis.grains import summarise_grains
from harness.analysis.summarise import summarise
from harness.config.file import load
from harness.errors import ConfigError, RecordsError
from harness.records.folder import RunFolder
from harness.records.grains import is_of_both_grains, read_grains
from harness.report.console import make_console
from harness.report.grains import grains_frame_csv, print_grains, render_grains
from harness.running.arm_launches import ArmLaunches
from harness.running.both_grains import BothGrains, parts_of
from harness.running.changed import prepare
from harness.running.grains import choose_grain
from harness.running.run import INTERRUPTED, Run
from harness.seams import AA, NATIVE
from tests import foreign
from tests.fakes import FakeHost, Silent
from tests.instrument.test_instrument import OffByOne, own
from tests.running import played
from tests.running.played import FIELD, STATE

CONFIG = f"""\
engine: {{model: none}}
workload: {{requests: 3, prompt_tokens: 6, output_tokens: 5}}
seam: slot_mapping
arms: [list, numpy, {{wrong: '{own(OffByOne)}'}}, {{slow: {{env: {{SLOW: 1}}}}}}]
probes: [compute_slot_mapping]
protocol: {{groups: 3, counters: false}}
"""
PATCHES = """\
engine: {model: none}
workload: {requests: 3, prompt_tokens: 6, output_tokens: 5}
arms: [{state: {patch: state.patch}}, {field: {patch: field.patch}}]
"""


class Process(played.Process):
    """A grain's run, played in this process; launches are those of `tests.running.played`."""

    parts: ClassVar[list[list[str]]]
    breaks: ClassVar[str]
    root: ClassVar[Path]

    def __init__(self, arguments: list[str], **how: Any) -> None:
        Process.parts.append(arguments)
        self.signals = []
        overrides = [arguments[i + 1] for i, word in enumerate(arguments) if word == "--set"]
        arms = arguments[arguments.index("--arms") + 1].split(",")
        loaded, out = load(Path(arguments[4]), overrides, arms), Path(arguments[arguments.index("--out") + 1])
        given = [arguments[4], *(word for each in overrides for word in ("--set", each))]
        self.end, self.exit_status = "", INTERRUPTED
        if out.name == Process.breaks:
            return
        if (choice := choose_grain(loaded, {})).launch:
            launches = ArmLaunches(
                loaded, RunFolder(out), given, ["harness"], lambda *_: None, start=played.Process, root=Process.root,
                why=choice.why,
            )  # fmt: skip
            self.exit_status = launches.execute().exit_status
        else:
            self.exit_status = Run(loaded, FakeHost(), RunFolder(out), Silent()).execute().exit_status


@pytest.fixture
def both(tmp_path, root, monkeypatch):
    monkeypatch.setattr(Process, "parts", [], raising=False)
    monkeypatch.setattr(Process, "breaks", "", raising=False)
    monkeypatch.setattr(Process, "root", root, raising=False)
    monkeypatch.setattr(played.Process, "started", [], raising=False)
    monkeypatch.setattr(played.Process, "ends", {}, raising=False)
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    loaded = load(path)
    parts = parts_of(loaded.experiment, choose_grain(loaded, {}))
    return BothGrains(
        loaded, RunFolder(tmp_path / "run"), [str(path)], ["harness", "run"], lambda *_: None, start=Process,
        first_arguments=("--flamegraph",), parts=parts,
    )  # fmt: skip


def choice_of(tmp_path, root, config: str, *overrides: str):
    (tmp_path / "config.yaml").write_text(config)
    (tmp_path / "state.patch").write_text(STATE.replace("self.count = 1", "2").replace("+        self.count = 0\n", "")
                                          .replace("1,6 +1,7", "1,6 +1,6"))  # fmt: skip
    (tmp_path / "field.patch").write_text(FIELD)
    loaded = load(tmp_path / "config.yaml", overrides)
    return loaded, choose_grain(loaded, prepare(loaded, tmp_path / "changes", root))


def test_settings_beside_a_seam_go_to_launches_of_their_own(tmp_path, root) -> None:
    loaded, choice = choice_of(tmp_path, root, CONFIG)
    assert (choice.launch, choice.apart) == (False, ("slow",))
    assert choice.why == ("slow: SLOW=1 is set when an engine starts",)
    step, launch = parts_of(loaded.experiment, choice)
    assert (step.arms, launch.arms) == (("list", "numpy", "wrong"), ("slow",))
    for part in (step, launch):
        settings = [value for word, value in zip(part.options, part.options[1:], strict=False) if word == "--set"]
        alone = load(tmp_path / "config.yaml", settings, part.options[1].split(","))
        again = choose_grain(alone, {})
        assert (again.launch, again.apart) == (part is launch, ())
        assert alone.experiment.baseline == ("list" if part is step else NATIVE)
        assert alone.experiment.probes == (["compute_slot_mapping"] if part is step else [])
        assert alone.experiment.seam == ("slot_mapping" if part is step else "")


def test_a_patch_that_can_be_switched_stays_in_the_engine_beside_one_that_cannot(tmp_path, root) -> None:
    loaded, choice = choice_of(tmp_path, root, PATCHES)
    assert (choice.launch, choice.apart) == (False, ("field",))
    step, launch = parts_of(loaded.experiment, choice)
    assert (step.arms, launch.arms) == (("state",), ("field",))
    assert "protocol.grain" not in " ".join(step.options), "the engine may yet refuse it"
    _, all_launched = choice_of(tmp_path, root, PATCHES, "protocol.grain=launch")
    assert (all_launched.launch, all_launched.apart) == (True, ())
    with pytest.raises(ConfigError, match="step was asked for, and this cannot be switched in a living engine: field"):
        choice_of(tmp_path, root, PATCHES, "protocol.grain=step")


def test_points_of_a_sweep_are_of_one_grain(tmp_path, root) -> None:
    sweep = "sweep={workload.requests: [2, 3]}"
    _, choice = choice_of(tmp_path, root, PATCHES, sweep, "protocol.grain=launch")
    assert (choice.launch, choice.apart) == (True, ())
    for config, arm in ((PATCHES, "field"), (CONFIG, "slow")):
        with pytest.raises(ConfigError, match=f"sweep: a point is of one grain, and {arm} cannot be switched"):
            choice_of(tmp_path, root, config, sweep)


def test_what_launches_cannot_do_is_refused_before_anything_is_started(tmp_path, root) -> None:
    (tmp_path / "more.patch").write_text(FIELD + STATE)
    picked = PATCHES.replace("{patch: field.patch}", "{patch: field.patch, only: [Output.count]}")
    assert choice_of(tmp_path, root, picked)[1].apart == ("field",)
    with pytest.raises(ConfigError, match="launch grain cannot be had: arm 'field' has `only`"):
        choice_of(tmp_path, root, picked.replace("field.patch", "more.patch"))


@pytest.mark.parametrize(
    ("arms", "told"),
    [
        ("[native, {slow: {env: {SLOW: 1}}}]", "seam: no arm is put in at slot_mapping: name one, or leave seam out"),
        ("[list, {state: {patch: state.patch}}]", "'state' is a patch or a tree, and a seam takes classes alone"),
    ],
)
def test_what_a_seam_cannot_have_beside_it_is_said(tmp_path, arms, told) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    with pytest.raises(ConfigError, match=told):
        load(tmp_path / "config.yaml", [f"arms={arms}"])


def test_each_grain_is_run_and_the_report_keeps_them_apart(both) -> None:
    outcome = both.execute()
    assert (outcome.status, outcome.exit_status) == ("complete", 1), "one arm is not equal"
    assert [Path(words[words.index("--out") + 1]).name for words in Process.parts] == ["step", "launch"]
    assert all("--no-report" in words and "--flamegraph" in words for words in Process.parts)
    path = both.folder.path
    run = json.loads((path / "run.json").read_text())
    assert is_of_both_grains(run)
    assert run["grains"] == [
        {"grain": "step", "arms": ["list", "numpy", "wrong"]},
        {"grain": "launch", "arms": ["slow"]},
    ]
    assert {arm: found["equal"] for arm, found in run["equality"].items()} == {
        "list": True, AA: True, "numpy": True, "wrong": False, NATIVE: True, "slow": True,
    }  # fmt: skip
    records = read_grains(path)
    whole = summarise_grains(records)
    assert not whole.notes
    assert {grain: summary.baseline for grain, summary in whole.parts.items()} == {"step": "list", "launch": NATIVE}
    alone = {grain: summarise(found) for grain, found in records.parts.items()}
    for grain, summary in whole.parts.items():
        assert summary.confidence_each > alone[grain].confidence_each, "both hold together"
    texts = render_grains(path, whole, alone)
    assert {"report.md", "report.html", "summary.json", "step/report.md", "launch/report.html"} <= set(texts)
    step, _, launch = texts["report.md"].partition("### Each arm in engines of its own (launch grain)")
    assert "### Switched in one engine (step grain)" in step
    assert "| numpy " in step
    assert "| slow " not in step
    assert "| slow " in launch
    assert "| numpy " not in launch
    assert "**`wrong` is struck:**" in step
    assert "All intervals of both hold together at 95 %." in step
    assert "of this table hold together at 97.5 %" in step
    assert "cannot be switched in a living engine: slow: SLOW=1 is set when an engine starts" in launch
    assert texts["report.html"].count("<table") == 2
    assert set(json.loads(texts["summary.json"])["grains"]) == {"step", "launch"}
    rows = list(csv.DictReader(io.StringIO(grains_frame_csv(whole))))
    assert {(row["grain"], row["arm"]) for row in rows} >= {("step", "numpy"), ("launch", "slow")}


def test_the_terminal_shows_a_table_a_grain_and_more_on_request(both) -> None:
    both.execute()
    whole = summarise_grains(read_grains(both.folder.path))
    texts = []
    for full in (False, True):
        text = io.StringIO()
        print_grains(whole, make_console(text, width=100), full)
        texts.append(text.getvalue())
        assert "Switched in one engine (step grain)" in texts[-1]
        assert "Each arm in engines of its own (launch grain)" in texts[-1]
    assert len(texts[1].splitlines()) > 2 * len(texts[0].splitlines()) > 20


def test_a_grain_that_is_cut_short_leaves_the_other(both, monkeypatch) -> None:
    monkeypatch.setattr(Process, "breaks", "launch")
    outcome = both.execute()
    assert (outcome.status, outcome.exit_status) == ("interrupted", INTERRUPTED)
    assert "1 of 2 grains were measured and kept before" in outcome.message
    whole = summarise_grains(read_grains(both.folder.path))
    assert list(whole.parts) == ["step"]
    assert whole.notes == ["launch grain: was not run"]
    assert "Note:** launch grain: was not run" in render_grains(both.folder.path, whole, {})["report.md"]


def test_a_strangers_folder_is_read_with_care(both) -> None:
    both.execute()
    path = both.folder.path
    both.folder.close()
    with pytest.raises(RecordsError, match="grains: there are none"):
        read_grains(path / "step")
    (path / "step/run.json").write_text("{")
    found = read_grains(path)
    assert list(found.parts) == ["launch"]
    assert "run.json" in found.unreadable["step"]
    assert summarise_grains(found).notes[0].startswith("step grain: ")
    run = json.loads((path / "run.json").read_text())
    run["grains"][1]["arms"] = ["<b>"]
    (path / "run.json").write_text(json.dumps(run))
    with pytest.raises(RecordsError, match="grains"):
        read_grains(path)
    run["grains"][1]["arms"] = ["another"]
    (path / "run.json").write_text(json.dumps(run))
    assert read_grains(path).unreadable["launch"] == "its config has no arm another"
    run["grains"][1]["grain"] = "../../elsewhere"
    (path / "run.json").write_text(json.dumps(run))
    with pytest.raises(RecordsError, match="grain"):
        read_grains(path)


def test_what_a_stranger_says_is_text(both) -> None:
    both.execute()
    whole = summarise_grains(read_grains(both.folder.path))
    for summary in whole.parts.values():
        summary.notes.append("<script>alert(1)</script> [a](javascript:x)")
    texts = render_grains(both.folder.path, whole, {})
    assert not [found for name in ("report.md", "report.html") for found in foreign.markup_in(name, texts[name])]
