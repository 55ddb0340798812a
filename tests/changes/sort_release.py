# ruff: noqa: T201 (a program that prints)
"""What of another release could be switched in a running engine, file by file: docs/any-change-0.31-0.32.md.

    python -m tests.changes.sort_release TREE [PREFIX]

It starts the real engine on the load of configs/ab.yaml, serves it once with Python's profiling hook set, and tells of
each file below PREFIX (vllm/v1/) in which TREE differs from what is installed: can it be switched between steps, or
what of it cannot, and was any of it called? Each file is taken as a patch of its own; no step runs under it.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import textwrap
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.changes.build import build
from harness.changes.live import LiveRefusal, find
from harness.changes.sources import from_tree
from harness.config.file import load
from harness.errors import in_line
from harness.hosts.starting import resolve_model
from harness.hosts.vllm import VllmHost
from harness.instrument.instrumentation import ArmSpec, Instrumentation
from harness.instrument.scopes import AUTO
from harness.running.changed import installed_root
from harness.seams import NATIVE
from harness.workload.requests import build as draw

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, FrameType

    from harness.changes.compare import Change
    from harness.changes.sources import SourceFile

CONFIG: Final = Path("configs") / "ab.yaml"
SORTS: Final = ("step grain", "launch grain", "never called", "nothing to switch")
REASONS: Final = 2
"""That a row tells of."""


@dataclass
class Row:
    """A file, and what became of its differences.

    Attributes:
        switched: how many functions, names and values can be switched.
        called: how many of the changed functions ran in the pass.
        functions: how many functions changed.
        added: how many names are new.
        reasons: why what cannot be switched cannot, with the name in the file.
        absent: why nothing is to be done in it.
        read: whether it changes what is read and not called (fields, values, what living objects were made by), so
            that no call tells whether it is reached.
        makers: methods that make objects, of which none lived between two passes.
    """

    switched: int = 0
    called: int = 0
    functions: int = 0
    added: int = 0
    reasons: list[str] = field(default_factory=list)
    absent: str = ""
    read: bool = False
    makers: list[str] = field(default_factory=list)

    @property
    def sort(self) -> str:
        """Where it belongs: what is never reached stands in nobody's way."""
        if "not imported" in self.absent:
            return "never called"
        if not (self.switched or self.reasons):
            return "nothing to switch"
        if self.functions and not self.called and not self.read:
            return "never called"
        return "launch grain" if self.reasons else "step grain"

    def told(self) -> str:
        """The reasons, as a cell of a table."""
        if self.absent:
            return self.absent
        if not self.reasons:
            return ""
        more = f"; and {len(self.reasons) - REASONS} more" if len(self.reasons) > REASONS else ""
        return "; ".join(self.reasons[:REASONS]).replace("|", "\\|") + more


def row_of(file: SourceFile, root: Path, called: set[CodeType]) -> Row:
    """A file's row: built as a patch of its own, and taken away again."""
    built, row = build(file.module, [file], root, partly=True), Row()
    built.remove()
    for change in built.changes:
        if change.kind == "module":
            row.absent = f"{change.how}: {change.why}" if change.how != "changed" else change.why
        if change.grain == "nothing":
            continue
        row.added += change.grain == "added"
        row.switched += change.grain == "step"
        if change.grain == "launch":
            why = in_line(change.why.partition(" (/")[0]).replace("__", "\\_\\_")  # no path of this machine
            row.reasons.append(f"`{change.name}`: {why}")
        if change.kind != "function":
            row.read |= change.grain in ("step", "launch") and (change.kind, change.how) != ("import", "new")
        elif change.how == "changed":
            row.read |= change.makes_objects and change.grain == "launch"
            row.makers += [change.name] if change.makes_objects and change.grain == "step" else []
            row.functions += 1
            row.called += _code(change) in called
    return row


def _code(change: Change) -> CodeType | None:
    try:
        return find(change.module, change.name).function.__code__
    except LiveRefusal:
        return None


def calls_in_a_pass(host: VllmHost, requests: Sequence[Any]) -> set[CodeType]:
    """All code that ran while the requests were served."""
    seen: set[CodeType] = set()

    def see(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            seen.add(frame.f_code)

    threading.setprofile(see)
    sys.setprofile(see)
    try:
        host.run_pass("bare", [0], requests)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return seen


def look_over_steps(host: VllmHost, file: SourceFile, row: Row, requests: Sequence[Any], into: Path) -> None:
    """Whether what a changed `__init__` makes lives from one step to another, as a checking pass of native shows it."""
    if file.changed is None:
        return
    (into / file.relative).parent.mkdir(parents=True)
    shutil.copyfile(file.changed, into / file.relative)
    host.install(Instrumentation("", [ArmSpec(NATIVE, "", None), ArmSpec("alone", "", None, str(into))], [], AUTO))
    for kind, count in host.run_pass("check", [0], requests).watched["outlive"].items():
        name = next(name for name in row.makers if name.startswith(f"{kind}."))
        row.switched -= 1
        row.reasons.append(f"`{name}`: {count} of {kind} live over a step, and would stay as made")


def print_table(rows: dict[str, Row], version: str, called: int) -> None:
    """As Markdown."""
    print(f"vLLM {version} is installed; {called:,} functions ran in the pass.\n")
    print("| sort | files | changed functions | of them called | can be switched | added | cannot be switched |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for sort in SORTS:
        of_it = [row for row in rows.values() if row.sort == sort]
        sums = [sum(getattr(row, key) for row in of_it) for key in ("functions", "called", "switched", "added")]
        refused = sum(len(row.reasons) for row in of_it)
        print(f"| {sort} | {len(of_it)} | {' | '.join(map(str, sums))} | {refused} |")
    for sort in SORTS:
        print(f"\n## {sort.capitalize()}")
        shown = {name: row for name, row in sorted(rows.items()) if row.sort == sort and (row.functions or row.reasons)}
        if shown:
            print("\n| file | functions | called | can be switched | added | what cannot, and why |")
            print("|---|--:|--:|--:|--:|---|")
        for name, row in shown.items():
            print(f"| {name} | {row.functions} | {row.called} | {row.switched} | {row.added} | {row.told()} |")
        for why in sorted({row.absent for row in rows.values()}):
            rest = [name for name, row in rows.items() if row.sort == sort and name not in shown and row.absent == why]
            if rest:
                told = (
                    f"{why.capitalize() or 'Values, or names that are new'} ({len(rest)}): {', '.join(sorted(rest))}."
                )
                print(f"\n{textwrap.fill(told, 120, break_long_words=False, break_on_hyphens=False)}")


def main() -> None:
    """Start the engine, look, and print."""
    tree, prefix = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "vllm/v1/"
    loaded, root = load(CONFIG, []), installed_root()
    experiment = loaded.experiment
    host = VllmHost(
        experiment.host, {**experiment.engine, "model": resolve_model(experiment.engine["model"], loaded.folder)}
    )
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory(prefix="harness-sort-") as folder:
        files = [file for file in from_tree(tree, root, Path(folder)).files if file.relative.startswith(prefix)]
        info = host.start()
        try:
            host.install(Instrumentation("", [ArmSpec(NATIVE, "", None)], [], AUTO))
            work = draw(experiment.workload, loaded.folder, info.vocab_size, info.max_model_len)
            called = calls_in_a_pass(host, work.requests)
            rows = {file.relative: row_of(file, root, called) for file in files}
            for file in files:
                row = rows[file.relative]
                if row.sort == "step grain" and row.makers:
                    look_over_steps(host, file, row, work.requests, Path(folder) / "alone" / file.module)
        finally:
            host.stop()
    print_table(rows, info.version, len(called))


if __name__ == "__main__":
    main()
