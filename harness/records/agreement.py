"""Whether two passes did the same work: step by step, and in what they answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "SIGNATURE",
    "AnswerDifference",
    "Answers",
    "answer_difference",
    "answered",
    "signature",
    "signature_difference",
]

SIGNATURE: Final = ("num_reqs", "num_tokens", "num_prefills")
"""Columns that prove that step i was the same work in every pass."""


@dataclass(frozen=True)
class Answers:
    """What a pass answered, by request.

    Attributes:
        tokens: the generated token ids.
        texts: what they read as; empty where no texts were made.
        logprobs: of each token the candidates in their order, each as its id, its rank, its log probability written so
            that no bit is lost, and its text; empty where none were asked for.
    """

    tokens: list[list[int]]
    texts: list[str] = field(default_factory=list)
    logprobs: list[list[Any]] = field(default_factory=list)


def answered(workload: Mapping[str, Any]) -> str:
    """What requests of this workload are answered with, so what of a pass is compared, in words."""
    sampling = workload.get("sampling")
    asked = sampling if isinstance(sampling, dict) else {}
    texts = ["texts"] if asked.get("detokenize") else []
    logprobs = ["log probabilities"] if asked.get("logprobs") is not None else []
    *first, last = ["tokens", *texts, *logprobs]
    return f"{', '.join(first)} and {last}" if first else last


class AnswerDifference(NamedTuple):
    """Where two passes' answers first differ: in `what` (tokens, texts, log probabilities), and `where`, in words."""

    what: str
    where: str


def signature(columns: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """The columns that describe each step's work."""
    return {key: list(columns[key]) for key in SIGNATURE}


def signature_difference(expected: Mapping[str, list[Any]], columns: Mapping[str, list[Any]]) -> str:
    """Where two passes did other work, in words; empty where they did not."""
    for key, wanted in expected.items():
        found = columns[key]
        if found == wanted:
            continue
        step = next((i for i, pair in enumerate(zip(wanted, found, strict=False)) if pair[0] != pair[1]), None)
        if step is None:
            return f"{len(found)} steps instead of {len(wanted)}"
        return f"step {step} had {key} {found[step]} instead of {wanted[step]}"
    return ""


def answer_difference(expected: Answers | None, found: Answers | None) -> AnswerDifference | None:
    """Where the answers of two passes first differ: in tokens, then in texts, then in log probabilities."""
    if expected is None or found is None:
        return None
    parts = (
        ("tokens", "token", expected.tokens, found.tokens),
        ("texts", "character", expected.texts, found.texts),
        ("log probabilities", "token", expected.logprobs, found.logprobs),
    )
    for what, unit, wanted_all, got_all in parts:
        if len(wanted_all) != len(got_all):
            return AnswerDifference(what, f"{len(got_all)} requests have them instead of {len(wanted_all)}")
        for request, (wanted, got) in enumerate(zip(wanted_all, got_all, strict=True)):
            if wanted != got:
                return AnswerDifference(what, f"request {request} from its {unit} {_first(wanted, got)} on")
    return None


def _first(wanted: Sequence[Any], got: Sequence[Any]) -> int:
    pairs = enumerate(zip(wanted, got, strict=False))
    return next((place for place, pair in pairs if pair[0] != pair[1]), min(len(wanted), len(got)))
