# ruff: noqa: T201 (a program that prints)
"""How well the tests test: mutants of three rooms, and those that the tests let live (`make check-mutations`).

mutmut changes one thing at a time in `analysis/`, `instrument/` and `running/` (a number, an operator, an argument) and
runs the tests that reach it. A mutant is killed when one of them fails. This program draws the mutants, has mutmut run
them in a copy of the work tree, and compares those that lived with tests/mutation_survivors.yaml, which says why each
of them may.

Which test reaches what is seen by running all tests once, which takes longer than a hundred mutants do. So it is kept
from run to run, and seen anew for what changed alone; `--fresh` begins anew.

Run by the Python of the environment that `make check-mutations` makes, which has mutmut beside all of the project's
packages. mutmut's own settings are in pyproject.toml.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from mutmut.__main__ import _run, create_mutants
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import copy_src_dir
from mutmut.workers.isolation import ForkServerRunner
from scipy.stats import binomtest

ROOT = Path(__file__).resolve().parents[1]
SURVIVORS = ROOT / "tests/mutation_survivors.yaml"
STATS = Path("mutants/mutmut-stats.json")
"""Where mutmut keeps which test reaches what, in the copy of the work tree."""
LEAST = 0.9
"""The part of the drawn mutants that the tests have to kill."""

NOTICED = ("killed", "timeout", "segfault")
"""A failed test, or tests that with the mutant come to no end or crash. No tests at all is not among them."""

EQUIVALENT = {
    r",\s*(strict=(True|False|None))?(?=\))": "equivalent, since `strict` only says that both are as long",
    r"(?i)encoding=\"utf-8\"": "equivalent, since the name of an encoding may have capitals",
}
"""By what a change of this kind leaves as it is, why no input shows it."""


@dataclass(frozen=True)
class Change:
    """What a mutant changes, so that it is known again: mutmut's numbers move when something else in the function does.

    `was` and `becomes` are the changed lines without their indents, several in one.
    """

    function: str
    was: str
    becomes: str


@dataclass(frozen=True)
class Tried:
    """A mutant that was run: its room, and mutmut's word for what came of it."""

    name: str
    room: str
    status: str


def main() -> int:
    """Exit status 1 where fewer than nine in ten were killed, or one lived that is not in the list of survivors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tree", type=Path, help="where the copy of the work tree is kept")
    parser.add_argument("--mutants", default="300", help="how many to draw, or 'all' (default: %(default)s)")
    parser.add_argument("--seed", default="1", help="another seed draws others (default: %(default)s)")
    parser.add_argument("--children", default="1", help="how many to run at once (default: %(default)s)")
    parser.add_argument("--fresh", action="store_true", help="keep nothing of an earlier run")
    asked = parser.parse_args()
    if asked.fresh:
        shutil.rmtree(asked.tree, ignore_errors=True)
    changed = renew_work_tree(asked.tree)
    os.chdir(asked.tree)  # where mutmut works
    forget(changed)
    if not STATS.exists() or all(map(is_test, changed)):
        # All tests that run were seen to pass without any mutant when they were seen to reach what they reach.
        ForkServerRunner.run_clean_tests = lambda *_, **__: 0
    names = every_mutant(int(asked.children))
    drawn = names if asked.mutants == "all" else draw(names, int(asked.mutants), asked.seed)
    print(f"{len(names)} mutants, {len(drawn)} of them are run (seed {asked.seed})", flush=True)
    try:
        _run(drawn, int(asked.children))
    except SystemExit:
        print("mutmut could not begin: mostly a test fails without any mutant, and `make fast` says which")
        return 1
    tried = outcomes(drawn)
    print(table(tried))
    return verdict(tried)


def renew_work_tree(tree: Path) -> set[str]:
    """Make the copy what the work tree is: all files that git knows or does not ignore, and mutants of none but these.

    Gives the names of the files that are new there, have changed, or are gone.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    names = {name for name in listed if name and (ROOT / name).is_file()}
    before = {path.relative_to(tree).as_posix() for path in files_in(tree)}
    changed = {name for name in names & before if (ROOT / name).read_bytes() != (tree / name).read_bytes()}
    for name in (before - names) | changed:
        for copy in (name, *(f"mutants/{name}{made}" for made in ("", ".meta", ".spans"))):
            (tree / copy).unlink(missing_ok=True)
    for name in (names - before) | changed:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)
    return (names ^ before) | changed


def files_in(tree: Path) -> list[Path]:
    """The copy's own files, without what was made of them."""
    tops = [path for path in tree.glob("*") if path.name != "mutants"]
    inside = [path for top in tops for path in (top, *top.rglob("*"))]
    return [path for path in inside if path.is_file() and "__pycache__" not in path.parts]


def is_test(name: str) -> bool:
    """Whether a file holds tests, and nothing that others stand on."""
    return name.startswith("tests/") and Path(name).name.startswith("test_")


def forget(changed: set[str]) -> None:
    """Have mutmut see anew what changed tests reach, and those that reached something of a changed file."""
    if not STATS.exists():
        return
    stats = json.loads(STATS.read_text())
    modules = {name.removesuffix(".py").replace("/", ".") for name in changed}
    tests = {
        test
        for function, reached_by in stats["tests_by_mangled_function_name"].items()
        if function.rpartition(".")[0] in modules
        for test in reached_by
    }
    tests |= {test for test in stats["duration_by_test"] if test.partition("::")[0] in changed}
    for test in tests:
        stats["duration_by_test"].pop(test, None)
    STATS.write_text(json.dumps(stats))


def every_mutant(children: int) -> list[str]:
    """Have mutmut make all mutants, and give their names; `mutmut run` then finds them made."""
    copy_src_dir()
    create_mutants(children)
    return list(exit_codes())


def draw(names: list[str], count: int, seed: str) -> list[str]:
    """About as many as asked for, of each room its part.

    By a digest of the name, not by the place in the list: where one function changes, the draw from all others stays.
    """
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    sizes = Counter(map(room_of, names))
    return [
        name
        for room, size in sizes.items()
        for name in [name for name in order if room_of(name) == room][: round(count * size / len(names))]
    ]


def room_of(name: str) -> str:
    """`analysis` of `harness.analysis.drift.x_drift__mutmut_1`."""
    return name.split(".")[1]


def exit_codes() -> dict[str, int | None]:
    """What mutmut wrote down of each mutant: the exit status of the tests, or None where it was not run."""
    codes: dict[str, int | None] = {}
    for path in sorted(Path("mutants/harness").rglob("*.meta")):
        codes |= json.loads(path.read_text())["exit_code_by_key"]
    return codes


def outcomes(drawn: list[str]) -> list[Tried]:
    """What came of each drawn mutant."""
    codes = exit_codes()
    return [Tried(name, room_of(name), status_by_exit_code[codes[name]]) for name in drawn]


def table(tried: list[Tried]) -> str:
    """A line a room and one for all: the part killed with its lower 95 % limit, and how many came out how."""
    lines = []
    for room in (*sorted({one.room for one in tried}), "all"):
        counts = Counter(one.status for one in tried if room in (one.room, "all"))
        killed, of = sum(counts[status] for status in NOTICED), counts.total()
        # The lower end of Clopper and Pearson's interval of 90 % is one-sided the limit of 95 %.
        low = binomtest(killed, of).proportion_ci(0.9, "exact").low
        parts = ", ".join(f"{count} {status}" for status, count in counts.most_common())
        lines.append(f"{room:<11}{killed / of:6.1%} of {of} noticed (at least {low:.1%}): {parts}")
    return "\n".join(lines)


def verdict(tried: list[Tried]) -> int:
    """Says which mutants lived; 1 where too many did, or one that is not in the list."""
    lived = [one for one in tried if one.status not in NOTICED]
    known = listed()
    new = []
    for one in lived:
        change = change_of(one.name)
        why = known.get(change) or why_equivalent(change)
        print(f"\n{one.name}: {one.status}; {why or 'NOT LISTED'}")
        print(yaml.safe_dump([asdict(change)], sort_keys=False, allow_unicode=True, width=sys.maxsize), end="")
        new += [] if why else [change]
    if few := len(tried) - len(lived) < LEAST * len(tried):
        print(f"\nThe tests noticed fewer than {LEAST:.0%} of the mutants.")
    if new:
        print(
            f"\n{len(new)} lived that are not in {SURVIVORS.relative_to(ROOT)}: test them, or say there why they may."
        )
    return int(few or bool(new))


def listed() -> dict[Change, str]:
    """The survivors that are known, each with the reason why it may live."""
    groups = yaml.safe_load(SURVIVORS.read_text())
    return {Change(**change): group["reason"] for group in groups for change in group["mutants"]}


def why_equivalent(change: Change) -> str:
    """Why no input shows a change, where its kind alone tells; else empty."""
    for pattern, why in EQUIVALENT.items():
        was, becomes = (re.sub(pattern, "", text) for text in (change.was, change.becomes))
        if was == becomes and change.was != change.becomes:
            return why
    return ""


def change_of(name: str) -> Change:
    """The lines that a mutant changes, from mutmut's diff of it."""
    lines = get_diff_for_mutant(name).splitlines()[2:]
    was, becomes = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return Change(name.partition("__mutmut_")[0], was, becomes)


if __name__ == "__main__":
    sys.exit(main())
