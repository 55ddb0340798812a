"""Micro-benchmarks: columns that come to the same, times that are what they are called, claims that can fail."""

from __future__ import annotations

import json
from array import array
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness import doctor, load_run
from harness.cli.doctor import _examine
from harness.compare import compare_runs
from harness.config_file import kind_of, load_micro
from harness.errors import ConfigError, RecordsError
from harness.micro import run as micro_run
from harness.micro.benchmarks import build_rows, choose_device
from harness.micro.claims import AS_PUBLISHED, claims
from harness.micro.config import Concat, Operations, Sizes
from harness.micro.measure import ROUNDS, measure_row
from harness.micro.plots import sweep_plot
from harness.micro.published import published_tables
from harness.micro.report import write_micro_reports
from harness.micro.results import Results, growth_exponent, read_micro
from harness.micro.rows import Row, differences
from harness.micro.run import MicroRun
from harness.micro.tables import build_micro_table
from harness.micro.timing import MeasuredRow, Timing
from harness.records import RunFolder
from patches import conversions, slot_mapping
from tests.fakes import Silent
from tests.test_cli import harness
from tests.test_html import browse, in_browser

int64 = st.integers(-(2**63), 2**63 - 1)
SMALL = {
    "to_cpu": Sizes(kind="micro", benchmark="to_cpu", sizes=[1, 5, 300]),
    "to_gpu": Sizes(kind="micro", benchmark="to_gpu", sizes=[1, 5, 300], device="cpu"),
    "incremental": Sizes(kind="micro", benchmark="incremental", sizes=[1, 5, 300]),
    "operations": Operations(kind="micro", benchmark="operations", items=50, added=7),
    "concat": Concat(kind="micro", benchmark="concat", pieces=[1, 3], lengths=[1, 4]),
}


# Conversions.


@given(st.lists(st.lists(int64, max_size=5), max_size=6))
def test_every_conversion_gives_the_same_tensor(pieces) -> None:
    items = [item for piece in pieces for item in piece]
    expected = torch.tensor(items, dtype=torch.int64)
    as_array = array(conversions.INT64, items)
    for tensor in (
        conversions.from_list(items), conversions.from_list_with_array(items), conversions.from_array(as_array),
        conversions.guarded_from_array(as_array), conversions.from_list_or_array(items),
        conversions.from_list_or_array(as_array), conversions.from_numpy(np.array(items, dtype=np.int64)),
        conversions.joined_frombuffers(array(conversions.INT64, piece) for piece in pieces),
    ):  # fmt: skip
        assert tensor.dtype == torch.int64
        assert torch.equal(tensor, expected)


def test_an_array_cannot_grow_under_a_guarded_tensor() -> None:
    items = array(conversions.INT64, [1, 2, 3])
    tensor = conversions.guarded_from_array(items)
    with pytest.raises(BufferError):  # the thread's form: append while the last tensor still lives
        items.append(4)
    assert tensor.tolist() == [1, 2, 3]
    tensor[0] = 9  # the same memory
    assert items[0] == 9
    del tensor
    items.append(4)
    assert conversions.guarded_from_array(items).tolist() == [9, 2, 3, 4]


def test_torch_itself_does_not_notice_that_the_array_grows() -> None:
    items = array(conversions.INT64, [1, 2, 3])
    tensor = conversions.from_array(items)
    items.extend(range(100))  # no error: why the guard is there; the tensor must not be read from here on
    assert tensor.numel() == 3


def test_arms_and_micro_benchmarks_use_one_and_the_same_code() -> None:
    (row, *_) = build_rows(SMALL["to_cpu"])
    for name in ("from_list", "from_array", "from_list_with_array", "from_numpy"):
        assert row.names[name] is getattr(slot_mapping, name) is getattr(conversions, name)
    (row, *_) = build_rows(SMALL["concat"])
    assert row.names["joined_frombuffers"] is slot_mapping.joined_frombuffers


# Rows.


@pytest.mark.parametrize("name", ["to_cpu", "incremental", "concat"])
def test_all_columns_come_to_the_same(name) -> None:
    rows = build_rows(SMALL[name])
    assert [differences(row) for row in rows] == [{}] * len(rows)


def test_the_published_array_to_a_device_is_another_tensor() -> None:
    found = {row.label: differences(row) for row in build_rows(SMALL["to_gpu"])}
    assert found["5"] == {AS_PUBLISHED: "10 items instead of 5, beginning [0, 0, 1, 0, ..] instead of [0, 1, 2, 3, ..]"}
    assert list(found["300"]) == [AS_PUBLISHED]


def test_of_the_operations_only_the_published_extend_is_not_like_for_like() -> None:
    found = {row.label: differences(row) for row in build_rows(SMALL["operations"])}
    assert {label for label, unequal in found.items() if unequal} == {"extend, as published"}
    assert found["extend, as published"]["array"].startswith("100 items instead of 57")
    labels = {label.partition(" (")[0] for label in found}
    assert labels == {
        "init", "pre-allocate", "append", "extend, as published", "extend, from a list", "extend, same type", "slice",
        "assign", "index", "to_torch",
    }  # fmt: skip


def test_other_values_are_seen() -> None:
    row = Row("r", {"a": "[1, 2]", "b": "[1, 3]", "c": "array('q', [1, 2])"}, {"array": array})
    assert differences(row) == {"b": "other values, beginning [1, 3] instead of [1, 2]"}


def test_tensors_must_be_alike_in_type_and_no_fraction_is_cut_off() -> None:
    columns = {"a": "torch.tensor([1])", "b": "torch.tensor([1], dtype=torch.int8)", "c": "torch.tensor([1.9])",
               "d": "[1.9]", "e": "torch.tensor([1])"}  # fmt: skip
    found = differences(Row("r", columns, {"torch": torch}))
    assert found == {"b": "int8 instead of int64", "c": "float32 instead of int64",
                     "d": "other values, beginning [1.899999976158142] instead of [1]"}  # fmt: skip


def test_a_row_is_timed_in_rounds_and_checked() -> None:
    row = Row("r", {"a": "x = 1", "b": "x = 2"}, outcome={"a": "x", "b": "x"}, setup="y = 0")
    found = measure_row(row, seconds=0.006, rng=np.random.default_rng(0))
    for timing in found.timings.values():
        assert len(timing.rounds_s) == ROUNDS
        assert all(seconds > 0 for seconds in timing.rounds_s)
        assert timing.calls >= ROUNDS
    assert list(found.unequal) == ["b"]


def test_a_container_that_grows_is_made_afresh_before_it_has_grown_much() -> None:
    lengths: list[int] = []
    row = Row("r", {"a": "items.append(1); seen(items)"}, {"seen": lambda items: lengths.append(len(items))},
              "items = [0] * 50", {"a": "items"}, repeats=10)  # fmt: skip
    found = measure_row(row, seconds=0.001, rng=np.random.default_rng(0))
    assert max(lengths) == 60
    assert found.timings["a"].calls >= 10 * ROUNDS


def test_the_columns_of_a_row_take_turns_in_an_order_drawn_anew() -> None:
    order: list[str] = []
    names = {name: (lambda name=name: order.append(name)) for name in ("a", "b", "c")}
    row = Row("r", {name: f"{name}()" for name in names}, names, outcome=dict.fromkeys(names, "0"), repeats=1)
    measure_row(row, seconds=0.0001, rng=np.random.default_rng(1))
    turns = [name for i, name in enumerate(order[3:]) if i == 0 or order[3:][i - 1] != name]
    rounds = [tuple(turns[i : i + 3]) for i in range(0, 3 * ROUNDS, 3)]
    assert len(set(rounds)) > 1


def test_statements_to_a_gpu_wait_for_it(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    on_gpu = SMALL["to_gpu"].model_copy(update={"device": "auto"})
    for row in build_rows(on_gpu):
        assert row.names["device"] == "cuda"
        assert all(statement.endswith("; synchronize()") for statement in row.columns.values())
        assert row.names["synchronize"] is torch.cuda.synchronize
    assert not any(
        "synchronize" in statement for row in build_rows(SMALL["to_gpu"]) for statement in row.columns.values()
    )


def test_index_takes_an_item_that_python_does_not_have_already() -> None:
    row = next(row for row in build_rows(Operations(kind="micro", benchmark="operations")) if row.label[:5] == "index")
    assert row.comes_to("array") == row.comes_to("list") == 9999
    for row in build_rows(SMALL["concat"]):
        items = [item for piece in row.names["lists"] for item in piece]
        assert min(items) > 256
        assert len(set(items)) == len(items)


def test_cuda_is_refused_where_there_is_none(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    with pytest.raises(ConfigError, match="write auto, or cpu"):
        choose_device("cuda")


# What follows from times: made up here, so that it can be told by hand.


def timing(*rounds_s: float) -> Timing:
    return Timing(list(rounds_s), 100)


def made(benchmark: str, *rows: MeasuredRow, device: str = "cpu", planned: int | None = None) -> Results:
    return Results(benchmark, "A title", device, False, len(rows) if planned is None else planned, list(rows))


def row_of(
    label: str, unequal: dict[str, str] | None = None, size: int | None = None, **columns: Timing
) -> MeasuredRow:
    return MeasuredRow(label, size, columns, unequal or {})


def test_a_ratio_is_of_the_same_round_and_struck_where_columns_are_unequal() -> None:
    row = row_of("100", {"b": "other values"}, list=timing(2, 4, 8), a=timing(1, 2, 4), b=timing(1, 1, 1))
    assert row.ratios("a") == [2, 2, 2]
    table = build_micro_table(made("to_cpu", row, row))
    cells = {(column.title, column.subtitle): column.cells[0] for column in table.columns}
    assert cells["list", "ms"] == "4,000 +-37.5 %"
    speeds = [column.cells[0] for column in table.columns if column.title == "speed"]
    assert speeds == ["2x", "unequal"]
    assert any("other values" in footnote for footnote in table.footnotes)


def test_a_slower_column_is_a_fraction() -> None:
    table = build_micro_table(made("to_cpu", row_of("7", list=timing(1, 1, 1), a=timing(16, 16, 16))))
    assert table.columns[2].cells == ["1/16x"]


def test_published_figures_stand_beside_ours_as_printed() -> None:
    for benchmark, label, column, printed in (
        ("to_gpu", "1,000,000", AS_PUBLISHED, "0.512"), ("to_cpu", "1,000,000", "list_with_array", "13.759"),
        ("to_cpu", "1,000,000", "array2", "16.863"), ("operations", "extend, as published", "array", "374.62"),
        ("operations", "extend, same type (1,000)", "array", "39.09"),
        ("operations", "to_torch (10)", "list", "1210.37"),
    ):  # fmt: skip
        row = MeasuredRow(label, None, {"list": timing(1, 1), column: timing(1, 1)}, {})
        table = build_micro_table(made(benchmark, row))
        published = [(found.title, *found.cells) for found in table.columns if found.subtitle.startswith("published")]
        assert (column, printed) in published
    assert published_tables("concat") == []


def test_published_tables_that_were_measured_apart_stay_apart() -> None:
    first, second = published_tables("to_cpu")
    assert (first["1,000"]["list"], second["1,000"]["list"]) == (0.030, 0.055)
    assert second["1,000"]["array2"] == second["1,000"]["list_with_array"] == 0.027
    (operations,) = published_tables("operations")
    assert len(operations) == 8
    columns = {name: timing(1, 1) for name in ("list", "list_with_array", "array", "array2", "numpy")}
    table = build_micro_table(made("to_cpu", MeasuredRow("1,000", 1000, columns, {})))
    assert [(c.title, c.cells) for c in table.columns if c.subtitle == "published later, ms"] == [
        ("list", ["0.055"]), ("list_with_array", ["0.027"]), ("array", ["0.002"]), ("array2", ["0.027"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("benchmark", "claim", "rounds", "verdict"),
    [
        ("to_gpu", "an array becomes a device tensor", (0.5, 0.6, 0.5), "holds"),
        ("to_gpu", "an array becomes a device tensor", (2, 2, 2), "does not hold"),
        ("to_gpu", "an array becomes a device tensor", (1, 1.01, 0.99), "does not hold"),  # neither is faster
        ("to_gpu", "an array becomes a device tensor", (0.5, 2, 1), "not resolved"),
        ("operations", "append is slower", (2, 2, 2), "holds"),
        ("operations", "append is slower", (1, 1, 1), "does not hold"),  # alike is not slower
        ("operations", "append is slower", (0.5, 0.5, 0.5), "does not hold"),
        ("operations", "append is slower", (1, 2, 0.5), "not resolved"),
    ],
)
def test_a_claim_holds_does_not_or_is_not_resolved(benchmark, claim, rounds, verdict) -> None:
    row = row_of("append (100 times)", list=timing(1, 1, 1), array=timing(*rounds))
    assert next(found.verdict for found in claims(made(benchmark, row)) if found.said.startswith(claim)) == verdict


def test_a_time_that_grows_with_the_size_is_no_constant_one() -> None:
    def verdict(*array_s: float) -> list[str]:
        rows = [
            row_of(str(i), list=timing(9, 9), list_with_array=timing(1, 1), array2=timing(1, 1), array=timing(t, t))
            for i, t in enumerate(array_s)
        ]
        return [found.verdict for found in claims(made("to_cpu", *rows)) if "whatever its size" in found.said]

    assert verdict(1, 1.2) == ["holds"]
    assert verdict(1, 2) == ["does not hold"]
    assert verdict(1) == []  # one size says nothing


def test_what_was_not_measured_on_a_gpu_is_said_with_the_reason() -> None:
    row = row_of("100", list=timing(1, 1), array=timing(1, 1))
    for has_gpu, why in ((False, "PyTorch has no GPU here"), (True, "the config asks for the CPU")):
        found = claims(replace(made("to_gpu", row), has_gpu=has_gpu))
        assert [claim.measured.startswith(why) for claim in found if claim.verdict == "not measured"] == [True]
    assert all(claim.verdict != "not measured" for claim in claims(replace(made("to_gpu", row), device="cuda")))


def test_no_figure_is_told_of_columns_that_are_unequal() -> None:
    row = MeasuredRow(
        "extend, as published", None, {"list": timing(1, 1), "array": timing(99, 99)}, {"array": "more"}, "why"
    )
    assert [(claim.verdict, claim.measured) for claim in claims(made("operations", row))] == [
        ("not like for like", "why")
    ]


def test_array2_gains_nothing_where_it_is_alike_or_slower() -> None:
    def verdict(*rounds: float) -> str:
        row = row_of("100", list=timing(4, 4), list_with_array=timing(1, 1), array=timing(1, 1), array2=timing(*rounds))
        return next(claim.verdict for claim in claims(made("to_cpu", row)) if claim.said.startswith("array2"))

    assert [verdict(1, 1.01), verdict(2, 2), verdict(0.5, 0.5), verdict(0.5, 2)] == [
        "holds", "holds", "does not hold", "not resolved",
    ]  # fmt: skip


@given(st.floats(0.5, 3), st.floats(1e-9, 1))
def test_the_exponent_of_a_power_is_that_power(power, factor) -> None:
    sizes = [10, 100, 1000, 10000, 100000]
    found = growth_exponent(sizes, [factor * size**power for size in sizes])
    assert found.value == pytest.approx(power, abs=1e-6)
    assert found.error < 1e-3


def test_growth_is_held_against_the_threads() -> None:
    sizes = [100, 200, 400, 800]

    def verdicts(of_list: float, of_array: float) -> list[str]:
        rows = [
            row_of(str(n), size=n, list=timing(n**of_list, n**of_list), array=timing(n**of_array, n**of_array))
            for n in sizes
        ]
        return [claim.verdict for claim in claims(made("incremental", *rows))]

    assert verdicts(2, 1) == ["holds", "holds"]
    assert verdicts(1, 2) == ["does not hold", "does not hold"]
    assert growth_exponent([1, 2], [1, 2]) is None


def test_a_sweep_is_drawn_and_what_is_none_is_not() -> None:
    rows = [row_of(f"{n:,}", size=n, list=timing(n, n), array=timing(1, 1)) for n in (100, 1000)]
    assert "list, published" in sweep_plot(made("to_cpu", *rows)).svg
    assert sweep_plot(made("to_cpu", rows[0])) is None
    assert sweep_plot(made("operations", row_of("init", list=timing(1, 1)))) is None


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
    run.folder.write_run({"title": "t", "again": "x", "machine": micro_run.machine.describe_machine(), "versions": {}})
    write_micro_reports(run.folder.path)
    assert "3 of 3 rows were not measured." in (run.folder.path / "report.md").read_text()


def test_other_commands_say_what_the_folder_holds(make_run) -> None:
    run = make_run(QUICK[0])
    run.execute()
    for command in (lambda: load_run(run.folder.path), lambda: compare_runs([run.folder.path, run.folder.path])):
        with pytest.raises(RecordsError, match="holds micro-benchmarks"):
            command()
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
    each = [load_micro(path)[1] for path in sorted(Path("configs/micro").glob("*.yaml")) if path.stem != "all"]
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
    for name in ("examine_machine", "examine_engine"):
        monkeypatch.setattr(doctor, name, list)
    (finding,) = _examine(Path("configs/micro/all.yaml"))
    assert (finding.level, "no targets" in finding.found) == ("ok", True)


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
