"""What every host offers: start, describe, install, run a pass, stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from harness.records.agreement import Answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.instrument.calibration import Calibration
    from harness.instrument.instrumentation import Instrumentation
    from harness.instrument.pass_kinds import PassKind
    from harness.workload.requests import Request

__all__ = ["Host", "HostInfo", "PassResult"]


@dataclass(frozen=True)
class HostInfo:
    """What is measured, as the host itself says.

    `details` holds what a reader may want to know beyond the named facts (threads, block sizes, ..).
    """

    engine: str
    version: str
    runner: str
    device: str
    model: str
    vocab_size: int
    max_model_len: int
    world_size: int
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PassResult:
    """What one pass gave.

    Attributes:
        columns: one list a column, one entry a step, of the first worker; the rest is of all workers.
        tokens: the generated token ids of each request, in the requests' order; None where the pass was cut short.
        texts: what they read as, and
        logprobs: of each token the candidates, as in `Answers`; both empty where they were not asked for.
        cached_tokens: of all prompts, those that were found in the prefix cache.
        failure: {arm, step, error} of an arm that raised, or None.
        mismatches: each wrong arm's first difference from native (checking passes).
        unrestored: what could not be put back after the pass; empty unless something else patched it meanwhile.
        spans: (step, name, start_ns, stop_ns) of the first worker (tracing passes).
        other_threads: calls of probes by other threads while the scope was open, which are left out, of all workers.
        watched: of the functions that arms change, the calls in each step, before the first, by phase, and on other
            threads (checking passes).
        changed: global state that was changed during the pass, in words; it has been put back.
        found: rows of what a pass of kind "look" or "lines" saw in the first worker (`Callees.take`, `LineTimes.take`).
        processes: of the engine's other processes each its own columns, while `Host.time_elsewhere` (probed passes).
        not_reset: why the engine cannot be put in its first state after the pass; empty where it can (checking passes).
    """

    columns: dict[str, list[Any]]
    tokens: list[list[int]] | None
    failure: dict[str, Any] | None
    mismatches: list[dict[str, Any]]
    unrestored: list[str]
    spans: list[list[Any]] = field(default_factory=list)
    found: list[dict[str, Any]] = field(default_factory=list)
    other_threads: int = 0
    watched: dict[str, Any] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    not_reset: str = ""
    texts: list[str] = field(default_factory=list)
    logprobs: list[list[Any]] = field(default_factory=list)
    cached_tokens: int = 0
    processes: dict[str, dict[str, list[Any]]] = field(default_factory=dict)

    @property
    def answers(self) -> Answers | None:
        """All that was answered; None where the pass was cut short."""
        return None if self.tokens is None else Answers(self.tokens, self.texts, self.logprobs)


class Host(Protocol):
    """A system under measurement. Methods are called in this order; `stop` always.

    `engine_args` and `environment` are what the engine is started with, for run.json.
    """

    engine_args: dict[str, Any]
    environment: dict[str, str]

    def start(self) -> HostInfo:
        """Start the engine."""
        ...

    def install(self, instrumentation: Instrumentation) -> Calibration:
        """Find every target and load every arm, and measure what a probe costs there."""
        ...

    def switched(self) -> dict[str, Any]:
        """What was installed last: the functions that are switched, and how (`Instrument.describe`)."""
        ...

    def focus(self, scope: str, probes: Sequence[str]) -> None:
        """Time this scope and these probes from the next pass on."""
        ...

    def there(self, names: Sequence[str]) -> list[str]:
        """Of these full names those that lead to a function in the (first) model runner's process."""
        ...

    def find(self, pattern: str) -> list[str]:
        """The functions that a name or a wildcard names there (`instrument.finding.find_functions`).

        Raises ConfigError where it names none.
        """
        ...

    def look_into(self, names: Sequence[str], depth: int) -> None:
        """Open these functions in passes of kind "look": what they call is told, down to a depth.

        Raises ConfigError where one is no function that is written in Python.
        """
        ...

    def time_lines(self, names: Sequence[str]) -> None:
        """Time these functions line by line in passes of kind "lines". Raises likewise."""
        ...

    def time_elsewhere(self, wanted: bool) -> dict[str, Any]:
        """From now on time, or no longer, the engine's other processes in probed passes.

        Gives by process the phases that are timed there, the function that is a turn, and what a probe costs; workers
        beyond the first have those of the first, and are not among them.
        """
        ...

    def checked(self) -> dict[str, Any]:
        """How much checking passes compare, and what they leave out."""
        ...

    def fingerprint(self) -> list[list[Any]]:
        """What native served in its last checking pass: step, field and text of each leaf, of all workers."""
        ...

    def recover(self) -> bool:
        """An exception ended a pass: give its requests up; whether the engine can serve on."""
        ...

    def run_pass(
        self, kind: PassKind, schedule: Sequence[int], requests: Sequence[Request], probed: Sequence[bool] = ()
    ) -> PassResult:
        """Serve all requests once, step i under arm `schedule[i]`, and in a mixed pass probed if `probed[i]`.

        Raises whatever the engine raised; `partial` then gives what was measured up to there.
        """
        ...

    def admit_profiler(self) -> int:
        """Let a profiler attach to the process that runs the (first) model runner; the process's id."""
        ...

    def dismiss_profiler(self) -> None:
        """Take that leave back."""
        ...

    def partial(self) -> PassResult | None:
        """End a pass that was cut short: put everything back and give its finished steps, where that can be had."""
        ...

    def stop(self) -> None:
        """Stop the engine; leave no process behind."""
        ...
