from __future__ import annotations

import pytest

from harness.records.agreement import Answers, answer_difference

LOGPROBS = [[[[5, 1, "-0.5", "a"], [6, 2, "-0.75", "b"]]], [[[7, 1, "-0.25", None]]]]
NATIVE = Answers([[5], [7]], ["a", "cd"], LOGPROBS)


def test_the_same_answers_do_not_differ() -> None:
    assert answer_difference(NATIVE, Answers([[5], [7]], ["a", "cd"], [list(each) for each in LOGPROBS])) is None
    assert answer_difference(NATIVE, None) is None  # a pass that was cut short


@pytest.mark.parametrize(
    ("found", "what", "where"),
    [
        (Answers([[5], [7, 8]], ["x", "cd"], LOGPROBS), "tokens", "request 1 from its token 1 on"),
        (Answers([[5], [8]], ["a", "cd"], LOGPROBS), "tokens", "request 1 from its token 0 on"),
        (Answers([[5], [7]], ["a", "ce"], LOGPROBS), "texts", "request 1 from its character 1 on"),
        (Answers([[5], [7]], ["a", "c"], LOGPROBS), "texts", "request 1 from its character 1 on"),
        (Answers([[5], [7]], [], LOGPROBS), "texts", "0 requests have them instead of 2"),
        (
            Answers([[5], [7]], ["a", "cd"], [[[[5, 1, "-0.5", "a"], [6, 2, "-0.76", "b"]]], LOGPROBS[1]]),
            "log probabilities", "request 0 from its token 0 on",
        ),
    ],
)  # fmt: skip
def test_the_first_difference_is_told_in_tokens_then_texts_then_log_probabilities(found, what, where) -> None:
    assert answer_difference(NATIVE, found) == (what, where)
