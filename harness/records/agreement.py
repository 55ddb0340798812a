"""Whether two passes did the same work: step by step, and in the tokens that they generated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["SIGNATURE", "signature", "signature_difference", "token_difference"]

SIGNATURE: Final = ("num_reqs", "num_tokens", "num_prefills")
"""Columns that prove that step i was the same work in every pass."""


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


def token_difference(expected: Sequence[list[int]] | None, found: Sequence[list[int]] | None) -> str:
    """Where the tokens of two passes first differ, in words; empty where they do not."""
    for request, (wanted, got) in enumerate(zip(expected or [], found or [], strict=True)):
        if wanted != got:
            token = next((i for i, pair in enumerate(zip(wanted, got, strict=False)) if pair[0] != pair[1]), len(got))
            return f"request {request} from its token {token} on"
    return ""
