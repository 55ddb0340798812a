"""What a step is: the turn of the engine core where that was timed, else the model runner's part of it.

Where launches are compared of which some time turns and others cannot, since their cores are in other processes, it is
the loop's turn, from the beginning of one step to that of the next: all of them have that, and it holds whatever the
engine does between two steps. Decided here alone. A summary says which (`Summary.turns`, `Summary.loop`), and reports
choose their words by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from harness.records.tables import Columns

__all__ = ["TURN", "Step", "has_output", "has_turns", "is_of_thread", "step_ns", "step_of"]

Step: TypeAlias = Literal["turn", "runner", "loop"]

TURN: Final = "turn_ns"
OF_RUNNER: Final = ("execute_ns", "sample_ns")


def has_turns(rows: Columns) -> bool:
    """Whether the engine core's turn was timed in every one of these rows."""
    return TURN in rows and bool((np.asarray(rows[TURN]) > 0).all())


def has_output(run: Mapping[str, Any]) -> bool:
    """Whether a turn has the output in it, as that of vLLM 0.5.4's engine; later ones make it behind the turn."""
    return bool(run.get("host", {}).get("details", {}).get("generation") == "v0")


def step_of(timed: Iterable[bool]) -> Step:
    """What a step is in launches that are compared, by whether each timed the engine core's turns."""
    each = set(timed)
    if len(each) > 1:
        return "loop"
    return "turn" if each == {True} else "runner"


def is_of_thread(rows: Columns, step: Step) -> bool:
    """Whether `cpu_ns` of these rows is of what the step is."""
    return "cpu_ns" in rows and step == ("turn" if TURN in rows else "runner")


def step_ns(rows: Columns, step: Step | None = None) -> NDArray[np.float64]:
    """The step of each row; `step` where what it is has been decided, as for several launches together."""
    step = step or step_of([has_turns(rows)])
    if step == "loop":
        return _loop_ns(rows)
    return _sum(rows, (TURN,) if step == "turn" else OF_RUNNER)


def _loop_ns(rows: Columns) -> NDArray[np.float64]:
    """From each step's beginning to that of the next one of its pass, without what the instrument did meanwhile.

    A pass's last step has none after it, and is the model runner's part alone, in every launch alike.
    """
    whole = _sum(rows, OF_RUNNER)
    if "begin_ns" not in rows:
        return whole
    order = np.lexsort((rows["step"], rows["pass"]))
    begins, of_pass = np.asarray(rows["begin_ns"], dtype=np.float64)[order], np.asarray(rows["pass"])[order]
    beside = np.asarray(rows["bookkeeping_ns"], dtype=np.float64)[order] if "bookkeeping_ns" in rows else 0 * begins
    follows = of_pass[1:] == of_pass[:-1]
    whole[order[:-1][follows]] = (np.diff(begins) - beside[:-1])[follows]
    return whole


def _sum(rows: Columns, parts: Iterable[str]) -> NDArray[np.float64]:
    return np.asarray(np.sum([np.asarray(rows[part], dtype=np.float64) for part in parts], axis=0), dtype=np.float64)
