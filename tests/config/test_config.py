from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from harness.config.experiment import Arm
from harness.config.file import kind_of, load, load_micro
from harness.config.host import place_of
from harness.errors import ConfigError
from harness.seams import SEAMS

MINIMAL = """\
engine:
  model: some/model
workload:
  requests: 4
  prompt_tokens: 8
  output_tokens: {uniform: {low: 2, high: 5}}
seam: slot_mapping
arms: [list, numpy]
protocol:
  groups: 3
"""


@pytest.fixture
def write(tmp_path):
    def write_config(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write_config


def refusal(path: Path, *args) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, *args)
    return str(caught.value)


def test_a_minimal_config_and_its_defaults(write) -> None:
    experiment = load(write(MINIMAL)).experiment
    assert experiment.baseline == "list"
    assert experiment.arms[1] == Arm(name="numpy", reference="patches.slot_mapping:Numpy")
    assert experiment.scope == "_prepare_inputs"
    assert (experiment.host.process, experiment.host.threads) == ("in_process", 1)
    assert experiment.engine == {"model": "some/model"}


def test_every_config_of_the_project_is_valid_but_for_the_trace_that_the_user_brings(tmp_path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n")
    paths = sorted(Path("configs").rglob("*.yaml"))
    assert Path("configs/slot_mapping.yaml") in paths
    for path in paths:
        if kind_of(path) == "micro":
            assert load_micro(path)[1]
            continue
        kind = yaml.safe_load(path.read_text())["workload"].get("kind")
        load(path, [f"workload.file={trace}"] if kind == "trace" else [])


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("requests: 4", "requests: none", 4, "workload.requests: input should be a valid integer"),
        ("requests: 4", "requests: 0", 4, "workload.requests: input should be greater than 0, not 0"),
        ("requests: 4", "request: 4", 4, "workload.request: unknown key; did you mean 'requests'?"),
        ("groups: 3", "grups: 3", 10, "protocol.grups: unknown key; did you mean 'groups'?"),
        ("groups: 3", "groups: 1", 10, "protocol.groups: input should be greater than or equal to 2, not 1"),
        ("groups: 3", "zzz: 1", 10, "protocol.zzz: unknown key; known are bare, confidence, counters, drift"),
        ("{low: 2, high: 5}", "{low: 5, high: 2}", 6, "low (5) must not exceed high (2)"),
        ("prompt_tokens: 8", "prompt_tokens: {lognormal: {median: 3}}", 5, "lognormal.sigma: is missing"),
        ("prompt_tokens: 8", "prompt_tokens: {}", 5, "write a number, or {uniform"),
        ("groups: 3", "launches: 2", 9, "2 launches give no interval; take 3 or more"),
        ("groups: 3", "until: {half_width_us: 2}", 10, "protocol.until.max_seconds: is missing"),
        ("groups: 3", "{seconds: 3, until: {half_width_us: 2, max_seconds: 9}}", 9, "leave one out"),
        ("groups: 3", "{groups: 3, seconds: 3}", 9, "groups and seconds both say how long to measure: leave one out"),
        ("groups: 3", "{groups: 3, until: {half_width_us: 2, max_seconds: 9}}", 9, "groups and until both say"),
        ("groups: 3", "{launches: 3, until: {half_width_us: 2, max_seconds: 9}}", 9, "leave launches out"),
        ("slot_mapping", "slot_maping", 7, "seam: there is no seam 'slot_maping'; there are slot_mapping"),
        ("[list, numpy]", "[list, nunpy]", 8, "arms: seam 'slot_mapping' has no arm 'nunpy'; it has native, list"),
        ("[list, numpy]", "[list, list]", 8, "arms: list is named twice"),
        ("[list, numpy]", "[]", 8, "arms: list should have at least 1 item"),
        ("[list, numpy]", "[list, gone.py:Arm]", 8, "arms.1: there is no file"),
        ("[list, numpy]", "[list, mine.py:Main]", 8, "mine.py has no class Main; it has Mine, Other"),
        ("[list, numpy]", "[list, broken.py:Mine]", 8, "broken.py:2: this is no valid Python"),
        ("arms: [list, numpy]", "arms: [list]\nbaseline: native", 9, "baseline: 'native' is none of the arms (list)"),
        ("model: some/model", "modell: x", 1, "engine: `model` is missing"),
        ("model: some/model", "model: x\n  worker_extension_cls: y", 1, "engine: worker_extension_cls is how harness"),
        ("requests: 4", "requests: 4\n  requests: 5", 5, "requests: already given in line 4; keep one"),
        ("seam: slot_mapping", "? [a]\n: b\nseam: slot_mapping", 7, "a key is a plain word here"),
        ("seam: slot_mapping", "seam: [", 9, "this is no valid YAML"),
        ("  requests: 4\n", "  kind: trace\n  file: nowhere.csv\n", 5, "workload.file: there is no file"),
    ],
)
def test_a_fault_is_named_with_file_line_key_and_mend(write, old, new, line, message) -> None:
    text = MINIMAL.replace(old, new)
    if "kind: trace" in new:
        text = text.replace("  prompt_tokens: 8\n  output_tokens: {uniform: {low: 2, high: 5}}\n", "")
    path = write(text)
    (path.parent / "mine.py").write_text("class Mine: ...\nclass Other: ...\n")
    (path.parent / "broken.py").write_text("\nclass Mine\n")
    refused = refusal(path)
    first = next(line for line in refused.splitlines() if message in line)
    assert first.startswith(f"{path}:{line}: ")


@pytest.mark.parametrize("text", ["title: 2020-13-45\n", "title: a\x00b\n", "title: \x07\n"])
def test_what_the_yaml_library_itself_chokes_on_is_refused_in_words(write, text) -> None:
    assert "this is no valid YAML" in refusal(write(text))


def test_unsafe_yaml_is_not_executed(write) -> None:
    assert "no valid YAML" in refusal(write('engine: !!python/object/apply:os.system ["true"]\n'))


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text\n"])
def test_what_is_no_mapping_is_refused(write, text) -> None:
    assert "a config is a mapping" in refusal(write(text))


def test_a_file_that_is_not_there(tmp_path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "none.yaml")


def test_set_overrides_and_is_named_in_errors(write) -> None:
    path = write(MINIMAL)
    experiment = load(path, ["protocol.groups=7", "engine.max_model_len=64", "host.env={A: b}"]).experiment
    assert experiment.protocol.groups == 7
    assert experiment.engine["max_model_len"] == 64
    assert experiment.host.env == {"A": "b"}
    assert refusal(path, ["protocol.groups=x"]).startswith("--set protocol.groups=x: protocol.groups: ")
    assert "write key.path=value" in refusal(path, ["protocol.passes"])
    assert "seam is no mapping" in refusal(path, ["seam.x=1"])


def test_arms_on_the_command_line_keep_the_baseline_and_definitions(write, tmp_path, monkeypatch) -> None:
    (tmp_path / "mine.py").write_text("class Arm: pass\n")
    path = write(MINIMAL.replace("[list, numpy]", "[list, {mine: mine.py:Arm}]"))
    assert [arm.name for arm in load(path, arms=["mine", "native"]).experiment.arms] == ["list", "mine", "native"]
    assert load(path, arms=["mine"]).experiment.arms[1].reference == "mine.py:Arm"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "other.py").write_text("class Other: pass\n")
    monkeypatch.chdir(elsewhere)  # a file on the command line is looked for from here
    arm = load(path, arms=["other.py:Other"]).experiment.arms[1]
    assert arm == Arm(name="Other", reference="elsewhere/other.py:Other")
    by_set = load(path, ["arms=[list, {Other: 'other.py:Other'}]"]).experiment.arms[1]
    assert by_set == arm
    assert refusal(path, [], ["nope"]).startswith("--arms nope: arms: seam 'slot_mapping' has no arm 'nope'")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(st.sampled_from(["engine", "workload", "arms", "seam", "protocol", "x"]), x, max_size=4)
        ),
    )
)
@example({"arms": [None]})
@example({"arms": [{}]})
def test_whatever_a_file_holds_it_is_read_or_refused_in_words(content) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.yaml"
        path.write_text(yaml.safe_dump(content))
        assert str(path) in refusal(path)


def test_scope_and_arms_follow_the_runner(tmp_path) -> None:
    path = tmp_path / "c.yaml"
    text = "engine: {model: none}\nworkload: {requests: 1, prompt_tokens: 1, output_tokens: 1}\nseam: slot_mapping\n"
    path.write_text(f"{text}arms: [list]\n")
    assert load(path).experiment.scope == "_prepare_inputs"
    second = load(path, ["host.model_runner=v2"]).experiment
    assert second.scope == "prepare_inputs + prepare_attn"
    assert second.arms[0].reference == "patches.slot_mapping:List"
    assert load(path, ["scope=[one, two]"]).experiment.scope == "one + two"
    assert load(path, ["scope=one+two"]).experiment.scope == "one + two"
    with pytest.raises(ConfigError, match="scope"):
        load(path, ["scope=one + "])
    assert place_of(second.model_dump(mode="json")) == SEAMS["slot_mapping"].places["v2"]
    assert place_of({"seam": "none"}) is None


@pytest.mark.parametrize("said", ["groups=7", "seconds=9", "until={half_width_us: 2, max_seconds: 9}"])
def test_how_long_to_measure_is_said_once_and_the_last_to_say_it_counts(said) -> None:
    main_job = Path("configs/slot_mapping.yaml")
    assert load(main_job).experiment.protocol.seconds == 45
    protocol = load(main_job, ["protocol.until=null", "protocol.seconds=1", f"protocol.{said}"]).experiment.protocol
    found = {key: getattr(protocol, key) for key in ("groups", "seconds", "until")}
    key = said.partition("=")[0]
    others = {"groups": 20, "seconds": None, "until": None}
    assert {**others, key: found[key]} == found
    assert found[key] != others[key]


@pytest.mark.parametrize(
    "text",
    ["class Mine: ...", "Mine = object", "from x import y as Mine", "from x import *", "if True:\n    class Mine: ..."],
)
def test_an_arms_file_is_parsed_and_not_run_before_the_engine_starts(write, text) -> None:
    path = write(MINIMAL.replace("[list, numpy]", "[list, mine.py:Mine]"))
    (path.parent / "mine.py").write_text(f"{text}\n1 / 0\n")
    assert load(path).experiment.arms[1].reference == "mine.py:Mine"


def test_a_former_name_of_a_key_is_understood_with_a_note(write) -> None:
    assert load(write(MINIMAL)).notes == ()
    loaded = load(write(MINIMAL.replace("groups: 3", "passes: 4")))
    assert (loaded.experiment.protocol.groups, loaded.notes) == (4, ("protocol.passes is called protocol.groups now",))
    loaded = load(Path("configs/slot_mapping.yaml"), ["protocol.passes=4"])
    assert (loaded.experiment.protocol.groups, loaded.experiment.protocol.seconds) == (4, None)
    assert loaded.notes == ("protocol.passes is called protocol.groups now",)
    both = write(MINIMAL.replace("groups: 3", "{passes: 4, groups: 3}"))
    assert "protocol.passes: is the former name of groups; keep one of them" in refusal(both)
