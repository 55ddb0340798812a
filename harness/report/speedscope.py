"""Sampled stacks in the file format of speedscope (https://www.speedscope.app, src/lib/file-format-spec.ts there)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from harness.sampling.sampled import Flame

__all__ = ["speedscope"]

UNITS: Final = {"us a step": "microseconds", "ms a second": "milliseconds"}
"""Units of a flamegraph, and speedscope's names of them."""


def speedscope(flame: Flame, arm: str, scope: str) -> dict[str, Any]:
    """The stacks in speedscope's file format (speedscope.app), lines included; weights are times a step or a second."""
    frames: dict[Any, int] = {}
    samples = [[frames.setdefault(frame, len(frames)) for frame in stack] for stack in flame.stacks]
    weights = [count * flame.a_sample for count in flame.stacks.values()]
    name = f"{arm}: {'whole process' if flame.recording.whole else scope}, {flame.unit}"
    described = [
        {
            "name": frame.name,
            **({"file": frame.file} if frame.file else {}),
            **({"line": frame.line} if frame.line else {}),
        }
        for frame in frames
    ]
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "name": name,
        "exporter": "harness",
        "activeProfileIndex": 0,
        "shared": {"frames": described},
        "profiles": [
            {
                "type": "sampled", "name": name, "unit": UNITS[flame.unit], "startValue": 0, "endValue": sum(weights),
                "samples": samples, "weights": weights,
            }
        ],
    }  # fmt: skip
