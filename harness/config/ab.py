"""The config that `harness ab` stands for: a base config with native and the changes as its arms.

It is validated like any other, with the option behind which a fault stands, and written into the run's folder with
copies of the patches and functions, so that `harness run` repeats it from there.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import yaml

from harness.config.arms import LONGEST_NAME, name_from
from harness.config.file import Loaded, Replaced, load
from harness.config.options import arm_from_here
from harness.config.references import in_file
from harness.errors import ConfigError, RecordsError, in_line
from harness.paths import is_file, shipped
from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["CONFIG", "STDIN", "Asked", "base_config", "config_for", "read_diff", "write_config"]

BASE: Final = Path("configs") / "ab.yaml"
CONFIG: Final = "config.yaml"
"""What is written into the run's folder."""
GIVEN: Final = "given"
"""Where copies of patches and functions are, in the run's folder."""
STDIN: Final = "-"
LARGEST: Final = 50_000_000
"""Bytes of a diff."""
HOW: Final = (
    "name a patch, `-` for a diff on standard input, --swap DOTTED.NAME=path/file.py:function, or --tree FOLDER"
)


@dataclass(frozen=True)
class Asked:
    """What the command line asks for.

    Attributes:
        patches: files, or `-`.
        swaps: `DOTTED.NAME=path/file.py:function` each.
        trees: folders.
        only: names that are taken of patches and trees.
        revert: take the patches back.
        grain: where arms change; empty leaves it to the base config.
        scope: where time counts; empty for `auto`.
    """

    patches: Sequence[str] = ()
    swaps: Sequence[str] = ()
    trees: Sequence[str] = ()
    only: Sequence[str] = ()
    revert: bool = False
    grain: str = ""
    scope: str = ""


def base_config() -> Path:
    """The config of a mixed load: the working directory's, or else the project's own."""
    return shipped(BASE)


def read_diff(stream: BinaryIO | None, into: Path) -> None:
    """Put a diff from standard input, which is None where it was closed, into a file.

    Raises:
        ConfigError: there is none.
    """
    if stream is None:
        raise ConfigError("ab -: standard input is closed: pipe a diff into it, as in `gh pr diff 55749 | ...`")
    if stream.isatty():
        raise ConfigError("ab -: standard input is a terminal: pipe a diff into it, as in `gh pr diff 55749 | ...`")
    text = stream.read(LARGEST + 1)
    if not text.strip():
        raise ConfigError("ab -: there was nothing on standard input: pipe a diff into it")
    if len(text) > LARGEST:
        raise ConfigError(f"ab -: standard input has more than {LARGEST:,} bytes, and so is no diff")
    into.write_bytes(text)


def config_for(asked: Asked, base: Path, overrides: Sequence[str], diff: Path) -> Loaded:
    """The config that the command line stands for.

    Args:
        asked: what is compared.
        base: the config whose engine, workload and protocol are taken.
        overrides: `--set` each.
        diff: the file that has what came from standard input.

    Raises:
        ConfigError: one line a fault.
    """
    _check(asked)
    swap, arms, labels = "", [{"name": NATIVE}], {}
    for what, arm, label in _given(asked, diff):
        if what and swap and what != swap:
            raise ConfigError(
                f"{label}: one run replaces one function, and another --swap names {in_line(swap, 120)}: "
                "make a patch of both, or two runs"
            )
        swap = swap or what
        labels[f"arms.{len(arms)}"] = label
        arms.append({**arm_from_here(arm, base.parent), "name": _free(arm["name"], {each["name"] for each in arms})})
    values: dict[str, Any] = {"title": _title(arms), "arms": arms, "baseline": NATIVE, "scope": asked.scope or "auto"}
    labels |= {"arms": "ab", "title": "ab"}
    if swap:
        values["swap"] = swap
        labels["swap"] = f"--swap {in_line(swap, 120)}"
    if asked.scope:
        labels["scope"] = f"--scope {in_line(asked.scope, 120)}"
    if asked.grain:
        values["protocol.grain"], labels["protocol.grain"] = asked.grain, f"--grain {asked.grain}"
    return load(base, overrides, replaced=Replaced(values, labels))


def write_config(loaded: Loaded, folder: Path, command: str) -> Loaded:
    """Write the config into a folder, with copies of its patches and functions.

    Args:
        loaded: what `config_for` gave.
        folder: the run's.
        command: as it was typed, for a comment.

    Returns:
        What was written, read again.

    Raises:
        RecordsError: it cannot be written.
    """
    config = loaded.experiment.model_dump(mode="json", exclude_defaults=True)
    config["protocol"] = {**config.get("protocol", {}), "grain": loaded.experiment.protocol.grain}
    engine = config["engine"]
    for start in (loaded.folder, Path()):  # as `hosts.starting.resolve_model` looks for it
        if is_file(start / engine["model"] / "config.json"):
            engine["model"] = _seen_from(folder, start / engine["model"])
            break
    if "file" in config["workload"]:
        config["workload"]["file"] = _seen_from(folder, loaded.folder / config["workload"]["file"])
    try:
        for arm in config["arms"]:
            _bring(arm, loaded.folder, folder)
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        head = (
            f"# Written by: {in_line(command, 2000)}\n# python -m harness run {in_line(folder / CONFIG)} repeats it.\n"
        )
        (folder / CONFIG).write_text(head + text, encoding="utf-8")
    except OSError as error:
        raise RecordsError(f"{folder / CONFIG}: cannot be written: {error.strerror or in_line(error)}") from error
    return load(folder / CONFIG)


def _check(asked: Asked) -> None:
    """What can be told from the options alone."""
    if not (asked.patches or asked.swaps or asked.trees):
        raise ConfigError(f"ab: there is nothing to compare with native: {HOW}")
    if asked.revert and asked.trees:
        raise ConfigError("--revert: it takes patches back, and --tree gives a whole tree: leave one of them out")
    if asked.revert and not asked.patches:
        raise ConfigError("--revert: it takes patches back, and there is none: name one, or leave --revert out")
    if asked.only and not (asked.patches or asked.trees):
        raise ConfigError("--only: it picks from patches and trees, and there is none: name one, or leave --only out")
    for option, values in (("ab", asked.patches), ("--swap", asked.swaps), ("--tree", asked.trees)):
        seen: set[str] = set()
        for value in values:
            where = value if option == "--swap" or value == STDIN else str(Path(value).absolute())
            if where in seen:
                raise ConfigError(f"{option} {in_line(value, 120)}: it is given twice: keep one")
            seen.add(where)


def _given(asked: Asked, diff: Path) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Each arm: the function that it replaces (empty for a patch or tree), its entry, and its option."""
    only = {"only": list(asked.only)} if asked.only else {}
    revert = {"revert": True} if asked.revert else {}
    for patch in asked.patches:
        label, file = f"ab {in_line(patch, 120)}", str(diff) if patch == STDIN else patch
        if is_file(Path(file)) and not Path(file).stat().st_size:
            raise ConfigError(f"{label}: the file is empty, and so is no diff")
        name = "stdin" if patch == STDIN else name_from(patch)
        yield "", {"name": name, "patch": file, **revert, **only}, label
    for swap in asked.swaps:
        label = f"--swap {in_line(swap, 120)}"
        what, separator, reference = (part.strip() for part in swap.partition("="))
        if not separator or not what or not reference:
            raise ConfigError(f"{label}: write --swap DOTTED.NAME=path/file.py:function")
        yield what, {"name": name_from(reference.rpartition(":")[2]), "reference": reference}, label
    for tree in asked.trees:
        yield "", {"name": name_from(tree), "tree": tree, **only}, f"--tree {in_line(tree, 120)}"


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number behind it where it is taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name[: LONGEST_NAME - 4]}-{number}"
    return free


def _title(arms: Sequence[dict[str, Any]]) -> str:
    names = ", ".join(arm["name"] for arm in arms[1:])
    return f"{in_line(names, 200)} against {NATIVE}"


def _bring(arm: dict[str, Any], source: Path, folder: Path) -> None:
    """Copy an arm's file into the run's folder, and have the arm name the copy; a tree stays where it is."""
    if tree := arm.get("tree"):
        arm["tree"] = _seen_from(folder, source / tree)
    if patch := arm.get("patch"):
        arm["patch"] = _copied(source / patch, folder, f"{arm['name']}.patch")
    if in_file(arm.get("reference", "")):
        where, _, function = arm["reference"].rpartition(":")
        arm["reference"] = f"{_copied(source / where, folder, arm['name'] + '.py')}:{function}"


def _seen_from(folder: Path, path: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())


def _copied(file: Path, folder: Path, name: str) -> str:
    (folder / GIVEN).mkdir(exist_ok=True)
    shutil.copyfile(file, folder / GIVEN / name)
    return f"{GIVEN}/{name}"
