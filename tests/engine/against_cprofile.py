# ruff: noqa: T201 (a program that prints)
"""The phases of a committed profile beside those of cProfile, in passes of the same workload here.

python -m tests.engine.against_cprofile reports/reference/profile-decode-64-cpu

cProfile's own cost is in each Python function that is called, so phases of many small calls come out too long. What can
be compared is the order.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
from pathlib import Path
from typing import Final

from scipy.stats import spearmanr

from harness.analysis.frames import load_run
from harness.config.file import load
from harness.hosts.needs import needed_arguments
from harness.hosts.starting import resolve_model
from harness.hosts.vllm import VllmHost
from harness.instrument.instrumentation import ArmSpec, Instrumentation
from harness.workload.requests import build

PASSES: Final = 3
NESTED: Final = {"sampling": ("logits processors",)}
"""Phases that call others of these."""
SKIPPED: Final = "rest of "
"""What calls nearly all others: little of it is its own, and cProfile's cost of calling them is in it."""


def main(folder: Path) -> None:
    """Print both shares and the rank correlation of the orders."""
    run = load_run(folder)
    decode = run.phases[run.phases["kind"] == "decode"].set_index("phase")
    loaded = load(folder / "config.yaml")
    experiment = loaded.experiment
    model = resolve_model(str(experiment.engine["model"]), loaded.folder)
    host = VllmHost(experiment.host, {**needed_arguments(experiment.workload), **experiment.engine, "model": model})
    info = host.start()
    try:
        requests = build(experiment.workload, loaded.folder, info.vocab_size, info.max_model_len).requests
        host.install(Instrumentation("", [ArmSpec("native", "", None)], [], "execute_model"))
        profiler = cProfile.Profile()
        for number in range(2 * PASSES):  # the first ones warm up
            if number == PASSES:
                profiler.enable()
            host.run_pass("bare", [0], requests)
        profiler.disable()
    finally:
        host.stop()
    spent = {
        phase: sum(cumulative(profiler, name) for name in str(decode.loc[phase, "functions"]).split())
        for phase in decode.index
        if not phase.startswith(SKIPPED)
    }
    own = {
        phase: seconds - sum(spent.get(inner, 0.0) for inner in NESTED.get(phase, ()))
        for phase, seconds in spent.items()
    }
    steps = run.run["steps"]["count"]
    for phase, seconds in sorted(own.items(), key=lambda each: -each[1]):
        by_cprofile = 1e6 * seconds / PASSES / steps
        print(f"{phase:<22}{decode.loc[phase, 'us']:10,.0f} us a turn by probes{by_cprofile:10,.0f} by cProfile")
    correlation = spearmanr(list(own.values()), decode.loc[list(own), "us"]).statistic
    print(f"rank correlation of {len(own)} phases: {correlation:.2f}")


def cumulative(profiler: cProfile.Profile, name: str) -> float:
    """Seconds in a function with all that it calls, by its full name."""
    module, _, function = name.rpartition(".")
    endings = tuple(f"/{part.replace('.', '/')}.py" for part in (module, module.rpartition(".")[0]) if part)
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    return sum(found[3] for (file, _, what), found in stats.items() if what == function and file.endswith(endings))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
