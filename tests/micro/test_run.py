"""A micro run from its config to its reports, and its bad ends."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness import load_run
from harness.analysis.compare import compare_runs
from harness.cli.doctor import _examine
from harness.config.file import kind_of, load_micro
from harness.errors import ConfigError, RecordsError
from harness.micro import run as micro_run
from harness.micro.measure import measure_row
from harness.micro.report import write_micro_reports
from harness.micro.results import read_micro
from harness.micro.run import MicroRun
from harness.records.folder import RunFolder
from tests.cli.test_cli import harness
from tests.fakes import Silent
from tests.micro.test_results import made
from tests.micro.test_rows import SMALL
from tests.report.test_html import browse, in_browser

# A run.


@pytest.fixture
def make_run(tmp_path):
    def make(*benchmarks) -> MicroRun:
        folder = RunFolder(tmp_path / "run", passes=False)
        return MicroRun("A title", "all.yaml", benchmarks, folder, Silent(), ["harness"], "harness run all.yaml")

    return make


QUICK = [replace_seconds.model_copy(update={"seconds": 0.002}) for replace_seconds in SMALL.values()]


def test_a_run_measures_every_row_and_is_reported(make_run) -> None:
    run = make_run(*QUICK)
    assert run.execute().status == "complete"
    facts, results = read_micro(run.folder.path)
    assert (facts["status"], facts["kind"]) == ("complete", "micro")
    assert [(each.benchmark, len(each.rows)) for each in results] == [
        ("to_cpu", 3), ("to_gpu", 3), ("incremental", 3), ("operations", 10), ("concat", 4),
    ]  # fmt: skip
    write_micro_reports(run.folder.path)
    text = (run.folder.path / "report.md").read_text()
    for words in ("does not hold**: asked here: both published columns make the same tensor", "no GPU here", "unequal",
                  "published, ms", "harness run all.yaml"):  # fmt: skip
        assert words in text
    assert {path.stem for path in (run.folder.path / "plots").iterdir()} == {
        "to_cpu", "to_gpu", "incremental", "concat",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "status", "exit_status"),
    [(KeyboardInterrupt(), "interrupted", 130), (MemoryError("no memory"), "failed", 1)],
)
def test_an_end_in_the_middle_keeps_the_rows_before(make_run, monkeypatch, fault, status, exit_status) -> None:
    done = []

    def measure(*args):
        if len(done) == 4:
            raise fault
        done.append(measure_row(*args))
        return done[-1]

    monkeypatch.setattr(micro_run, "measure_row", measure)
    run = make_run(*QUICK)
    outcome = run.execute()
    assert (outcome.status, outcome.exit_status) == (status, exit_status)
    write_micro_reports(run.folder.path)
    _, results = read_micro(run.folder.path)
    assert [len(each.rows) for each in results] == [3, 1]
    assert "2 of 3 rows were not measured." in (run.folder.path / "report.md").read_text()
    assert "what was measured is kept" in (run.folder.path / "report.html").read_text()


def test_a_run_that_was_cut_off_before_its_first_row_is_reported_too(make_run) -> None:
    run = make_run(QUICK[0])
    run.folder.write_text("micro.json", json.dumps({"schema": 1, "benchmarks": [made("to_cpu", planned=3).as_dict()]}))
    about = {"kind": "micro", "status": "running", "title": "t", "again": "x", "versions": {}}
    run.folder.write_run({**about, "machine": micro_run.machine.describe_machine()})
    write_micro_reports(run.folder.path)
    assert "3 of 3 rows were not measured." in (run.folder.path / "report.md").read_text()


def test_other_commands_say_what_the_folder_holds(make_run) -> None:
    run = make_run(QUICK[0])
    run.execute()
    for command in (lambda: load_run(run.folder.path), lambda: compare_runs([run.folder.path, run.folder.path])):
        with pytest.raises(RecordsError, match="holds micro-benchmarks"):
            command()
    run.folder.close()
    with pytest.raises(ConfigError, match="already holds a run"):
        RunFolder(run.folder.path)


@in_browser
def test_a_browser_loads_the_page_without_complaint(make_run) -> None:
    run = make_run(*QUICK)
    run.execute()
    write_micro_reports(run.folder.path)
    assert browse(run.folder.path / "report.html").count("<figure>") == 4


# Configs and the command line.


def test_every_micro_config_can_be_read_and_all_includes_the_others() -> None:
    each = [
        load_micro(path)[1] for path in sorted(Path("configs/micro").glob("*.yaml"))
        if path.stem not in ("all", "copy_to_gpu")  # which needs a GPU
    ]  # fmt: skip
    assert load_micro(Path("configs/micro/copy_to_gpu.yaml"))[1][0].benchmark == "copy_to_gpu"
    _, together = load_micro(Path("configs/micro/all.yaml"))
    assert {benchmark.benchmark for benchmark in together} == {benchmark.benchmark for (benchmark,) in each}
    assert len(together) == len(each) == 5
    _, quick = load_micro(Path("configs/micro/all.yaml"), ["seconds=0.01", "seed=7"])
    assert {(benchmark.seconds, benchmark.seed) for benchmark in quick} == {(0.01, 7)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: micro\nbenchmark: to_cpu\nsises: [1]\n", "sises: unknown key; did you mean 'sizes'?"),
        ("kind: micro\nbenchmark: to_mars\n", "to_mars"),
        ("kind: micro\nbenchmark: to_cpu\nsizes: [0]\n", "sizes.0: input should be greater than 0"),
        ("kind: micro\nbenchmark: to_cpu\nsizes: []\n", "sizes: list should have at least 1 item"),
        ("kind: micro\nbenchmark: operations\nitems: 5\nadded: 6\n", "added: 6 are more than the 5 items"),
        ("kind: micro\nbenchmark: to_cpu\nsizes: [2, 1]\n", "sizes: write each once, from the smallest to the largest"),
        ("kind: micro\ninclude: [none.yaml]\n", "include.0: there is no file"),
        ("kind: micro\ninclude: [c.yaml]\n", "include.0: it includes itself"),
        ("kind: micro\ninclude: [c.yaml]\nsises: 2\n", "sises: unknown key"),
        ("kind: macro\n", "c.yaml:1: kind: there is no kind 'macro'; there are ablation, micro"),
    ],
)
def test_what_the_user_can_mend_is_one_line_with_file_and_key(tmp_path, text, message) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        assert kind_of(path) == "micro" and load_micro(path)  # noqa: PT018
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_doctor_has_nothing_to_examine(monkeypatch) -> None:
    for name in (
        "machine.examine_machine",
        *(f"engine.examine_{what}" for what in ("engine", "generations", "phases")),
    ):
        monkeypatch.setattr(f"harness.doctor.{name}", list)
    (finding,) = _examine(Path("configs/micro/all.yaml"), None)
    assert (finding.level, "nothing to try" in finding.found) == ("ok", True)


def test_options_of_engines_are_refused() -> None:
    done = harness("run", "configs/micro/to_cpu.yaml", "--arms", "list")
    assert (done.returncode, done.stderr.strip()) == (
        2, "harness: --arms: configs/micro/to_cpu.yaml is of kind micro, which starts no engine; leave it out",
    )  # fmt: skip


def test_the_command_line_runs_and_renders_again(tmp_path) -> None:
    out = tmp_path / "out"
    done = harness("run", "configs/micro/to_cpu.yaml", "--set", "sizes=[10, 20, 40]", "--set", "seconds=0.003",
                   "--out", str(out))  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert "list_with_array" in done.stdout
    assert done.stdout.rstrip().endswith(f"{out}/report.md")
    again = harness("report", str(out), "--format", "markdown")
    assert again.stdout == (out / "report.md").read_text()
    assert f"--out {out}" not in again.stdout
    assert harness("report", str(out), "--format", "csv").returncode == 2
    assert replace(read_micro(out)[1][0], rows=[]).planned == 3
