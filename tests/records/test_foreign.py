"""What a stranger's folder does on purpose: each case that is known to have done harm, and its refusal or its note."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.config import source as config_depth
from harness.config.experiment import Arm, Experiment
from harness.errors import RecordsError
from harness.records.folder import RunFolder, read_run
from harness.records.run_schema import NAME, ConfigEntry, RunFile
from harness.report import write_reports
from tests import foreign

SCHEMA = Path("harness/schemas/run.schema.json")


@pytest.fixture
def folder(tmp_path) -> Path:
    return foreign.make_run_folder(tmp_path / "run")


def change(folder: Path, key: str, value: object, name: str = "run.json") -> None:
    """Set a key of a JSON file, given with its sections; `...` takes it out."""
    content = json.loads((folder / name).read_text())
    *sections, last = key.split("/")
    section = content
    for each in sections:
        section = section[int(each) if isinstance(section, list) else each]
    if value is ...:
        del section[last]
    else:
        section[int(last) if isinstance(section, list) else last] = value
    (folder / name).write_text(json.dumps(content))


def test_every_committed_run_is_as_the_schema_says() -> None:
    every = [path.parent for path in Path("reports/reference").rglob("run.json")]
    runs = [folder for folder in every if not any((folder / of).exists() for of in ("micro.json", "points"))]
    assert len(runs) > 10
    for folder in runs:
        records = read_run(folder)
        assert (records.unreadable, records.columns != {}) == ({}, True)


def test_the_schemas_file_is_made_of_the_model() -> None:
    """After a wanted change: HARNESS_UPDATE_GOLDEN=1 pytest tests/records/test_foreign.py, and read the diff."""
    text = json.dumps(RunFile.model_json_schema(by_alias=True), indent=2) + "\n"
    if os.environ.get("HARNESS_UPDATE_GOLDEN"):
        SCHEMA.write_text(text)
    assert resources.files("harness").joinpath("schemas/run.schema.json").read_text() == text


def test_names_are_those_that_a_config_may_have() -> None:
    name, config, ours = Arm.model_fields["name"], Experiment.model_json_schema(), ConfigEntry.model_json_schema()
    assert Arm.model_json_schema()["properties"]["name"] == {**ours["$defs"]["ArmEntry"]["properties"]["name"]}
    assert (NAME, name.is_required()) == (ours["$defs"]["ArmEntry"]["properties"]["name"]["pattern"], True)
    for key, limit in (("scope", "pattern"), ("scope", "maxLength"), ("arms", "maxItems"), ("probes", "maxItems")):
        assert config["properties"][key][limit] == ours["properties"][key][limit]
    assert config["properties"]["probes"]["items"]["maxLength"] == ours["properties"]["probes"]["items"]["maxLength"]


def test_what_a_config_may_hold_can_be_read_again(folder) -> None:
    deep: object = 1
    for _ in range(config_depth.DEEPEST):
        deep = [deep]
    change(folder, "config/engine", {"x": deep})
    assert read_run(folder).run["config"]["engine"] == {"x": deep}


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("config/arms/1/name", "../../pwned", "config.arms.1.name: "),
        ("config/arms/1/name", "x" * 300, "config.arms.1.name: "),
        ("config/arms/1/name", "list", "config.arms: a name stands there twice"),
        ("config/probes/0", "../x", "config.probes.0: "),
        ("config/probes/0", "scope", "config.probes: 'scope' is no function"),
        ("config/baseline", "none", "config.baseline: 'none' is none of the arms"),
        ("config/scope", "<script>", "config.scope: "),
        ("config/seam", "x", "config.seam: there is no seam 'x'"),
        ("config/title", ..., "config.title: is missing"),
        ("config/title", 7, "config.title: input should be a valid string, not 7"),
        ("config/protocol/confidence", 2.0, "config.protocol.confidence: "),
        ("config/protocol/margin", float("nan"), "config.protocol.margin: "),
        ("config/protocol/exposed", [], "config.protocol.exposed"),
        ("machine/load_average", [], "machine.load_average: "),
        ("machine/memory_gib", 10**400, "machine.memory_gib: "),
        ("host/world_size", "1", "host.world_size: "),
        ("steps/num_reqs", [3], "steps.num_reqs: there are 1 values for 5 steps"),
        ("steps/count", 10**12, "steps.count: "),
        ("steps", ..., "steps: is missing, though there are passes"),
        ("calibration", None, "calibration: is missing, though there are passes"),
        ("equality/list", None, "equality.list: "),
        ("plan/asked_s", None, "plan.asked_s: is missing, though there is fit"),
        ("flamegraphs/..~x", {}, "flamegraphs."),
        ("flamegraphs/list/rate_hz", 0, "flamegraphs.list.rate_hz: "),
        ("arms_measured/0", "array", "arms_measured: a name stands there twice"),
        ("status", "x", "status: "),
    ],
)
def test_what_is_wrong_in_run_json_is_refused_with_file_and_key(folder, key, value, told) -> None:
    change(folder, key, value)
    with pytest.raises(RecordsError) as refused:
        read_run(folder)
    assert str(refused.value).startswith(f"{folder / 'run.json'}: {told}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 99 + "1" + "}" * 99, "nested too deeply"),
        ('{"schema": ' + "9" * 5000 + "}", "cannot be read"),
        ("\ufeff{}", "cannot be read"),
        ('{"schema": "2"}', "schema '2'; this version of harness reads 2"),
        ("null", "schema None"),
    ],
)
def test_json_without_end_is_refused(tmp_path, text, told) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RecordsError, match=told):
        read_run(tmp_path)


def test_a_pipe_in_a_files_place_is_not_waited_for(folder) -> None:
    for name in ("counters.parquet", "flamegraphs/list.folded"):
        (folder / name).unlink()
        os.mkfifo(folder / name)
    assert read_run(folder).unreadable == {
        "counters.parquet": "it is no file",
        "flamegraphs/list.folded": "it is no file",
    }
    (folder / "run.json").unlink()
    os.mkfifo(folder / "run.json")
    with pytest.raises(RecordsError, match="it is no file"):
        read_run(folder)


def test_what_a_run_with_passes_must_have_may_be_absent_before_there_are_any(folder) -> None:
    (folder / "passes.parquet").unlink()
    for key in ("steps", "calibration", "workload", "host", "arms_measured", "plan"):
        change(folder, key, ...)
    assert read_run(folder).columns == {}
    write_reports(folder)


def columns_changed(table: pa.Table, name: str, values: list) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


@pytest.mark.parametrize(
    ("file", "change_it", "told"),
    [
        ("passes.parquet", lambda t: t.drop_columns(["group"]), "column 'group' is missing"),
        ("passes.parquet", lambda t: t.drop_columns(["scope.total_ns"]), "column 'scope.total_ns' is missing"),
        (
            "passes.parquet",
            lambda t: columns_changed(t, "step", ["x"] * len(t)),
            "'step' holds text instead of numbers",
        ),
        ("passes.parquet", lambda t: columns_changed(t, "arm", [1] * len(t)), "'arm' holds numbers instead of text"),
        ("passes.parquet", lambda t: columns_changed(t, "arm", [None] * len(t)), "column 'arm' has gaps"),
        ("passes.parquet", lambda t: columns_changed(t, "scope.self_ns", [None] * len(t)), "gaps in probed steps"),
        ("passes.parquet", lambda t: columns_changed(t, "execute_ns", [[1]] * len(t)), "holds list<"),
        ("passes.parquet", lambda t: columns_changed(t, "sample_ns", [2**62] * len(t)), "none of a measurement"),
        ("passes.parquet", lambda t: columns_changed(t, "sample_ns", [float("nan")] * len(t)), "none of a measurement"),
        ("counters.parquet", lambda t: t.drop_columns(["step_device_copies"]), "'step_device_copies' is missing"),
        ("counters.parquet", lambda t: columns_changed(t, "arm", ["<b>"] * len(t)), "names arms that the config"),
        ("device.parquet", lambda t: columns_changed(t, "arm", ["other"] * len(t)), "names arms that the config"),
        ("device.parquet", lambda t: t.drop_columns(["device_gap_ns"]), "'device_gap_ns' is missing"),
        ("memory.parquet", lambda t: t.drop_columns(["counted"]), "'counted' is missing"),
        ("memory.parquet", lambda t: columns_changed(t, "objects", ["x"] * len(t)), "holds text instead of numbers"),
        ("exposed.parquet", lambda t: columns_changed(t, "name", [7] * len(t)), "holds numbers instead of text"),
        ("exposed.parquet", lambda t: columns_changed(t, "turn_ns", [2**60] * len(t)), "none of a measurement"),
        ("lines.parquet", lambda t: columns_changed(t, "text", ["x" * 301] * len(t)), "more than 300 characters"),
        ("lines.parquet", lambda t: columns_changed(t, "text", [None] * len(t)), "column 'text' has gaps"),
    ],
)
def test_a_table_of_another_shape_is_left_out_and_named(folder, file, change_it, told) -> None:
    pq.write_table(change_it(pq.read_table(folder / file)), folder / file)
    records = read_run(folder)
    assert told in records.unreadable[file]
    summary = write_reports(folder)
    assert any(f"left out, since it cannot be read: {file}" in note for note in summary.notes)


def test_texts_of_tables_are_in_one_line_each_and_keep_where_they_begin(folder) -> None:
    table = pq.read_table(folder / "lines.parquet")
    pq.write_table(columns_changed(table, "text", ["    one\n# two", "\x1b[31m", "  x"]), folder / "lines.parquet")
    assert read_run(folder).lines["text"].tolist() == ["    one # two", "\\x1b[31m", "  x"]


@pytest.mark.parametrize("column", ["execute_ns", "step", "pass", "group"])
def test_passes_that_are_all_zero_give_no_figures_and_a_note(folder, column) -> None:
    table = pq.read_table(folder / "passes.parquet")
    for name in ("sample_ns", "begin_ns", column):
        table = columns_changed(table, name, [0] * len(table))
    pq.write_table(table, folder / "passes.parquet")
    summary = write_reports(folder)
    assert summary.comparisons == [] or column == "pass"
    assert any("left out" in note or "lack a pass" in note for note in summary.notes) or column == "pass"


def test_passes_whose_numbers_are_no_whole_ones_are_read(folder) -> None:
    table = pq.read_table(folder / "passes.parquet")
    table = columns_changed(table, "pass", [number + 0.5 for number in table["pass"].to_pylist()])
    pq.write_table(table, folder / "passes.parquet")
    assert len(read_run(folder).columns["pass"]) == len(table)
    write_reports(folder)


def test_a_launch_that_did_other_work_is_left_out_and_named(tmp_path) -> None:
    folder = foreign.make_launches_folder(tmp_path / "run")
    change(folder / "launches" / "03", "steps/num_tokens", [9] * 5)
    summary = write_reports(folder)
    assert summary.launches == 2
    assert any("launches/03 (it did other work: step 0 had num_tokens 9" in note for note in summary.notes)
    change(folder / "launches" / "02", "config/probes", ["torch.cat"])
    assert "its config has another probes" in read_run(folder).unreadable["launches/02"]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("config/protocol/exposed", [2.0], "exposed"),  # the launches have passes of a delay that it does not plant
        ("config/protocol/exposed", ..., "exposed"),
        ("config/arms/1/name", "mine", "arms"),
    ],
)
def test_launches_of_another_config_than_the_whole_runs_are_left_out_and_named(tmp_path, key, value, told) -> None:
    folder = foreign.make_launches_folder(tmp_path / "run")
    change(folder, key, value)
    if told == "arms":
        change(folder, "arms_measured", ["list", "mine"])
    summary = write_reports(folder)
    assert summary.comparisons == []
    unreadable = read_run(folder).unreadable
    assert unreadable == {f"launches/0{number}": f"its config has another {told}" for number in (1, 2, 3)}


def test_a_run_killed_in_its_first_launch_is_rendered(tmp_path) -> None:
    folder = foreign.make_launches_folder(tmp_path / "run")
    for key in ("steps", "calibration", "workload", "host", "arms_measured"):
        change(folder, key, ...)
    change(folder, "status", "running")
    assert write_reports(folder).comparisons


def test_launches_that_lead_back_to_the_run_are_read_once(tmp_path) -> None:
    folder = foreign.make_launches_folder(tmp_path / "run")
    (folder / "launches" / "04").symlink_to(folder)
    assert len(read_run(folder).launches) == 4


def test_nothing_is_written_outside_of_the_folder(folder, tmp_path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "own.txt").write_text("mine")
    (folder / "report.md").symlink_to(outside / "own.txt")
    (folder / ".report.html.tmp").symlink_to(outside / "own.txt")
    write_reports(folder)
    assert (folder / "report.md").read_text().startswith("## A title")
    assert not (folder / "report.md").is_symlink()
    (folder / "plots").rename(folder / "drawn")
    (folder / "plots").symlink_to(outside)
    with pytest.raises(RecordsError, match=r"plots/parts\.svg: cannot be written: it leads out of the folder"):
        write_reports(folder)
    for name in ("../x", "a/../../x", str(outside / "x")):
        with pytest.raises(RecordsError, match="leads out of the folder"):
            RunFolder.existing(folder).write_text(name, "")
    assert [path.name for path in outside.iterdir()] == ["own.txt"]
    assert (outside / "own.txt").read_text() == "mine"


def test_what_an_exception_says_is_cut_where_it_is_written(tmp_path) -> None:
    folder = foreign.make_run_folder(tmp_path / "run")
    run = json.loads((folder / "run.json").read_text())
    del run["schema"]
    run["message"] = run["equality"]["wrong"]["reason"] = "A" * 5_000_000
    RunFolder.existing(folder).write_run(run)
    assert (folder / "run.json").stat().st_size < 20_000
    assert json.loads((folder / "run.json").read_text())["message"].endswith("A ... (5,000,000 characters)")


def test_what_is_too_long_is_cut_when_it_is_read(folder) -> None:
    change(folder, "message", "A" * 5_000_000)
    change(folder, "equality/wrong/reason", "B" * 5_000_000)
    write_reports(folder)
    for name in ("report.md", "report.html", "summary.json"):
        assert (folder / name).stat().st_size < 1_000_000
