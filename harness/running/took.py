"""How long engines took to start here, and checks to run, the last time: what a run tells of the time ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.records.remembered import recall, remember

if TYPE_CHECKING:
    from harness.config.experiment import Experiment

__all__ = ["engine_like", "last_start_s", "remember_took", "took"]

TOOK: Final = "took"
"""The name under which it is remembered."""


def last_start_s(experiment: Experiment) -> float | None:
    """How many seconds an engine like the config's took to start the last time here, vLLM's import included."""
    return took(engine_like(experiment))


def engine_like(experiment: Experiment) -> str:
    """The name for engines that take about as long to start."""
    return f"{experiment.host.kind}, {experiment.host.process}, {experiment.engine['model']}"


def took(what: str) -> float | None:
    """How many seconds it took the last time on this machine; None where that is not remembered."""
    seconds = recall(TOOK).get(what)
    return float(seconds) if isinstance(seconds, int | float) else None


def remember_took(what: str, seconds: float) -> None:
    """Remember how many seconds it took."""
    remember(TOOK, {**recall(TOOK), what: seconds})
