"""What a config may say of its arms: each is native, a function or class, a patch, a source tree, or a setting."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field, field_validator, model_validator

from harness.config.numbers import Delay
from harness.config.references import why_malformed
from harness.config.strict import Strict
from harness.errors import in_line
from harness.records.recorded import DOTTED, NAME
from harness.seams import NATIVE, SEAMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.seams import Place

__all__ = [
    "LONGEST_NAME",
    "MOST_ARMS",
    "PATCHES",
    "SETTINGS",
    "Arm",
    "arm_of",
    "name_from",
    "name_of",
    "why_unfit",
    "with_native",
]

PATCHES: Final = (".patch", ".diff")
"""How the names of patches end; an arm that is given by such a name alone is one."""
LONGEST_NAME: Final = 100
MOST_ARMS: Final = 100
SETTINGS: Final = frozenset(("env", "engine", "host", "vllm"))
"""Keys of an arm that its engines are started with, and that cannot be switched in a living one."""
HOW: Final = "write module:NAME or path/file.py:NAME, or {patch: FILE}, or {tree: FOLDER}"


class Arm(Strict):
    """An implementation, or a setting, under a name; native has none of these.

    Attributes:
        name: as it stands in tables.
        reference: module:NAME or path/file.py:NAME, of a class at a seam and of a function at `swap`.
        patch: a diff against vLLM's Python files.
        tree: a folder with another version of vLLM's source.
        revert: take the patch back: what is installed has it already.
        only: of the patch or the tree, these functions alone.
        env, engine, host: keys of these sections of the config (`env` is short for `host.env`) that the arm's engines
            are started with, and that make it a setting. A patch or a tree beside them is in these engines as well.
        vllm: a release of vLLM, in an environment of its own, that the arm's engines are started with instead: also a
            setting. A patch or a tree beside it is applied to that release's files.
        delay_us: a busy wait planted behind each call, to see whether the instrument recovers it.
        ceiling: it may compute less than native: it says at most how much could be won there, and has no verdict.
    """

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    reference: str = ""
    patch: str = Field(default="", max_length=4_000)
    tree: str = Field(default="", max_length=4_000)
    revert: bool = False
    only: list[Annotated[str, Field(pattern=f"^{DOTTED}$", max_length=300)]] = Field(
        default_factory=list, max_length=100
    )
    env: dict[str, str] = Field(default_factory=dict, max_length=100)
    engine: dict[str, Any] = Field(default_factory=dict, max_length=100)
    host: dict[str, Any] = Field(default_factory=dict, max_length=20)
    vllm: str = Field(default="", max_length=100)
    delay_us: Delay | None = None
    ceiling: bool = False

    @property
    def setting(self) -> bool:
        """Whether its engines are started otherwise than the config says, with or without a change in vLLM's code."""
        return bool(self.env or self.engine or self.host or self.vllm)

    @property
    def _set(self) -> list[str]:
        return [key for key in sorted(SETTINGS) if getattr(self, key)]

    @property
    def change(self) -> str:
        """The patch or the tree; empty where the arm is neither."""
        return self.patch or self.tree

    @field_validator("reference")
    @classmethod
    def _names_something(cls, reference: str) -> str:
        if reference and (why := why_malformed(reference)):
            raise ValueError(why)
        return reference

    @field_validator("env", mode="before")
    @classmethod
    def _texts(cls, env: Any) -> Any:
        """Numbers are written as such in YAML."""
        if not isinstance(env, dict):
            return env
        return {key: str(value) if type(value) in (int, float) else value for key, value in env.items()}

    @model_validator(mode="after")
    def _one_of_three(self) -> Arm:
        given = [key for key in ("reference", "patch", "tree") if getattr(self, key)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} each say what the arm is: keep one")
        if self.setting and (self.reference or self.delay_us is not None or self.ceiling):
            key = "a function" if self.reference else "ceiling" if self.ceiling else "delay_us"
            raise ValueError(
                f"{', '.join(self._set)} start an engine otherwise, and {key} is switched in a living one: leave one "
                "out, or write the change as a patch"
            )
        if self.revert and not self.patch:
            raise ValueError("revert takes a patch back: give patch, or leave revert out")
        if self.only and not self.change:
            raise ValueError("only picks from a patch or a tree: give one, or leave only out")
        if twice := sorted({name for name in self.only if self.only.count(name) > 1}):
            raise ValueError(f"only: {', '.join(twice)} is named twice")
        if self.ceiling and (self.delay_us is not None or not (self.reference or self.change)):
            raise ValueError("ceiling is for an arm that computes less: give its function, patch or tree")
        if self.delay_us is not None and self.change:
            raise ValueError("delay_us is planted behind one function, and a patch may have many: leave one out")
        return self


def arm_of(entry: Any, place: Place | None) -> Any:
    """An entry of `arms` as a mapping: a name of the seam's own, a reference, {name: reference}, or a patch or tree."""
    if isinstance(entry, dict) and "name" not in entry:
        if key := _unnamed(entry):
            return {"name": name_from(entry[key]), **entry}
        if len(entry) == 1:
            ((name, given),) = entry.items()
            return {**given, "name": name} if isinstance(given, dict) else {"name": name, "reference": given}
    if isinstance(entry, str) and entry.endswith(PATCHES):
        return {"name": name_from(entry), "patch": entry}
    if isinstance(entry, str) and ":" in entry:
        return {"name": entry.rpartition(":")[2], "reference": entry}
    if isinstance(entry, str):
        return {"name": entry, "reference": place.arms.get(entry, "") if place is not None else ""}
    return entry


def name_of(entry: Any) -> str:
    """The name under which an entry of `arms` will be."""
    found = arm_of(entry, None)
    return str(found.get("name", "")) if isinstance(found, dict) else str(found)


def name_from(path: str) -> str:
    """A name for the arm that is this patch, file or folder: the file's, with what no name can have replaced."""
    name = Path(path).name or Path(path).absolute().name
    for ending in (*PATCHES, ".py"):
        name = name.removesuffix(ending)
    name = re.sub(r"[^A-Za-z0-9_.+-]+", "-", name).lstrip("_.+-")[:LONGEST_NAME] or "change"
    return f"{name}-change" if name == NATIVE else name


def _unnamed(entry: dict[str, Any]) -> str:
    """`patch` or `tree`, where an entry has it and no name; empty where that is itself an arm's name."""
    for key in ("patch", "tree"):
        value = entry.get(key)
        if isinstance(value, str) and value and (len(entry) > 1 or why_malformed(value)):
            return key
    return ""


def with_native(arms: Sequence[Arm]) -> list[Arm]:
    """The arms with native among them: first, where the config does not name it."""
    return [*([] if any(arm.name == NATIVE for arm in arms) else [Arm(name=NATIVE)]), *arms]


def why_unfit(arms: Sequence[Arm], seam: str, swap: str, own: Sequence[str]) -> str:
    """What does not fit between the arms and what they replace, behind its key; empty where all fits.

    Args:
        arms: of the config.
        seam: its seam; empty where it has none.
        swap: its function to be replaced; empty where it has none.
        own: names of the arms that the seam has of its own.
    """
    if native := next((arm for arm in arms if arm.name == NATIVE and (arm.reference or arm.change)), None):
        return f"arms: `{native.name}` is the host's own implementation; give yours another name"
    if any(arm.name == NATIVE and arm.setting for arm in arms):
        return f"arms: `{NATIVE}` is started as the config says; give the setting another name"
    named = [arm for arm in arms if arm.name != NATIVE and arm.delay_us is None and not arm.setting]
    nameless = next((arm.name for arm in named if not arm.reference and not arm.change), "")
    function = next((arm.name for arm in named if arm.reference), "")
    change = next((arm.name for arm in arms if arm.change and not arm.setting), "")
    if seam:
        if not named and any(arm.setting for arm in arms) and not any(arm.delay_us is not None for arm in arms):
            return f"seam: no arm is put in at {seam}: name one, or leave seam out"
        if nameless:
            known = ", ".join([NATIVE, *own])
            return (
                f"arms: seam {seam!r} has no arm {nameless!r}; it has {known}, "
                "or write module:Class or path/file.py:Class"
            )
        if change:
            return f"arms: {change!r} is a patch or a tree, and a seam takes classes alone: leave seam out"
        return ""
    if not swap and (nameless or function):
        if not function:
            return (
                f"seam: is missing, so there is no arm {nameless!r}: give one of {', '.join(SEAMS)}, "
                f"or swap: package.module.function, or {HOW.partition(', or ')[2]}"
            )
        return (
            f"swap: is missing, so nothing says what {function!r} replaces: give swap: package.module.function, "
            f"or seam: one of {', '.join(SEAMS)}"
        )
    if nameless:
        return f"arms: {nameless!r} says not what it is: {HOW}"
    planted = any(arm.delay_us is not None for arm in arms)
    if swap and not function and not planted:
        how = "give one, as in `- fast: mine.py:function`, or leave swap out"
        return f"swap: no arm replaces {in_line(swap, 100)}: {how}"
    if planted and not swap:
        return "arms: delay_us is planted behind a function: give swap or seam, or leave it out"
    return ""
