"""From a config to what its engine is instrumented with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis.exposure import planted_delays_us, planted_name
from harness.instrument.instrumentation import ArmSpec, Instrumentation
from harness.seams import AA, NATIVE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.config.file import Loaded

__all__ = ["instrument"]


def instrument(
    loaded: Loaded, pulse: str = "", folders: Mapping[str, Path] | None = None, watched: Sequence[str] = ()
) -> Instrumentation:
    """What the config asks for, with native, the baseline once more, the planted arms, and last the ceilings.

    Native comes first whether or not it is an arm: it is the reference for equality.

    Args:
        loaded: the config.
        pulse: the file in which the instrument puts signs of life; empty where nobody watches.
        folders: by arm, where the files are that a patch or a tree changes (`running.changed.prepare` makes them).
        watched: functions that the engine was started with a change to.
    """
    experiment, protocol = loaded.experiment, loaded.experiment.protocol
    arms = {NATIVE: ArmSpec(NATIVE, "", None)}
    for arm in experiment.arms:
        delay_ns = None if arm.delay_us is None else round(arm.delay_us * 1000)
        folder = str(folders[arm.name]) if folders and arm.name in folders else ""
        arms[arm.name] = ArmSpec(arm.name, loaded.whole(arm.reference), delay_ns, folder, tuple(arm.only))
    ceilings = {arm.name: arms.pop(arm.name) for arm in experiment.arms if arm.ceiling}
    baseline = arms[experiment.baseline]
    arms[AA] = baseline._replace(name=AA)
    for delay_us in planted_delays_us(protocol.exposed):
        name = planted_name(delay_us)
        arms[name] = baseline._replace(name=name, delay_ns=round(delay_us * 1000))
    arms |= ceilings
    return Instrumentation(
        experiment.seam, list(arms.values()), experiment.probes, experiment.scope, protocol.sync, protocol.nvtx,
        protocol.step_timeout_s, pulse, experiment.swap, experiment.equality.left_out, watched,
    )  # fmt: skip
