"""Arms that may compute less: at most how much could be won there.

They are held against the baseline in passes of their own, at the very end: whole passes in random order, since what
such an arm leaves undone is missing in the steps after it as well. Nothing of theirs is compared with native, but that
they do as many steps of the same batches; what is measured before them stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness import signals
from harness.analysis.statistics import FEWEST
from harness.analysis.step_time import step_ns
from harness.errors import told_with_place
from harness.running.planning import Budget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.hosts.base import Host, PassResult
    from harness.records.folder import RunFolder
    from harness.running.observer import Observer

__all__ = ["Ceilings"]

SEED: Final = 5
"""Beside the seed of the measured passes, so that both are drawn independently."""


@dataclass
class Ceilings:
    """The passes of such arms.

    Attributes:
        alone: serves the workload once under one arm, in a pass of that kind, and checks that it went well.
        budget_s: what all of it may take; as many groups as an interval needs are served in any case.
        pass_s: what a pass takes.
        facts: the run's facts, which are filled here.
    """

    alone: Callable[[Any, str, str], PassResult]
    host: Host
    folder: RunFolder
    observer: Observer
    facts: dict[str, Any]
    budget_s: float
    pass_s: float

    def measure(self, baseline: str, arms: Sequence[str], groups: int, seed: int) -> None:
        """Serve groups in which the baseline and each arm has a pass; an arm that fails is left out and named."""
        passes = groups * (1 + len(arms))
        self.observer.stage("measuring what could be won at most", passes, min(passes * self.pass_s, self.budget_s))
        left, rng, budget = list(arms), np.random.default_rng([seed, SEED]), Budget(self.budget_s)
        table: dict[str, list[Any]] = {}
        for group in range(groups):
            if not left or (not budget.admits() and group >= FEWEST):
                break
            for name in rng.permutation([baseline, *left]).tolist():
                found = self._pass(name, baseline)
                if found is None:
                    left.remove(name)
                    continue
                steps = len(found["step"])
                columns: dict[str, list[Any]] = {
                    "arm": [name] * steps, "group": [group] * steps, "step": found["step"],
                    "scope_ns": found["scope.total_ns"],
                    "step_ns": step_ns({key: np.asarray(column) for key, column in found.items()}).tolist(),
                }  # fmt: skip
                for column, values in columns.items():
                    table.setdefault(column, []).extend(values)
                self.observer.advance()
        if table:
            self.folder.write_ceilings(table)

    def _pass(self, name: str, baseline: str) -> dict[str, list[Any]] | None:
        """The columns of one pass; None where a ceiling failed in it, and the engine serves on."""
        try:
            return self.alone("scoped", name, f"a pass of the ceiling {name!r}").columns
        except BaseException as error:
            signals.insist()  # a signal is not of the arm's making
            if name == baseline:
                raise
            why = told_with_place(error)
            self.facts.setdefault("no_ceiling", {})[name] = why
            self.observer.note(f"{name} tells nothing of what could be won: {why}")
            if not self.host.recover():
                raise
            return None
