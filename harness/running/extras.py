"""Passes of single arms beside the measured ones: PyTorch's work is counted, steps are traced, stacks are sampled."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from harness.analysis.statistics import FEWEST
from harness.errors import HostError, ProfilerError
from harness.instrument.counters import COUNTERS, SEEN_CALLS, TRACKED
from harness.instrument.device_columns import DEVICE_COLUMNS
from harness.records.trace import chrome_trace
from harness.running.planning import Budget, counting_s
from harness.running.schedule import complete_blocks
from harness.sampling.flames import PLAIN_SHARE, bearable_rate, record
from harness.sampling.stacks import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness.config.experiment import Flamegraph
    from harness.hosts.base import Host, PassResult
    from harness.records.folder import RunFolder
    from harness.running.observer import Observer

__all__ = ["DEVICE_PASSES", "Extras", "profiled"]

PROBING_SEED: Final = 1
"""Beside the seed of the measured passes, so that both are drawn independently."""
DEVICE_PASSES: Final = 6
"""Passes of each arm, one after the other; their spread gives the interval."""


@contextlib.contextmanager
def profiled(host: Host) -> Iterator[Callable[[], int]]:
    """Gives what admits a profiler to the engine's process and tells its id; afterwards none is admitted any more."""
    try:
        yield host.admit_profiler
    finally:
        with contextlib.suppress(HostError):  # an engine that is gone admits nobody
            host.dismiss_profiler()


@dataclass
class Extras:
    """What is written besides the measured passes.

    Attributes:
        alone: serves the workload once under one arm, in a pass of that kind, and checks that it went well; the third
            argument names the pass in errors, and a fourth says which steps are probed.
        facts: the run's facts, which are filled here.
        budget_s: what the passes of each kind may take. Arms beyond it are left out, and the facts name them.
            Flamegraphs have `flamegraph.seconds` instead.
        pass_s: what a pass takes.
    """

    alone: Callable[..., PassResult]
    folder: RunFolder
    observer: Observer
    facts: dict[str, Any]
    budget_s: float
    pass_s: float

    def _within_budget(self, what: str, arms: Sequence[str]) -> Iterator[str]:
        """The arms, one by one while there is time; those that are left out are named in `facts`."""
        budget = Budget(self.budget_s)
        for place, name in enumerate(arms):
            if not budget.admits():
                self.facts[f"not_{what}"] = list(arms[place:])
                return
            yield name
            self.observer.advance()

    def count(self, arms: Sequence[str]) -> None:
        """What each arm makes PyTorch do; nothing is timed meanwhile."""
        seconds = counting_s(len(arms), self.pass_s, self.budget_s)
        self.observer.stage("counting what each arm makes PyTorch do", len(arms), seconds)
        table: dict[str, list[Any]] = {}
        for name in self._within_budget("counted", arms):
            result = self.alone("count", name, f"the counting pass of arm {name!r}")
            columns = {
                column: values
                for column, values in result.columns.items()
                if column in (*COUNTERS, TRACKED) or column.endswith(f".{SEEN_CALLS}")
            }
            columns = {"arm": [name] * len(result.columns["step"]), "step": result.columns["step"], **columns}
            for column, values in columns.items():
                table.setdefault(column, []).extend(values)
        self.folder.write_counters(table)

    def probing(self, arm: str, steps: int, groups: int, seed: int, budget_s: float) -> None:
        """The scope of one arm with its probes and without, step by step as drawn: what the probes cost in it."""
        self.observer.stage("measuring what probes cost", 2 * groups, min(2 * groups * self.pass_s, budget_s))
        table: dict[str, list[Any]] = {}
        budget = Budget(budget_s)
        for group, passes in enumerate(complete_blocks(2, steps, groups, [seed, PROBING_SEED])):
            if not budget.admits() and group >= FEWEST:
                break
            for chosen in passes:
                probed = [bool(which) for which in chosen]
                found = self.alone("probing", arm, f"a pass for the cost of probes in arm {arm!r}", probed).columns
                calls = [name for name in found if name.endswith(".calls") and name != "scope.calls"]
                columns: dict[str, list[Any]] = {
                    "arm": [arm] * steps, "group": [group] * steps, "step": found["step"], "probed": probed,
                    "scope_ns": found["scope.total_ns"],
                    "calls": [sum(of_step) for of_step in zip(*(found[name] for name in calls), strict=True)],
                }  # fmt: skip
                for column, values in columns.items():
                    table.setdefault(column, []).extend(values)
                self.observer.advance()
        self.folder.write_probing(table)

    def device(self, arms: Sequence[str]) -> None:
        """The device's own clock at the ends of scope and step; the host's clock is not read meanwhile."""
        passes = DEVICE_PASSES * len(arms)
        self.observer.stage("reading the device's clock", passes, passes * self.pass_s)
        table: dict[str, list[Any]] = {}
        budget = Budget(self.budget_s)
        for index in range(DEVICE_PASSES):
            if not budget.admits() and index >= 2:  # two give an interval
                break
            for name in arms:
                result = self.alone("device", name, f"a pass of arm {name!r} by the device's clock")
                steps = result.columns["step"]
                columns: dict[str, list[Any]] = {
                    "arm": [name] * len(steps), "pass": [index] * len(steps), "step": steps,
                    **{column: result.columns[column] for column in DEVICE_COLUMNS},
                }  # fmt: skip
                for column, values in columns.items():
                    table.setdefault(column, []).extend(values)
                self.observer.advance()
        self.folder.write_device(table)

    def trace(self, arms: Sequence[str], steps: int) -> None:
        """The first steps of each arm as they went."""
        seconds = min(len(arms) * self.pass_s, self.budget_s)
        self.observer.stage("tracing a few steps of each arm", len(arms), seconds)
        spans = {}
        for name in self._within_budget("traced", arms):
            spans[name] = self.alone("trace", name, f"the tracing pass of arm {name!r}").spans
        self.folder.write_text("trace.json", json.dumps(chrome_trace(spans, steps)))

    def sample(self, arms: Sequence[str], admit_profiler: Callable[[], int], settings: Flamegraph, scope: str) -> None:
        """Each arm under py-spy; if that fails, the run still ends well, and its notes say why."""
        seconds = (settings.seconds * (1 + PLAIN_SHARE) + self.pass_s) * len(arms)
        self.observer.stage("flamegraphs: each arm under py-spy", len(arms), seconds)
        self.facts["flamegraphs"] = {}

        def serving(name: str) -> Callable[[], PassResult]:
            return lambda: self.alone("bare", name, f"a pass of arm {name!r} under py-spy")

        try:
            pid = admit_profiler()
            rate_hz = settings.rate_hz or bearable_rate(pid, settings, serving(arms[0]))
            settings = settings.model_copy(update={"rate_hz": rate_hz})
            for name in arms:
                recording, stacks = record(pid, settings, scope, serving(name))
                self.folder.write_text(f"flamegraphs/{name}.folded", fold(stacks))
                self.facts["flamegraphs"][name] = recording.as_dict()
                self.observer.advance()
        except (ProfilerError, HostError) as error:  # everything else has been measured by now
            self.facts["flamegraphs_missing"] = str(error)
