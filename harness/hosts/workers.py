"""The records of a pass from those of all of an engine's workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import StepMismatchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["as_far_as_all", "columns_beyond_first", "merge_workers"]


def as_far_as_all(answers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records of a pass that was cut short, as far as every worker has them: one may be a step ahead."""
    kept = list(answers)
    steps = min((len(answer["columns"]["step"]) for answer in kept), default=0)
    return [
        {
            **answer,
            "columns": {name: values[:steps] for name, values in answer["columns"].items()},
        }
        for answer in kept
    ]


def merge_workers(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The records of a pass from those of all workers: the first one's columns, the faults of all."""
    first = answers[0]
    steps = [len(answer["columns"]["step"]) for answer in answers]
    if len(set(steps)) > 1:
        raise StepMismatchError(f"workers disagree on the number of steps: {steps}")
    if any(answer["columns"]["arm"] != first["columns"]["arm"] for answer in answers):
        raise StepMismatchError("workers ran a step under different arms")
    mismatches = [{**found, "reason": f"worker {rank}: {found['reason']}" if rank else found["reason"]}
                  for rank, answer in enumerate(answers) for found in answer["mismatches"]]  # fmt: skip
    return {
        "columns": first["columns"],
        "failure": next((answer["failure"] for answer in answers if answer["failure"]), None),
        "mismatches": mismatches,
        "watched": first["watched"],
        "unrestored": [name for answer in answers for name in answer["unrestored"]],
        "spans": first["spans"],
        "found": first["found"],
        "other_threads": sum(answer["other_threads"] for answer in answers),
        "not_reset": next((answer["not_reset"] for answer in answers if answer["not_reset"]), ""),
        "changed": list(dict.fromkeys(name for answer in answers for name in answer["changed"])),
    }


def columns_beyond_first(answers: Sequence[dict[str, Any]]) -> dict[str, dict[str, list[Any]]]:
    """The columns of a pass that `merge_workers` leaves out, by worker."""
    return {f"worker {rank}": answer["columns"] for rank, answer in enumerate(answers) if rank}
