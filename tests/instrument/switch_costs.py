# ruff: noqa: T201 (a program that prints)
"""What switching costs: the tables of docs/measuring.md. It needs neither an engine nor torch, and no numpy.

    python -m tests.instrument.switch_costs [REPETITIONS]

Both arms of every mechanism have the same body, and all mechanisms are measured in turns in one process, so that any
difference is the mechanism's. `attribute` is what harness did before: each arm set as an attribute of the object.
"""

from __future__ import annotations

import gc
import math
import platform
import random
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from harness.changes.code import Code, copied, frozen
from harness.instrument.switch import Placement, Switch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FunctionType

    Put = Callable[[int], None]

CALLS: Final = (1, 8, 64)
FUNCTIONS: Final = (1, 20)
MECHANISMS: Final = ("plain", "code", "trampoline", "attribute")
STEPS: Final = 1000
WARM: Final = 200
"""Steps that come first in each repetition and are not counted: something else has just run."""
COLD_STEPS: Final = 24
COLD_BYTES: Final = 8 * 2**20
TRIMMED: Final = 0.1
"""Of the steps of a repetition, at each end: a step in which the machine did something else says nothing."""


class Shape(NamedTuple):
    """How many calls a step has, and how many functions are set before it."""

    calls: int
    functions: int


class Timed(NamedTuple):
    """The steps of one repetition: what was put, what putting took, and what the step took."""

    arms: Sequence[int]
    put_ns: Sequence[int]
    step_ns: Sequence[int]


@dataclass
class Case:
    """A class of its own, whose methods one mechanism switches.

    Attributes:
        put: switches to an arm.
        own: a step that calls switched methods.
        other: a step that calls an untouched method of the same class as often.
        end: puts back what was there.
    """

    runner: Any
    put: Put
    own: Callable[[Any], None]
    other: Callable[[Any], None]
    end: Callable[[], object]


def source(shape: Shape) -> str:
    """A class and two steps. A step has one call site for each method that it calls."""
    sites = max(each for each in range(1, shape.functions + 1) if shape.calls % each == 0)
    rounds = range(shape.calls // sites)
    return "\n".join(
        [
            "class Runner:",
            *(f"    def m{i}(self, x):\n        y = x + {i}\n        return y * 2" for i in range(shape.functions)),
            "    def other(self, x):\n        y = x + 3\n        return y * 2",
            *(f"def {name}(runner):\n    for _ in {rounds!r}:" + "".join(
                f"\n        runner.{method.format(i)}(1)" for i in range(sites)
            ) for name, method in (("own", "m{}"), ("others", "other"))),
        ]
    )  # fmt: skip


def case(mechanism: str, shape: Shape) -> Case:
    """One mechanism with two arms, ready to be put."""
    made: dict[str, Any] = {"__name__": "switched"}
    exec(compile(source(shape), "<switched>", "exec"), made)
    kind = made["Runner"]
    runner = kind()
    functions: list[FunctionType] = [vars(kind)[f"m{i}"] for i in range(shape.functions)]
    if mechanism == "plain":
        return Case(runner, lambda arm: None, made["own"], made["others"], lambda: None)
    if mechanism == "attribute":
        bound = [[(f.__name__, frozen(f, copied(Code.of(f))).__get__(runner)) for f in functions] for _ in range(2)]

        def put_attributes(arm: int) -> None:
            for name, method in bound[arm]:
                setattr(runner, name, method)

        return Case(runner, put_attributes, made["own"], made["others"], vars(runner).clear)
    if mechanism == "code":
        placements = [Placement(functions={f: copied(Code.of(f)) for f in functions}) for _ in range(2)]
    else:
        placements = [Placement(callables={f: frozen(f, copied(Code.of(f))) for f in functions}) for _ in range(2)]
    switch = Switch(placements)
    switch.bind({})
    return Case(runner, lambda arm: switch.put(arm, False), made["own"], made["others"], switch.restore)


def timed(
    case: Case, step: Callable[[Any], None], arms: Sequence[int], between: Callable[[], object] | None = None
) -> Timed:
    """Serve steps under these arms."""
    clock, put, runner = time.perf_counter_ns, case.put, case.runner
    put_ns, step_ns = [0] * len(arms), [0] * len(arms)
    for i, arm in enumerate(arms):
        if between is not None:
            between()
        begun = clock()
        put(arm)
        middle = clock()
        step(runner)
        ended = clock()
        put_ns[i], step_ns[i] = middle - begun, ended - middle
    return Timed(arms, put_ns, step_ns)


def centre(values: Sequence[float]) -> float:
    """The mean without both ends."""
    cut = int(len(values) * TRIMMED)
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def steps_where(found: Timed, wanted: Callable[[int, int], bool]) -> float:
    """What steps took whose arm, and the arm before it, are as wanted."""
    arms = found.arms
    return centre([found.step_ns[i] for i in range(WARM, len(arms)) if wanted(arms[i - 1], arms[i])])


def interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """The median, and the limits of its interval by order statistics: nothing is assumed of how values are spread."""
    ordered, count = sorted(values), len(values)
    rank, missed = 0, 0.0
    while missed + math.comb(count, rank) / 2**count <= (1 - confidence) / 2:
        missed += math.comb(count, rank) / 2**count
        rank += 1
    rank = max(rank, 1)
    return statistics.median(ordered), ordered[rank - 1], ordered[count - rank]


QUANTITIES: Final = {
    "put": "put, hot",
    "put cold": "put, cold",
    "call": "call",
    "other": "untouched",
    "after": "afterwards",
    "carry-over": "carry-over",
    "A/A": "A/A",
}
"""By the name of each quantity its column."""
Samples = defaultdict[tuple[str, Shape, str], list[float]]


def measure(repetitions: int) -> Samples:
    """All cells, in turns: by mechanism, shape and quantity a value for each repetition, in ns."""
    found: Samples = defaultdict(list)
    drawn = random.Random(0)
    shapes = [Shape(calls, functions) for functions in FUNCTIONS for calls in CALLS]
    elsewhere, target = bytes(COLD_BYTES), bytearray(COLD_BYTES)
    kept: list[Case] = []

    def touch() -> None:
        target[:] = elsewhere

    for _ in range(repetitions):
        drawn.shuffle(shapes)
        # What is compared stands side by side: the machine's speed changes from second to second.
        for name, shape in [(name, shape) for shape in shapes for name in drawn.sample(MECHANISMS, len(MECHANISMS))]:
            each = case(name, shape)
            kept.append(each)  # so that the next ones lie elsewhere: where code lies is worth nanoseconds a call
            arms = [drawn.randrange(2) for _ in range(WARM + STEPS)]
            own, other = timed(each, each.own, arms), timed(each, each.other, arms)
            cold = timed(each, each.own, arms[:COLD_STEPS], touch)
            each.end()
            each.put = lambda arm: None
            after = timed(each, each.own, arms)
            values = {
                "put": centre(own.put_ns[WARM:]),
                "put cold": statistics.median(cold.put_ns),
                "call": centre(own.step_ns[WARM:]) / shape.calls,
                "other": centre(other.step_ns[WARM:]) / shape.calls,
                "carry-over": steps_where(own, int.__ne__) - steps_where(own, int.__eq__),
                "A/A": steps_where(own, lambda _, arm: arm == 1) - steps_where(own, lambda _, arm: arm == 0),
                "after": centre(after.step_ns[WARM:]) / shape.calls,
            }
            for quantity, value in values.items():
                found[name, shape, quantity].append(value)
    return found


def shown(found: Samples, name: str, shape: Shape, quantity: str) -> list[float]:
    """By repetition, what a mechanism takes more than plain; what is a difference already, and plain, as it is."""
    if name == "plain" or quantity in ("carry-over", "A/A"):
        return found[name, shape, quantity]
    plain = found["plain", shape, quantity]
    return [value - least for value, least in zip(found[name, shape, quantity], plain, strict=True)]


def cell(values: Sequence[float]) -> str:
    """A median with its interval, as text."""
    middle, low, high = interval(values)
    digits = 0 if max(abs(low), abs(high)) >= 100 else 1
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def single(values: Sequence[float]) -> str:
    """The range of nine in ten."""
    cuts = statistics.quantiles(values, n=20)
    return f"{cuts[0]:.0f} to {cuts[-1]:.0f}"


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def main() -> None:
    """Print the table as Markdown."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 41
    gc.collect()
    gc.disable()
    found = measure(repetitions)
    print(
        f"Python {platform.python_version()}, {processor()}; ns; median of {repetitions} repetitions of {STEPS}\n"
        "steps, each of new functions, and its 95 % interval; all but plain's rows less what plain takes. Put is\n"
        "before a step; call and untouched are a call's, carry-over and A/A a step's; afterwards is a call once all\n"
        "was put back. Single is the range of nine in ten single A/A: where in memory the two arms lie.\n"
    )
    print(f"| mechanism | calls | functions | {' | '.join(QUANTITIES.values())} | single |")
    print(f"|---|{'--:|' * (len(QUANTITIES) + 3)}")
    for name in MECHANISMS:
        for functions in FUNCTIONS:
            for calls in CALLS:
                shape = Shape(calls, functions)
                cells = [cell(shown(found, name, shape, quantity)) for quantity in QUANTITIES]
                print(f"| {name} | {calls} | {functions} | {' | '.join(cells)} | {single(found[name, shape, 'A/A'])} |")


if __name__ == "__main__":
    main()
