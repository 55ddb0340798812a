"""This machine: its processor and load, and whether py-spy may attach."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from typing import TYPE_CHECKING

from harness.doctor.finding import Finding
from harness.errors import ProfilerError
from harness.records import machine
from harness.sampling.pyspy import PERMISSION, Recorder
from harness.selftest.planted import describe, last_result

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["examine_machine"]


def examine_machine() -> Iterator[Finding]:
    """Processor and load, and whether py-spy may attach."""
    facts = machine.describe_machine()
    text = f"{facts['cpu']}, {facts['usable_cores']} of {facts['cores']} cores, {facts['memory_gib']} GiB"
    yield Finding("ok", "machine", text)
    native = facts["native_bfloat16"]
    yield Finding(
        "ok", "bfloat16",
        "native" if native else "not native on this CPU: a model in bfloat16 is run in float32 here (engine.dtype)",
    )  # fmt: skip
    load = facts["load_average"][0]
    busy = load > 0.5 * facts["usable_cores"]
    yield Finding(
        "warning" if busy else "ok", "load", f"{load} over the last minute",
        "other work makes intervals wider; wait until it has ended, or measure more passes" if busy else "",
    )  # fmt: skip
    last = last_result(facts)
    line = describe(last, dt.datetime.now(dt.UTC))
    yield Finding(
        "ok" if last and last["passed"] else "warning", "selftest", line,
        "" if last and last["passed"] else "python -m harness selftest (a minute and a half)",
    )  # fmt: skip
    yield _py_spy()


def _py_spy() -> Finding:
    """Attach to a sleeping process of ours, and to one that admits tracers, as the engine of a run does."""
    refused = _attach("")
    if refused is None:
        return Finding("ok", "py-spy", "may attach to processes of this user")
    if _attach("from harness.instrument.ptrace import admit_tracers; admit_tracers()"):
        found, _, mend = str(refused).partition(": ")
        return Finding("warning", "py-spy", found, f"{mend or 'reinstall it'} (only flamegraphs need it)")
    return Finding(
        "warning", "py-spy", "may attach to engines that harness starts, and to no others",
        f"for `harness flame`: {PERMISSION}",
    )  # fmt: skip


def _attach(first: str) -> ProfilerError | None:
    """Why py-spy may not attach to a process that runs `first` and sleeps; None where it may."""
    program = f"{first}\nimport time; print(flush=True); time.sleep(60)"
    sleeper = subprocess.Popen([sys.executable, "-c", program], stdout=-1)  # noqa: S603
    try:
        if sleeper.stdout is not None:
            sleeper.stdout.readline()
        with Recorder(sleeper.pid, rate_hz=100):
            pass
    except ProfilerError as error:
        return error
    finally:
        sleeper.kill()
        sleeper.communicate()
    return None
