"""What a config may say of how it is compared, measured and sampled."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.config.numbers import Count, Delay, Groups, Launches, Micros, Rate, Seconds, Seed
from harness.config.strict import Strict
from harness.errors import in_line

__all__ = ["Equality", "Flamegraph", "Protocol", "Until"]

Exposed = Annotated[Delay, Field(ge=0.1)]
"""A delay that the loop is looked for: names of arms have it with six digits, and clocks do not resolve less."""
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.\w+|\[[^\[\]\s]+\])*$", max_length=300)]
"""Of a fingerprint: `context.attn_metadata[*].scheduler_metadata`."""


class Until(Strict):
    """Measure until the intervals are narrow enough, at looks that are fixed beforehand and share the error rate.

    Attributes:
        half_width_us: of the interval of every difference in the scope, in us a step, as the report prints it.
        max_seconds: about how long to measure at most.
    """

    half_width_us: Micros
    max_seconds: Seconds


class Protocol(Strict):
    """How it is measured.

    Attributes:
        groups: in each of them every step runs once under every arm; the unit of resampling, so at least 2.
        seconds: instead, about how long to measure; the number of groups is worked out from the warm-up, and so is
            fixed before anything is measured.
        until: instead, until all intervals are narrow enough; at launch grain blocks of launches are added until then.
        launches: how often the engine is started, each time with another hash seed and environment size, and measured
            for as long as the other keys say; intervals then cover the spread between launches.
        side_by_side: at launch grain, start the engines of a block side by side, and have them take turns of some
            steps; null does so on a CPU. They run one after another where they do not fit into memory together.
        warmup: unmeasured passes of each arm alone before that; the first also compares its tokens.
        order: `random` draws each step's order of arms anew; `rotate` goes round in the order of the config.
        grain: where arms change: between steps, passes, or launches of the engine. `auto`, which is taken where there
            is no seam, is `step` if all of a change can be switched in a living engine, and else `launch`.
        seed: of the order.
        confidence: of all intervals of a report together.
        margin: a difference within this share of the baseline's scope counts as equivalent.
        drift: which level must not shift by more than the margin during the run, or verdicts are withheld: of the
            scope's share of the step (in which changes of the machine's speed cancel), or of the scope itself.
        counters: also count what each arm makes PyTorch do, in a pass of its own for each.
        exposed: also plant delays behind the baseline, to see how much of the seam's time shows up in the engine's
            loop: true for 5 and 20 us, or the delays in microseconds, ascending. They must stand out from the loop's
            noise, so on a GPU they are a good part of a step.
        sync: have each probed call wait for the device before its clock stops: the issue's own way of timing, which
            adds the device's time and changes what is measured. Without it no timer ever waits for a device.
        nvtx: put NVTX ranges around the scope and each arm's function, for Nsight; their cost is in every arm alike.
        step_timeout_s: how long an arm may take for a step, or to be loaded, until it is interrupted.
        bare: measure as many passes again in which only the step is timed; the end-to-end verdict comes from them.
    """

    groups: Groups = 20
    seconds: Seconds | None = None
    until: Until | None = None
    launches: Launches = 1
    side_by_side: bool | None = None
    warmup: Count = 1
    order: Literal["random", "rotate"] = "random"
    grain: Literal["auto", "step", "pass", "launch"] = "step"
    seed: Seed = 0
    confidence: Annotated[float, Field(gt=0.5, le=0.99999)] = 0.95
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.01
    bare: bool = True
    drift: Literal["share", "level"] = "share"
    counters: bool = True
    exposed: bool | Annotated[list[Exposed], Field(min_length=1, max_length=20)] = False
    sync: bool = False
    nvtx: bool = False
    step_timeout_s: Seconds = 60.0

    @property
    def between(self) -> Literal["step", "pass"]:
        """Where arms change within one engine."""
        return "pass" if self.grain == "pass" else "step"

    @model_validator(mode="after")
    def _consistent(self) -> Protocol:
        if self.exposed and not self.bare:
            raise ValueError("exposed needs bare steps: leave bare at true")
        if self.exposed and self.grain in ("auto", "step") and self.order == "rotate":
            raise ValueError("exposed needs order: random, which tells a delay from what follows it")
        if isinstance(self.exposed, list) and (
            sorted(self.exposed) != self.exposed or len({f"{delay:g}" for delay in self.exposed}) < len(self.exposed)
        ):
            raise ValueError("exposed: write each delay once, from the shortest to the longest, to six digits")
        if "groups" in self.model_fields_set and not (self.until is None and self.seconds is None):
            other = "until" if self.seconds is None else "seconds"
            raise ValueError(f"groups and {other} both say how long to measure: leave one out")
        if self.until is not None and self.seconds is not None:
            raise ValueError("until and seconds both say how long to measure: leave one out")
        if self.until is not None and self.launches > 1:
            raise ValueError("until and launches both say how much to measure: leave launches out")
        if self.launches == 2:
            raise ValueError("launches: 2 launches give no interval; take 3 or more (5 or more for narrow ones)")
        return self


class Equality(Strict):
    """What of a step's fingerprint is not compared; the report prints it.

    Attributes:
        ignore: fields that are no part of what an arm must compute.
        by_design: fields in which arms differ on purpose.
    """

    ignore: Annotated[list[FieldName], Field(max_length=100)] = Field(default_factory=list)
    by_design: Annotated[list[FieldName], Field(max_length=100)] = Field(default_factory=list)

    @property
    def left_out(self) -> tuple[str, ...]:
        """All fields that are not compared."""
        return (*self.ignore, *self.by_design)

    @model_validator(mode="after")
    def _each_once(self) -> Equality:
        if twice := sorted({name for name in self.left_out if self.left_out.count(name) > 1}):
            raise ValueError(f"{in_line(', '.join(twice), 100)} is named twice")
        return self


class Flamegraph(Strict):
    """How py-spy samples, where flamegraphs are asked for.

    Attributes:
        seconds: about how long each arm is sampled.
        rate_hz: samples a second; null takes up to 200, and up to 50 with native frames, which take long to read: as
            many as a short trial finds to make a step at most twice as long. A rate at which py-spy falls behind leaves
            the engine hardly any time to run between two samples.
        native: also frames of C and C++.
        whole: show all that the process did, and not the scope alone.
        nonblocking: let the engine run on while its stacks are read, which tears them; only where stopping it for each
            sample is out of the question.
    """

    seconds: Seconds = 15.0
    rate_hz: Rate | None = None
    native: bool = False
    whole: bool = False
    nonblocking: bool = False

    @property
    def rate(self) -> int:
        """Samples a second; the highest rate where the config gives none."""
        return self.rate_hz or (50 if self.native else 200)
