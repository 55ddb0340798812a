"""A trace of a few steps an arm, as Chrome's tracing and Perfetto (ui.perfetto.dev) read it.

The format is the JSON array of the "Trace Event Format": complete events (`ph: X`), times in microseconds. Each arm is
a process of its own there, since its steps were traced in a pass of its own; all passes begin at 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["chrome_trace"]


def chrome_trace(spans: Mapping[str, Sequence[Sequence[Any]]], steps: int) -> dict[str, Any]:
    """The first steps of each arm's traced pass.

    Args:
        spans: by arm: (step, name, start_ns, stop_ns).
        steps: how many steps to keep.
    """
    events: list[dict[str, Any]] = []
    for number, (arm, of_arm) in enumerate(spans.items(), start=1):
        kept = sorted((span for span in of_arm if span[0] < steps), key=lambda span: (span[2], -span[3]))
        if not kept:
            continue
        origin = kept[0][2]
        events.append({"name": "process_name", "ph": "M", "pid": number, "tid": 1, "args": {"name": arm}})
        events += [
            {
                "name": name, "cat": "harness", "ph": "X", "pid": number, "tid": 1, "ts": (start - origin) / 1e3,
                "dur": (stop - start) / 1e3, "args": {"arm": arm, "step": step},
            }
            for step, name, start, stop in kept
        ]  # fmt: skip
    return {"traceEvents": events, "displayTimeUnit": "ns"}
