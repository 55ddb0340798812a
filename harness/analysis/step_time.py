"""What a step is: the turn of the engine core where that was timed, else the model runner's part of it.

Decided here alone. A summary says which (`Summary.turns`), and reports choose their words by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from harness.records.tables import Columns

__all__ = ["TURN", "has_output", "has_turns", "step_ns", "step_parts"]

TURN: Final = "turn_ns"
OF_RUNNER: Final = ("execute_ns", "sample_ns")


def has_turns(rows: Columns) -> bool:
    """Whether the engine core's turn was timed in every one of these rows."""
    return TURN in rows and bool((np.asarray(rows[TURN]) > 0).all())


def has_output(run: Mapping[str, Any]) -> bool:
    """Whether a turn has the output in it, as that of vLLM 0.5.4's engine; later ones make it behind the turn."""
    return bool(run.get("host", {}).get("details", {}).get("generation") == "v0")


def step_parts(turns: bool) -> tuple[str, ...]:
    """The columns that together are the step."""
    return (TURN,) if turns else OF_RUNNER


def step_ns(rows: Columns, turns: bool | None = None) -> NDArray[np.float64]:
    """The step of each row; `turns` where it has been decided, as for several launches together."""
    parts = step_parts(has_turns(rows) if turns is None else turns)
    return np.asarray(np.sum([np.asarray(rows[part], dtype=np.float64) for part in parts], axis=0), dtype=np.float64)
