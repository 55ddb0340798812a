"""One run from config to records: start, check, warm up, measure; whatever happens, keep what was measured."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness import signals
from harness.errors import GrainError, HarnessError, told
from harness.records import machine
from harness.running.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from harness.config.file import Loaded
    from harness.config.launched import Launched
    from harness.hosts.base import Host
    from harness.records.folder import RunFolder
    from harness.running.baton import Baton
    from harness.running.observer import Observer
    from harness.running.shared import SharedEngine

__all__ = ["INTERRUPTED", "Outcome", "Run", "facts_at_end", "facts_at_start", "now"]

INTERRUPTED: Final = 130


@dataclass
class Outcome:
    """How a run ended: `complete`, `failed` or `interrupted`, with the process's exit status and a message.

    `refused` is why a change cannot be switched between the steps of this engine; empty where nothing was refused.
    """

    status: str
    exit_status: int
    message: str = ""
    refused: str = ""


@dataclass
class Run:
    """One run of one config. `execute` does everything; the attributes record what it did.

    Attributes:
        half_width_us: for `protocol.until`: gives the half-width of the widest interval so far, from the records.
        trace_steps: how many steps of each arm to trace after all measuring; 0 for none.
        flamegraphs: whether to sample each arm with py-spy after all measuring.
        pulse: the file in which the instrument puts signs of life; empty where nobody watches.
        folders: by arm, the files that it changes, where it is a patch or a tree.
        changes: by arm, what is known of these, for run.json.
        launched: what this is of a run at launch grain; None for a run of its own.
        baton: where other launches' engines stand beside this one's, says when it is its turn.
        shared: the engine that this run takes over, if it has been started, and leaves; None to start and stop its own.
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
    pulse: str = ""
    folders: Mapping[str, Path] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    launched: Launched | None = None
    shared: SharedEngine | None = None
    baton: Baton | None = None
    unequal: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def execute(self) -> Outcome:
        """Run it. Raises only RecordsError, at the very start, where the folder cannot be written.

        The first error is the one that is told, and how the run ended is written before the engine is stopped, which
        takes long and can be interrupted.
        """
        self.facts = {**facts_at_start(self.loaded, self.command, self.selftest), "passes_done": 0}
        if self.changes:
            self.facts["changes"] = dict(self.changes)
        if self.launched is not None:
            self.facts |= {"arm": self.launched.arm, "block": self.launched.block}
        self.folder.write_run(self.facts)
        stages = Stages(
            self.loaded, self.host, self.folder, self.observer, self.half_width_us, self.unequal, self.facts,
            self.trace_steps, self.flamegraphs, self.pulse, self.folders, self.launched, self.shared, self.baton,
        )  # fmt: skip
        with signals.heeded():
            try:
                outcome = self._go(stages)
                self._keep(stages, outcome)
                with signals.deferred():
                    outcome = self._record(outcome)
            finally:
                self._stop()
        return outcome

    def _go(self, stages: Stages) -> Outcome:
        """All stages, and how they ended, whatever that was."""
        try:
            stages.go()
            return self._ended()
        except BaseException as error:  # noqa: BLE001 (an engine can die of anything)
            with signals.deferred():
                return self._failed(stages, error)

    def _failed(self, stages: Stages, error: BaseException) -> Outcome:
        # Where a connection is lost, writing to the terminal can fail before its signal is heeded.
        if isinstance(error, KeyboardInterrupt) or (isinstance(error, OSError) and signals.came()):
            return Outcome("interrupted", INTERRUPTED, f"interrupted; {self._done()}")
        if isinstance(error, GrainError):
            return Outcome("failed", error.exit_status, str(error), refused=str(error))
        if isinstance(error, HarnessError):
            return Outcome("failed", error.exit_status, f"{error}; {self._done()}" if stages.measured else str(error))
        return Outcome("failed", 1, f"the engine failed: {told(error)}; {self._done()}")

    def _keep(self, stages: Stages, outcome: Outcome) -> None:
        """Keep the pass that was cut short; what goes wrong with that does not hide how the run ended."""
        try:
            if unrestored := stages.keep_partial():
                outcome.message += f"; these could not be put back: {', '.join(unrestored)}"
        except BaseException as error:  # noqa: BLE001 (another Ctrl-C is among them)
            lost = "the pass that was cut short could not be kept"
            outcome.message = "; ".join(filter(None, [outcome.message, f"{lost}: {told(error)}"]))

    def _stop(self) -> None:
        if self.shared is not None:
            return
        try:
            self.host.stop()
        except KeyboardInterrupt:
            pass  # the run had ended before
        except BaseException as error:  # noqa: BLE001 (whatever the engine does while it ends; the run had ended before)
            self.observer.note(f"the engine did not stop well: {told(error)}")

    def _record(self, outcome: Outcome) -> Outcome:
        """Write how the run ended, and join its passes; gives what became of that."""
        self.facts |= facts_at_end(outcome)
        try:
            self.folder.write_run(self.facts)
            self.folder.join_passes()
        except Exception as error:  # noqa: BLE001 (the ending must be told, whatever the writing of it does)
            why = str(error) if isinstance(error, HarnessError) else told(error)
            return Outcome("failed", 1, f"{outcome.message or 'the run ended'}; and {why}")
        return outcome

    def _ended(self) -> Outcome:
        if self.unequal:
            reasons = "; ".join(f"arm {name!r} {reason}" for name, reason in self._unequal_arms().items())
            return Outcome("complete", 1, f"not equal to native, so without figures: {reasons}")
        return Outcome("complete", 0)

    def _unequal_arms(self) -> dict[str, str]:
        """The unequal arms that the config names; with an unequal baseline, its repetitions are unequal as well."""
        configured = {arm.name for arm in self.loaded.experiment.arms}
        return {name: reason for name, reason in self.unequal.items() if name in configured} or self.unequal

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


def seen_to_its_end(work: Callable[[], Outcome], record: Callable[[Outcome], None]) -> Outcome:
    """Carry out work that starts other processes, and record how it ended, whatever that was.

    Args:
        work: gives how it ended, or raises anything.
        record: writes that; no signal cuts it short.
    """
    with signals.heeded():
        try:
            outcome = work()
        except BaseException as error:  # noqa: BLE001 (how it ended is written, whatever that was)
            with signals.deferred():
                if isinstance(error, KeyboardInterrupt):
                    outcome = Outcome("interrupted", INTERRUPTED, "interrupted")
                else:
                    outcome = Outcome("failed", 1, str(error) if isinstance(error, HarnessError) else told(error))
        with signals.deferred():
            record(outcome)
    return outcome


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
