"""Passes of a profile beside the measured ones: other processes, what phases leave behind, lines, what shows."""

from __future__ import annotations

import contextlib
import statistics
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from harness.instrument.anatomy import OUTPUT, TURN
from harness.instrument.instrumentation import ArmSpec
from harness.instrument.leftovers import CALLS, COUNTED, OBJECTS
from harness.instrument.planting import PLANT_BASE_NS
from harness.running.planning import Budget
from harness.running.schedule import complete_blocks
from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from harness.config.profile import Profile
    from harness.hosts.base import PassResult
    from harness.instrument.instrumentation import Instrumentation
    from harness.instrument.pass_kinds import PassKind
    from harness.records.folder import RunFolder
    from harness.running.observer import Observer

__all__ = ["Behind", "Profiling", "behind_phases"]

SEED: Final = 7
"""Beside the seed of the measured passes, so that both are drawn independently."""
LINE_PASSES: Final = 2
PROCESS_PASSES: Final = (5, 20)
"""At least and at most: in which the engine's other processes are timed."""
FEWEST_GROUPS: Final = 2
MOST_GROUPS: Final = 30
SHARE: Final = 0.1
"""Of a usual turn: what is planted in each, about."""
LEAST_NS: Final = 5000
"""Of a delay: a shorter one is not much longer than what every planted delay waits in addition."""


class Behind(NamedTuple):
    """A delay behind a phase.

    Attributes:
        name: of the phase's function, in full.
        delay_ns: behind each call.
        planted_ns: what that makes in each step but the last, whose end nobody sees.
    """

    name: str
    delay_ns: int
    planted_ns: tuple[int, ...]


def behind_phases(columns: Mapping[str, Sequence[Any]], phases: Mapping[str, Mapping[str, Any]]) -> list[Behind]:
    """The delays: one for each phase of the turn and the output that a usual step calls.

    Args:
        columns: of a probed pass.
        phases: as run.json has them.
    """
    turns_ns = [after - before for before, after in pairwise(columns["begin_ns"])]
    found = []
    for name, about in phases.items():
        if about["section"] not in (TURN, OUTPUT) or about.get("within") or not turns_ns:
            continue
        calls = columns[f"{name}.calls"][:-1]
        usual = statistics.median(calls)
        if usual >= 1:
            delay_ns = max(round(SHARE * statistics.median(turns_ns) / usual), LEAST_NS)
            found.append(Behind(name, delay_ns, tuple(count * (delay_ns + PLANT_BASE_NS) for count in calls)))
    return found


@dataclass
class Profiling:
    """These passes of one run.

    Attributes:
        serve: serves the workload once, in a pass of that kind with step i under the i-th arm of these, and checks that
            it went well, did the same steps and gave native's tokens; the third argument names the pass in errors.
        install: puts another instrumentation in the place of the one that is installed.
        time_elsewhere: of the host.
        facts: the run's facts, which are filled here.
        budget_s: what the passes with delays may take; two groups are served in any case.
        pass_s: what a pass takes.
    """

    serve: Callable[[PassKind, Sequence[int], str], PassResult]
    install: Callable[[Instrumentation], object]
    time_elsewhere: Callable[[bool], dict[str, Any]]
    folder: RunFolder
    observer: Observer
    facts: dict[str, Any]
    budget_s: float
    pass_s: float

    def go(self, profile: Profile, instrumentation: Instrumentation, seed: int) -> None:
        """Whatever the profile asks for; delays come last, since they need arms of their own."""
        self.processes()
        if profile.memory:
            self.memory()
        if profile.lines:
            self.lines()
        if profile.exposed:
            self.exposed(instrumentation, seed)

    def processes(self) -> None:
        """The phases in the engine's other processes, each by its own clock; nothing where it has no other."""
        details = self.facts["host"]["details"]
        if details.get("process") != "subprocess" and details.get("core_in_reach", True):
            return
        try:
            described = self.time_elsewhere(True)
            self.facts["anatomy"]["processes"] = described
            self._processes({name: str(about["turn"]) for name, about in described.items()})
        finally:
            self.time_elsewhere(False)

    def _processes(self, turns: Mapping[str, str]) -> None:
        fewest, most = PROCESS_PASSES
        self.observer.stage("timing the other processes", most, most * self.pass_s)
        self.serve("probed", [0], "a pass that warms up other processes")
        budget = Budget(self.budget_s)
        with _written(self.folder.write_processes) as rows:
            for group in range(most):
                if not budget.admits() and group >= fewest:
                    break
                found = self.serve("probed", [0], "a pass that times other processes").processes
                for process, columns in found.items():
                    rows += _by_phase(group, process, columns, turns.get(process, ""))
                self.observer.advance()

    def memory(self) -> None:
        """Objects that each phase leaves behind: of each kind a pass that warms up, and one that counts."""
        self.observer.stage("counting the objects that phases leave", 2 * len(COUNTED), 2 * len(COUNTED) * self.pass_s)
        kinds: tuple[PassKind, ...] = ("blocks", "tracked")
        with _written(self.folder.write_memory) as rows:
            for kind in kinds:
                for _ in range(2):
                    columns = self.serve(kind, [0], f"a pass that counts objects ({kind})").columns
                    self.observer.advance()
                rows += [
                    {"step": step, "counted": kind, "name": name, "calls": calls, "objects": objects}
                    for name in self._phases
                    for step, calls, objects in zip(
                        columns["step"], columns[f"{name}.{CALLS}"], columns[f"{name}.{OBJECTS}"], strict=True
                    )
                    if calls
                ]

    def lines(self) -> None:
        """The functions line by line: the mean of a few passes."""
        self.observer.stage("timing lines", LINE_PASSES, LINE_PASSES * self.pass_s)
        sums: dict[tuple[str, int], dict[str, Any]] = {}
        for _ in range(LINE_PASSES):
            for row in self.serve("lines", [0], "a pass that times lines").found:
                into = sums.setdefault((row["name"], row["line"]), {**row, "hits": 0.0, "ns": 0.0})
                into["hits"] += row["hits"] / LINE_PASSES
                into["ns"] += row["ns"] / LINE_PASSES
            self.observer.advance()
        with _written(self.folder.write_lines) as rows:
            rows += sums.values()

    def exposed(self, instrumentation: Instrumentation, seed: int) -> None:
        """How much longer turns take with a delay behind each phase: which phase is drawn anew for each step."""
        delays = behind_phases(self.serve("probed", [0], "a pass before delays").columns, self._phases)
        if not delays:
            self.observer.note("no phase is called in every turn, so nothing can be said of what shows")
            return
        arms = [ArmSpec(NATIVE, "", None), *(ArmSpec(each.name, "", each.delay_ns, at=each.name) for each in delays)]
        self.install(replace(instrumentation, arms=arms, probes=()))
        self.facts["anatomy"]["delays_ns"] = {each.name: each.delay_ns for each in delays}
        # Every other turn has no delay: what one makes longer is told by what turns are without.
        drawn = [0] * len(delays) + list(range(1, len(arms)))
        group_s = len(drawn) * self.pass_s * (1 + SHARE / 2)
        groups = min(max(int(self.budget_s / group_s), FEWEST_GROUPS), MOST_GROUPS)
        self.observer.stage("planting delays behind phases", groups * len(drawn), groups * group_s)
        self.serve("bare", [0], "a pass that warms up for delays")  # every phase is called in another way from now on
        budget = Budget(self.budget_s)
        steps = len(delays[0].planted_ns) + 1
        with _written(self.folder.write_exposed) as rows:
            for group, passes in enumerate(complete_blocks(len(drawn), steps, groups, [seed, SEED])):
                if not budget.admits() and group >= FEWEST_GROUPS:
                    break
                for place, chosen in enumerate(passes.tolist()):
                    put = [drawn[which] for which in chosen]
                    begin_ns = self.serve("bare", put, "a pass with delays").columns["begin_ns"]
                    rows += [
                        {
                            "group": group, "pass": group * len(passes) + place, "step": step, "name": arms[arm].at,
                            "turn_ns": after - before, "planted_ns": delays[arm - 1].planted_ns[step] if arm else 0,
                        }
                        for step, (arm, (before, after)) in enumerate(zip(put[:-1], pairwise(begin_ns), strict=True))
                    ]  # fmt: skip
                    self.observer.advance()

    @property
    def _phases(self) -> Mapping[str, Mapping[str, Any]]:
        phases: Mapping[str, Mapping[str, Any]] = self.facts["anatomy"]["phases"]
        return phases


def _by_phase(group: int, process: str, columns: Mapping[str, Sequence[Any]], turn: str) -> list[dict[str, Any]]:
    """A row a (step, phase) that was called in it.

    What the instrument did in the middle of a turn is taken out of the function that is the turn.
    """
    rows = []
    names = [name.removesuffix(".self_ns") for name in columns if name.endswith(".self_ns")]
    for name in names:
        if name == "scope":
            continue
        beside_ns = [0] * len(columns["step"])
        if name == turn:
            of_turns = zip(columns[f"{name}.total_ns"], columns["turn_ns"], strict=True)
            beside_ns = [total - of_turn for total, of_turn in of_turns]
        each = (columns[key] for key in ("step", f"{name}.calls", f"{name}.nested_calls", f"{name}.self_ns"))
        for step, calls, nested, self_ns, beside in zip(*each, beside_ns, strict=True):
            if calls:
                rows.append(
                    {"group": group, "process": process, "step": step, "name": name, "calls": calls,
                     "nested_calls": nested, "self_ns": self_ns - beside}
                )  # fmt: skip
    return rows


@contextlib.contextmanager
def _written(write: Callable[[dict[str, list[Any]]], None]) -> Iterator[list[dict[str, Any]]]:
    """Rows that are written as a table in the end, also where something ends it early."""
    rows: list[dict[str, Any]] = []
    try:
        yield rows
    finally:
        if rows:
            write({key: [row[key] for row in rows] for key in rows[0]})
