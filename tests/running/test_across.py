"""Fingerprints of engines in processes of their own, held against native's."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import RecordsError, StepMismatchError
from harness.records.agreement import Answers
from harness.records.folder import RunFolder
from harness.running.across import Across

ROWS = [
    (0, "scheduler_output.num_scheduled_tokens[req#0]", "6"),
    (0, "context.attn_metadata[layer.0].slots", "a tensor int64[2]: 4, 5"),
    (0, "context.opaque", "1"),
    (0, "state.input_batch.rest", "17"),
    (1, "scheduler_output.num_scheduled_tokens[req#0]", "1"),
    (1, "logits", "a tensor float32[2]: 0.5, 0.25"),
]
TOKENS = [[1, 2], [3]]


def changed(**texts: str) -> list[tuple[int, str, str]]:
    return [(step, path, texts.get(path.rpartition(".")[2], text)) for step, path, text in ROWS]


@pytest.fixture
def across(tmp_path):
    class Taking(Across):
        number = 0

        def one(self, arm: str, rows: Any = ROWS, tokens: Any = TOKENS, not_repeated: Any = ()) -> None:
            self.number += 1
            folder = RunFolder(tmp_path / f"{self.number:02d}")
            folder.write_served(rows, tokens if isinstance(tokens, Answers) else Answers(tokens))
            self.take(self.number, arm, folder.path, not_repeated)

    return Taking(ignored=["logits"])


def test_what_native_does_not_repeat_is_left_out_and_listed_and_state_is_never_compared(across) -> None:
    across.one("native")
    across.one("native", changed(opaque="2", rest="18"))
    across.one("pr", changed(opaque="3", rest="19", logits="a tensor float32[2]: 0.5, 0.75"))
    assert across.struck == {}
    assert across.facts() == {
        "leaves": 5, "not_repeated": ["context.opaque"], "ignored": ["logits"], "cut": [], "only_there": {},
        "otherwise": {}, "launches": {"pr": 1},
    }  # fmt: skip


def test_what_a_launch_of_native_does_not_repeat_itself_is_left_out_and_what_an_arm_does_not_is_not(across) -> None:
    across.one("native", not_repeated=["context.opaque"])
    across.one("native")
    across.one("pr", changed(opaque="3"))
    across.one("other", changed(slots="a tensor int64[2]: 4, 6"), not_repeated=["context.attn_metadata[*].slots"])
    assert list(across.struck) == ["other"]


def test_the_first_difference_strikes_by_step_field_index_expected_and_found(across) -> None:
    across.one("native")
    across.one("pr", changed(slots="a tensor int64[2]: 4, 6"))
    assert across.struck == {}  # as long as nobody knows what native repeats
    across.one("native")
    told = "`context.attn_metadata[layer.0].slots[1]`: expected 5, found 6 (1 of 2 differ)"
    assert across.struck == {"pr": f"differs at step 0 of launch 2: {told}"}
    across.one("pr")
    assert len(across.struck) == 1


def test_a_field_that_only_the_arm_has_is_listed_and_one_more_key_strikes(across) -> None:
    for _ in range(2):
        across.one("native")
    across.one("pr", [*ROWS, (1, "scheduler_output.fresh", "0"), (1, "scheduler_output.by_request[req#0]", "2")])
    assert across.struck == {}
    assert across.facts()["only_there"] == {"pr": ["scheduler_output.by_request[*]", "scheduler_output.fresh"]}
    across.one("other", [*ROWS, (1, "scheduler_output.num_scheduled_tokens[req#1]", "1")])
    assert "num_scheduled_tokens[req#1]`: expected nothing" in across.struck["other"]


def test_other_tokens_and_other_steps_strike(across) -> None:
    for _ in range(2):
        across.one("native")
    across.one("a", tokens=[[1, 2], [4]])
    across.one("b", [*ROWS, (2, "scheduler_output.num_scheduled_tokens[req#0]", "1")])
    assert across.struck["a"] == "generates other tokens in launch 3: request 1 from its token 0 on"
    assert across.struck["b"] == "differs in launch 4: `steps`: expected 2, found 3"


def test_native_must_repeat_its_own_tokens(across) -> None:
    across.one("native")
    with pytest.raises(StepMismatchError, match="launches 1 and 2, both of native, generated different tokens"):
        across.one("native", tokens=[[1, 2], [4]])


def test_a_launch_that_wrote_nothing_or_torn_files_is_told(across, tmp_path) -> None:
    with pytest.raises(RecordsError, match="has not written what it served"):
        across.take(1, "native", tmp_path)
    (tmp_path / "fingerprint.parquet").write_bytes(b"PAR1")
    with pytest.raises(RecordsError, match="cannot be read"):
        across.take(1, "native", tmp_path)


def test_texts_and_log_probabilities_are_compared_between_launches(across) -> None:
    logprobs = [[[[1, 1, "-0.5", "a"]], [[2, 1, "-0.25", "b"]]], [[[3, 1, "-0.125", "c"]]]]
    native = Answers(TOKENS, ["ab", "c"], logprobs)
    for arm in ("native", "native", "same"):
        across.one(arm, tokens=native)
    across.one("text", tokens=Answers(TOKENS, ["ab", "d"], logprobs))
    across.one("number", tokens=Answers(TOKENS, ["ab", "c"], [*logprobs[:1], [[[3, 1, "-0.5", "c"]]]]))
    across.one("none", tokens=Answers(TOKENS))
    assert across.struck == {
        "text": "generates other texts in launch 4: request 1 from its character 0 on",
        "number": "generates other log probabilities in launch 5: request 1 from its token 0 on",
        "none": "generates other texts in launch 6: 0 requests have them instead of 2",
    }


def test_a_setting_may_compute_otherwise_and_it_is_told_where(across) -> None:
    across.settings = ["two", "other"]
    across.one("native")
    across.one("native")
    across.one("two", tokens=[[1, 2], [4]])
    across.one("two")
    across.one("other", changed(slots="a tensor int64[2]: 4, 6"))
    assert across.struck == {}
    assert across.otherwise["two"].startswith("generates other tokens in launch 3")
    assert "slots" in across.otherwise["other"]
    assert across.compared == {"two": 1}


def test_a_setting_with_other_steps_is_struck_as_any_arm(across) -> None:
    across.settings = ["two"]
    across.one("native")
    across.one("native")
    across.one("two", ROWS[:4])
    assert list(across.struck) == ["two"]
    assert across.otherwise == {}
