"""What a flamegraph is made of: what a recording was, what it saw, and what a sample of it stands for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness.stacks import parse

if TYPE_CHECKING:
    from harness.stacks import Stacks

__all__ = ["Flame", "Recording", "read_flame"]


@dataclass(frozen=True)
class Recording:
    """What one recording of an arm was, for run.json; its stacks are in a file of their own.

    Attributes:
        rate_hz: samples a second that were asked for.
        native: whether C and C++ frames are in it.
        nonblocking: whether the engine ran on while its stacks were read.
        samples: how often py-spy looked and could read what it saw.
        errors: how often it looked and could not.
        behind_s: how far it fell behind the rate, at worst.
        seconds: how long it sampled.
        passes: how often the workload was served meanwhile.
        steps: how many steps that was.
        step_us: of the model runner without py-spy, the median of passes before and after.
        sampled_step_us: the same while it sampled.
        step_samples: how many samples were inside the model runner's step.
        scope_samples: how many of these were inside the scope.
        whole: whether the stacks of all samples were kept, and not those inside the scope alone.
    """

    rate_hz: int
    native: bool
    nonblocking: bool
    samples: int
    errors: int
    behind_s: float
    seconds: float
    passes: int
    steps: int
    step_us: float
    sampled_step_us: float
    step_samples: int
    scope_samples: int
    whole: bool

    @property
    def slow_down(self) -> float:
        """How many times as long a step took while it was sampled."""
        return self.sampled_step_us / self.step_us

    def as_dict(self) -> dict[str, Any]:
        """For run.json."""
        return asdict(self)


@dataclass(frozen=True)
class Flame:
    """One arm's recording with its stacks.

    `step_us` is the undisturbed step of the model runner. py-spy looks at even intervals of the time in which the
    engine runs, so that shares of samples are shares of time, and the samples inside the step share its time.
    """

    recording: Recording
    stacks: Stacks
    step_us: float

    @property
    def us_a_sample(self) -> float:
        """Microseconds a step that one sample stands for."""
        return self.step_us / max(self.recording.step_samples, 1)

    @property
    def scope_us(self) -> float:
        """The scope's time, a step."""
        return self.recording.scope_samples * self.us_a_sample

    def as_json(self) -> dict[str, Any]:
        """For summary.json."""
        recording = self.recording
        return {
            **recording.as_dict(),
            "slow_down": recording.slow_down,
            "us_a_sample": self.us_a_sample,
            "scope_us": self.scope_us,
        }


def read_flame(facts: dict[str, Any], folded: str, step_us: float | None) -> Flame:
    """From run.json and the folded stacks; `step_us` where the measured passes know better than the recording."""
    recording = Recording(**facts)
    return Flame(recording, parse(folded), step_us or recording.step_us)
