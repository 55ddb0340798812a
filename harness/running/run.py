"""One run from config to records: start, check, warm up, measure; whatever happens, keep what was measured."""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness.errors import HarnessError, RecordsError, told_shortly
from harness.records import machine
from harness.running.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.config.file import Loaded
    from harness.hosts.base import Host
    from harness.records.folder import RunFolder
    from harness.running.observer import Observer

__all__ = ["INTERRUPTED", "Outcome", "Run", "facts_at_end", "facts_at_start", "now"]

INTERRUPTED: Final = 130


@dataclass
class Outcome:
    """How a run ended: `complete`, `failed` or `interrupted`, with the process's exit status and a message."""

    status: str
    exit_status: int
    message: str = ""


@dataclass
class Run:
    """One run of one config. `execute` does everything; the attributes record what it did.

    Attributes:
        half_width_us: for `protocol.until`: gives the half-width of the widest interval so far, from the records.
        trace_steps: how many steps of each arm to trace after all measuring; 0 for none.
        flamegraphs: whether to sample each arm with py-spy after all measuring.
        selftest: one line on the last selftest of this machine, for the report.
        unequal: arms that did not compute what native computes, and why.
        facts: what goes into run.json besides the config.
    """

    loaded: Loaded
    host: Host
    folder: RunFolder
    observer: Observer
    command: Sequence[str] = ()
    selftest: str = ""
    half_width_us: Callable[[], float] = lambda: float("inf")
    trace_steps: int = 0
    flamegraphs: bool = False
    unequal: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def execute(self) -> Outcome:
        """Run it. Raises only RecordsError, at the very start, where the folder cannot be written."""
        self.facts = {**facts_at_start(self.loaded, self.command, self.selftest), "passes_done": 0}
        self.folder.write_run(self.facts)
        stages = Stages(
            self.loaded, self.host, self.folder, self.observer, self.half_width_us, self.unequal, self.facts,
            self.trace_steps, self.flamegraphs,
        )  # fmt: skip
        try:
            outcome = self._go(stages)
            if unrestored := stages.keep_partial():
                outcome.message += f"; these could not be put back: {', '.join(unrestored)}"
            outcome = self._record(outcome)  # before the engine is stopped, which takes long and can be interrupted
        finally:
            with contextlib.suppress(KeyboardInterrupt):
                self.host.stop()
        return outcome

    def _go(self, stages: Stages) -> Outcome:
        """All stages, and how they ended."""
        try:
            stages.go()
            return self._ended()
        except KeyboardInterrupt:
            return Outcome("interrupted", INTERRUPTED, f"interrupted; {self._done()}")
        except HarnessError as error:
            return Outcome("failed", error.exit_status, f"{error}; {self._done()}" if stages.measured else str(error))
        except Exception as error:  # noqa: BLE001 (an engine can die of anything)
            text = told_shortly(" ".join(str(error).split())[:300])
            return Outcome("failed", 1, f"the engine failed: {type(error).__name__}: {text}; {self._done()}")

    def _record(self, outcome: Outcome) -> Outcome:
        """Write how the run ended, and join its passes; gives what became of that."""
        self.facts |= facts_at_end(outcome)
        try:
            self.folder.write_run(self.facts)
            self.folder.join_passes()
        except RecordsError as error:
            return Outcome("failed", 1, f"{outcome.message or 'the run ended'}; and {error}")
        return outcome

    def _ended(self) -> Outcome:
        if self.unequal:
            reasons = "; ".join(f"arm {name!r} {reason}" for name, reason in self._unequal_arms().items())
            return Outcome("complete", 1, f"not equal to native, so not measured: {reasons}")
        return Outcome("complete", 0)

    def _unequal_arms(self) -> dict[str, str]:
        """The unequal arms that the config names; with an unequal baseline, its repetitions are unequal as well."""
        configured = {arm.name for arm in self.loaded.experiment.arms}
        return {name: reason for name, reason in self.unequal.items() if name in configured}

    def _done(self) -> str:
        done, planned = self.facts["passes_done"], self.facts.get("passes_planned")
        return f"{done} of {planned} passes were measured and kept" if planned else "nothing had been measured yet"


def facts_at_start(loaded: Loaded, command: Sequence[str], selftest: str) -> dict[str, Any]:
    """What run.json holds from the start of the run."""
    return {
        "status": "running",
        "command": list(command),
        "started": now(),
        "config_file": loaded.path.name,
        "config": loaded.experiment.model_dump(mode="json"),
        "machine": machine.describe_machine(),
        "selftest": selftest,
        "versions": machine.versions(),
    }


def facts_at_end(outcome: Outcome) -> dict[str, Any]:
    """What run.json says of how the run ended."""
    return {
        "status": outcome.status,
        "exit_status": outcome.exit_status,
        "message": outcome.message,
        "ended": now(),
        "load_average_at_end": machine.describe_machine()["load_average"],
    }


def now() -> str:
    """The time, for run.json."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
