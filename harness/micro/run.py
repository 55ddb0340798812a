"""A micro run from start to end: row after row, each written at once; whatever happens, what was measured is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import signals
from harness.errors import HarnessError, told
from harness.micro.benchmarks import build_rows, device_of, has_gpu
from harness.micro.measure import measure_row
from harness.micro.results import MICRO_SCHEMA, Results
from harness.records import machine
from harness.running.run import INTERRUPTED, Outcome, facts_at_end, now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.config.micro import Concat, Operations, Sizes
    from harness.records.folder import RunFolder
    from harness.running.observer import Observer

__all__ = ["MicroRun"]


@dataclass
class MicroRun:
    """Micro-benchmarks, one after the other.

    Attributes:
        command: as it was typed, `again` without its folder.
    """

    title: str
    config_file: str
    benchmarks: Sequence[Sizes | Operations | Concat]
    folder: RunFolder
    observer: Observer
    command: Sequence[str]
    again: str

    def execute(self) -> Outcome:
        """Measure all; raises nothing but what the folder cannot take."""
        facts: dict[str, Any] = {
            "kind": "micro", "status": "running", "title": self.title, "command": list(self.command),
            "again": self.again, "started": now(), "config_file": self.config_file,
            "config": [benchmark.model_dump(mode="json") for benchmark in self.benchmarks],
            "machine": machine.describe_machine(), "versions": machine.versions(),
        }  # fmt: skip
        self.folder.write_run(facts)
        self._done: list[Results] = []
        try:
            for benchmark in self.benchmarks:
                self._measure(benchmark)
            outcome = Outcome("complete", 0)
        except KeyboardInterrupt:
            outcome = Outcome("interrupted", INTERRUPTED, "interrupted; what was measured is kept")
        except HarnessError as error:
            outcome = Outcome("failed", error.exit_status, str(error))
        except Exception as error:  # noqa: BLE001 (a statement can fail in any way, out of memory for one)
            outcome = Outcome("failed", 1, f"{told(error)}; what was measured is kept")
        with signals.deferred():  # the ending is written whole
            self._write()
            self.folder.write_run(facts | facts_at_end(outcome))
        return outcome

    def _measure(self, benchmark: Sizes | Operations | Concat) -> None:
        device = device_of(benchmark)
        rows, rng = build_rows(benchmark), np.random.default_rng(benchmark.seed)
        title = benchmark.title or benchmark.benchmark
        self._done.append(Results(benchmark.benchmark, title, device, has_gpu(), len(rows), []))
        seconds = benchmark.seconds * sum(len(row.columns) for row in rows)
        self.observer.stage(title, len(rows), seconds)
        for row in rows:
            measured = measure_row(row, benchmark.seconds, rng)
            self._done[-1] = replace(self._done[-1], rows=[*self._done[-1].rows, measured])
            self._write()
            self.observer.advance()

    def _write(self) -> None:
        content = {"schema": MICRO_SCHEMA, "benchmarks": [results.as_dict() for results in self._done]}
        self.folder.write_text("micro.json", json.dumps(content, indent=1) + "\n")
