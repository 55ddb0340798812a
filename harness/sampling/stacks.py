"""Sampled stacks as data: read, cut to a scope, matched at the seam, merged into trees. Pure functions.

"Folded" stacks are the format of Brendan Gregg's stackcollapse programs (https://www.brendangregg.com/flamegraphs.html),
which py-spy writes as `raw`: frames from the outermost in, separated by semicolons, and how often they were seen.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from harness.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "ENTRY",
    "PLANTED",
    "RUNNER",
    "SEAM",
    "Change",
    "Frame",
    "Node",
    "Stacks",
    "change",
    "cut",
    "fold",
    "match",
    "merge",
    "parse",
]

RUNNER: Final = ("timed_execute_model", "timed_sample_tokens")
"""harness's own frames around the model runner's step (`instrument.step_timer`)."""
SEAMS_FOLDER: Final = "harness/seams/"
PLANTING: Final = "harness/instrument/planting.py"
DIGITS: Final = 12
"""Of a count of samples, at most."""
DEEPEST: Final = 400
"""Frames of a stack, at most: trees of them are walked by recursion."""
LONGEST: Final = 500
"""Characters of a frame, at most."""
ERROR: Final = 0.05
"""The probability that any frame of two recordings of the same work is taken for different."""


@dataclass(frozen=True)
class Frame:
    """A function on a stack, `name` qualified by its class, and the line it was at (0 where that is unknown)."""

    name: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        line = f":{self.line}" if self.line else ""
        return f"{self.name} ({self.file}{line})" if self.file else self.name

    @property
    def function(self) -> str:
        """The name without what qualifies it."""
        return self.name.rpartition(".")[2]

    @property
    def key(self) -> tuple[str, str]:
        """What frames must share to be merged."""
        return self.name, self.file


SEAM: Final = Frame("the seam")
"""Stands for whatever function is bound at the seam."""
ENTRY: Final = Frame("the arm")
"""Stands for the method by which an arm is entered."""
PLANTED: Final = Frame("planted delay", PLANTING)

Stack = tuple[Frame, ...]
Stacks = dict[Stack, int]
"""How often each stack was seen."""

SWITCH: Final = ("harness: trampoline>", "harness/instrument/placing.py")
"""Where the frames between a swapped function and an arm are (`changes.code.trampoline`)."""
_FRAME: Final = re.compile(r"(?P<name>.+) \((?P<file>[^()]*?)(?::(?P<line>\d{1,9}))?\)")
_THREAD: Final = re.compile(r"thread \(\w+\)(?:: )?")


def parse(folded: str) -> Stacks:
    """Read folded stacks; a thread comes out as its outermost frame, without its number.

    Lines that are none are passed over, and what is deeper than `DEEPEST` frames is counted as its `DEEPEST`th. The
    frames by which the switch leads to an arm are left out; their own time is that of the function which is swapped.
    """
    stacks: Counter[Stack] = Counter()
    for line in folded.splitlines():
        frames, _, count = line.rpartition(" ")
        if frames and count.isdecimal() and len(count) <= DIGITS:
            outer, *inner = frames.split(";", DEEPEST)
            stack = (_frame(one_line(text, LONGEST)) for text in (outer, *inner[: DEEPEST - 1]))
            stacks[tuple(frame for frame in stack if not frame.file.endswith(SWITCH))] += int(count)
    return dict(stacks)


def _frame(text: str) -> Frame:
    if thread := _THREAD.match(text):
        return Frame(text[thread.end() :] or "thread")
    found = _FRAME.fullmatch(text)
    return Frame(found["name"], found["file"], int(found["line"] or 0)) if found else Frame(text)


def fold(stacks: Mapping[Stack, int]) -> str:
    """Write stacks folded, as `parse` reads them."""
    lines = (f"{';'.join(map(str, stack))} {count}" for stack, count in sorted(stacks.items(), key=str))
    return "".join(f"{line}\n" for line in lines)


def cut(stacks: Mapping[Stack, int], *functions: str) -> Stacks:
    """Only what was seen inside one of these functions, from its outermost call inwards.

    Each is named with or without its class, or in full; frames have the class or not, as the sampler gives them.
    """
    inside: Counter[Stack] = Counter()
    for stack, count in stacks.items():
        start = next((i for i, frame in enumerate(stack) if any(_names(each, frame.name) for each in functions)), None)
        if start is not None:
            inside[stack[start:]] += count
    return dict(inside)


def _names(function: str, frame: str) -> bool:
    """Whether both name the same, as far as the shorter of them tells."""
    return f".{function}".endswith(f".{frame}") or f".{frame}".endswith(f".{function}")


def match(stacks: Mapping[Stack, int], function: str) -> Stacks:
    """Bring the frames of different arms at a seam under the same names, so that they can be compared.

    Args:
        stacks: of one arm.
        function: the name of the function that is swapped (without class).

    Returns:
        The same stacks with `SEAM` for whatever is bound at the seam, be it the host's own or harness's hand-over to an
        arm; `ENTRY` for the method by which the arm is entered; `PLANTED` under the seam for a planted delay.
    """
    matched: Counter[Stack] = Counter()
    for stack, count in stacks.items():
        matched[_match(stack, function)] += count
    return dict(matched)


def _match(stack: Stack, function: str) -> Stack:
    for place, frame in enumerate(stack):
        inner = stack[place + 1 :]
        if frame.file == PLANTING:
            bound = inner and (inner[0].function == function or _hands_over(inner[0]))
            # Else it is the wait itself, with whatever native frames are in it.
            return (*stack[:place], SEAM, *(_enter(*inner) if bound else (PLANTED, *inner)))
        # The host may pass the call on under the same name, and what is bound at the seam is the last of these.
        if frame.function == function and not (inner and (inner[0].function == function or inner[0].file == PLANTING)):
            return (*stack[:place], SEAM, *_enter(frame, *inner))
    return stack


def _enter(bound: Frame, *inner: Frame) -> Stack:
    """What runs inside the function that is bound at the seam; an arm is what the hand-over calls of Python."""
    entered = inner and _hands_over(bound) and inner[0].file.endswith(".py") and not _hands_over(inner[0])
    return (ENTRY, *inner[1:]) if entered else inner


def _hands_over(frame: Frame) -> bool:
    return frame.file.startswith(SEAMS_FOLDER)


@dataclass
class Node:
    """A function in a tree of merged stacks.

    Attributes:
        frame: the function; `line` means nothing here.
        counts: how often it was seen, in each of the recordings that are merged.
        own: of these, how often it was itself the innermost.
        children: what it called, by key, in the order of their names.
    """

    frame: Frame
    counts: list[int]
    own: list[int]
    children: dict[tuple[str, str], Node] = field(default_factory=dict)


def merge(*several: Mapping[Stack, int], root: str = "all") -> Node:
    """One tree from the stacks of one recording, or of several side by side."""
    top = Node(Frame(root), [0] * len(several), [0] * len(several))
    for index, stacks in enumerate(several):
        for stack, count in stacks.items():
            node = top
            node.counts[index] += count
            for frame in stack:
                if frame.key not in node.children:
                    node.children[frame.key] = Node(frame, [0] * len(several), [0] * len(several))
                node = node.children[frame.key]
                node.counts[index] += count
            node.own[index] += count
    _sort([top])
    return top


def _sort(nodes: Iterable[Node]) -> None:
    for node in nodes:
        node.children = dict(sorted(node.children.items()))
        _sort(node.children.values())


@dataclass(frozen=True)
class Change:
    """How much more time a function takes in the second of two recordings, and whether sampling can tell."""

    us: float
    resolved: bool


def change(counts: tuple[int, int], us_a_sample: tuple[float, float], frames: int) -> Change:
    """The difference of two sampled times.

    Counts of samples are taken as Poisson variables, so the variance of a count is the count itself. A difference is
    resolved where it exceeds so many standard deviations that in 95 % of pictures chance takes no frame that far.

    Args:
        counts: how often the function was seen in each recording.
        us_a_sample: what a sample stands for in each.
        frames: how many functions are compared (Bonferroni).
    """
    first, second = (count * us for count, us in zip(counts, us_a_sample, strict=True))
    deviation = math.sqrt(sum(count * us**2 for count, us in zip(counts, us_a_sample, strict=True)))
    return Change(second - first, abs(second - first) > _deviations(frames) * deviation)


@functools.cache
def _deviations(frames: int) -> float:
    return NormalDist().inv_cdf(1 - ERROR / (2 * frames))
