"""What a flamegraph is made of: a recording, what it saw, and the time that a sample of it stands for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.config.experiment import Flamegraph
    from harness.sampling.pyspy import Sampled
    from harness.sampling.stacks import Stacks

__all__ = ["Flame", "Recording", "flame_of_arm", "flame_of_process"]


@dataclass(frozen=True)
class Recording:
    """The facts of one recording of an arm, for run.json; its stacks are in a file of their own.

    Attributes:
        rate_hz: looks a second that were asked for.
        native: whether C and C++ frames are in it.
        nonblocking: whether the engine ran on while its stacks were read.
        samples: stacks that were seen; each look gives one of every busy thread, and none of an idle process.
        errors: how often py-spy looked and could not read what it saw.
        behind_s: how far it fell behind the rate, at worst.
        seconds: how long it sampled.
        scope_samples: how many stacks were inside the scope.
        whole: whether the stacks of all samples were kept, and not those inside the scope alone.
        step_samples: how many stacks were inside the model runner's step, as harness wraps it.
        passes: how often the workload was served meanwhile; 0 for an engine that harness did not start.
        steps: how many steps that was.
        step_us: of the model runner without py-spy, the median of passes before and after; 0 where it was not timed.
        sampled_step_us: the same while it sampled.
    """

    rate_hz: int
    native: bool
    nonblocking: bool
    samples: int
    errors: int
    behind_s: float
    seconds: float
    scope_samples: int
    whole: bool
    step_samples: int = 0
    passes: int = 0
    steps: int = 0
    step_us: float = 0.0
    sampled_step_us: float = 0.0

    @classmethod
    def of(cls, settings: Flamegraph, sampled: Sampled, scope_samples: int, **steps: Any) -> Recording:
        """What py-spy was asked for and what it saw; `steps` are the facts on steps, where they are known."""
        return cls(
            rate_hz=settings.rate,
            native=settings.native,
            nonblocking=settings.nonblocking,
            samples=sampled.samples,
            errors=sampled.errors,
            behind_s=sampled.behind_s,
            seconds=sampled.seconds,
            scope_samples=scope_samples,
            whole=settings.whole,
            **steps,
        )

    @property
    def a_look_s(self) -> float:
        """Seconds of the wall clock that one look stands for: looks come at even intervals on average."""
        looks = self.rate_hz * (self.seconds - self.behind_s) - self.errors
        return self.seconds / max(looks, 1)

    @property
    def slow_down(self) -> float | None:
        """How many times as long a step took while it was sampled; None where steps were not timed."""
        return self.sampled_step_us / self.step_us if self.step_us else None

    def as_dict(self) -> dict[str, Any]:
        """For run.json."""
        return asdict(self)


@dataclass(frozen=True)
class Flame:
    """A recording with its stacks.

    Attributes:
        recording: how it was made.
        stacks: what was seen, and how often.
        a_sample: the time that one sample stands for, in `unit`.
        unit: `us a step`; `ms a second` where steps are not known.
    """

    recording: Recording
    stacks: Stacks
    a_sample: float
    unit: str

    @property
    def scope_time(self) -> float:
        """The scope's time, in `unit`."""
        return self.recording.scope_samples * self.a_sample

    def as_json(self) -> dict[str, Any]:
        """For summary.json."""
        return {
            **self.recording.as_dict(),
            "slow_down": self.recording.slow_down,
            "unit": self.unit,
            "a_sample": self.a_sample,
            "scope_time": self.scope_time,
        }


def flame_of_arm(recording: Recording, stacks: Stacks, step_us: float | None = None) -> Flame:
    """An arm's flame, in us a step: sample counts times the sampling interval, corrected for sampling's slow-down.

    `step_us` is given where the measured passes know the step's time better than the recording's own.
    """
    undisturbed = (step_us or recording.step_us) / max(recording.sampled_step_us, 1e-9)
    return Flame(recording, stacks, recording.a_look_s * 1e6 / max(recording.steps, 1) * undisturbed, "us a step")


def flame_of_process(recording: Recording, stacks: Stacks) -> Flame:
    """The flame of a process of which only the stacks are known: busy time a second of the wall clock, all threads."""
    return Flame(recording, stacks, recording.a_look_s * 1e3 / max(recording.seconds, 1e-9), "ms a second")
