"""Launches played in the tests' own process: what an engine with an arm in it would write, and how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness.config.launched import Launched, load_launched
from harness.records.folder import RunFolder
from harness.running.run import Run
from tests.fakes import BlockTable, FakeHost, Runner, Silent, VirtualClock

CONFIG = """\
engine: {model: none}
workload: {requests: 3, prompt_tokens: 6, output_tokens: 5}
arms: [{state: {patch: state.patch}}]
protocol: {groups: 3, counters: false, launches: 4}
"""
UNTIL = CONFIG.replace("groups: 3, counters: false, launches: 4", "counters: false")
TABLE = """\
class Table:
    def __init__(self):
        self.rows = {}

    def append(self, row):
        self.rows[row] = 1
"""
OUTPUT = """\
from dataclasses import dataclass


@dataclass
class Output:
    tokens: list
"""
STATE = """\
--- a/vllm/table.py
+++ b/vllm/table.py
@@ -1,6 +1,7 @@
 class Table:
     def __init__(self):
         self.rows = {}
+        self.count = 0

     def append(self, row):
-        self.rows[row] = 1
+        self.rows[row] = self.count = 1
"""
FIELD = """\
--- a/vllm/output.py
+++ b/vllm/output.py
@@ -4,3 +4,4 @@
 @dataclass
 class Output:
     tokens: list
+    count: int = 0
"""


SETTINGS = CONFIG.replace("[{state: {patch: state.patch}}]", "[{slow: {env: {SLOW: 1}}}, {big: {engine: {size: 2}}}]")


class WrongTable(BlockTable):
    """Gives one token too high a slot."""

    def compute_slot_mapping(self, num_reqs: int, query_start_loc: Any, positions: Any) -> None:
        super().compute_slot_mapping(num_reqs, query_start_loc, positions)
        self.slot_mapping.np[0] += 1


class Process:
    """A launch played in this process: an engine whose time depends on the arm, and on luck that a launch has whole."""

    started: ClassVar[list[tuple[Launched, dict[str, Any]]]]
    ends: ClassVar[dict[str, str]]

    def __init__(self, arguments: list[str], **how: Any) -> None:
        config, out = Path(arguments[4]), Path(arguments[arguments.index("--out") + 1])
        launched = Launched.from_text(arguments[arguments.index("--launched") + 1])
        overlay = Path(how["env"]["PYTHONPATH"].split(":")[0])
        self.text = (overlay / "vllm/table.py").read_text()
        Process.started.append((launched, {**how, "overlay": overlay, "text": self.text, "python": arguments[0]}))
        overrides = [arguments[i + 1] for i, word in enumerate(arguments) if word == "--set"]
        self.signals: list[int] = []
        self.end = Process.ends.get(launched.arm) or Process.ends.get(str(len(Process.started)), "")
        if self.end == "killed":
            self.exit_status = -9
            return
        luck = np.random.default_rng(len(Process.started)).normal(0, 200)
        loaded = load_launched(config, overrides, launched)
        slower = "count" in self.text or "SLOW" in loaded.experiment.host.env
        clock, mean = VirtualClock(reading_ns=10), 100_000 + luck + 5_000 * slower
        rng = np.random.default_rng(len(Process.started) + 100)
        runner = Runner(
            table=WrongTable() if self.end == "wrong" else None,
            work=lambda: clock.advance(int(rng.normal(mean, 500))),
        )

        def before_pass(index: int, host: FakeHost) -> None:
            if self.end == "interrupted" and index == 9:
                raise KeyboardInterrupt
            if self.end == "raises" and index == 0:
                raise RuntimeError("no such row")

        host = FakeHost(clock, runner, before_pass)
        run = Run(loaded, host, RunFolder(out), Silent())
        run.launched = launched
        self.exit_status = run.execute().exit_status

    def wait(self) -> int:
        if self.end == "interrupted" and not self.signals:
            raise KeyboardInterrupt
        return self.exit_status

    def send_signal(self, number: int) -> None:
        self.signals.append(number)
