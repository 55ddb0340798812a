"""From a config to what its engine is instrumented with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis.exposure import planted_delays_us, planted_name
from harness.instrument.instrumentation import ArmSpec, Instrumentation
from harness.seams import AA, NATIVE

if TYPE_CHECKING:
    from harness.config.file import Loaded

__all__ = ["instrument"]


def instrument(loaded: Loaded, pulse: str = "") -> Instrumentation:
    """What the config asks for, with native, the baseline once more, and the planted arms.

    Native comes first whether or not it is an arm: it is the reference for equality.

    Args:
        loaded: the config.
        pulse: the file in which the instrument puts signs of life; empty where nobody watches.
    """
    experiment, protocol = loaded.experiment, loaded.experiment.protocol
    arms = {NATIVE: ArmSpec(NATIVE, "", None)}
    for arm in experiment.arms:
        delay_ns = None if arm.delay_us is None else round(arm.delay_us * 1000)
        arms[arm.name] = ArmSpec(arm.name, loaded.whole(arm.reference), delay_ns)
    baseline = arms[experiment.baseline]
    arms[AA] = baseline._replace(name=AA)
    for delay_us in planted_delays_us(protocol.exposed):
        name = planted_name(delay_us)
        arms[name] = ArmSpec(name, baseline.reference, round(delay_us * 1000))
    return Instrumentation(
        experiment.seam, list(arms.values()), experiment.probes, experiment.scope, protocol.sync, protocol.nvtx,
        protocol.step_timeout_s, pulse,
    )  # fmt: skip
