"""The metrics of a comparison besides the probes, each by its name."""

from __future__ import annotations

from typing import Final

__all__ = ["OF_CPU", "REST", "SCOPE", "STEP", "SUM"]

SCOPE: Final = "scope"
"""The scope, with the probed calls in it, corrected for what probing costs."""
STEP: Final = "step"
"""The whole step, from bare passes: the end-to-end metric. What a step is `step_time` decides."""
REST: Final = "rest"
"""The scope's time outside all probes."""
SUM: Final = "sum"
"""All probes together."""
OF_CPU: Final = {SCOPE: "scope, CPU time", STEP: "step, CPU time"}
"""The same two by the thread's own clock: what it had of a processor, blind to waiting and to other processes."""
