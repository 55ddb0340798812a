"""What is switched in a package's modules: values of names, wrapped functions, and what a refused arm leaves behind."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

from harness.changes import sources
from harness.changes.sources import from_tree
from harness.errors import ConfigError, GrainError, SeamError
from harness.hosts.base import PassResult
from harness.instrument import placing
from harness.instrument.instrument import Instrument
from harness.instrument.instrumentation import ArmSpec, Instrumentation
from harness.running.reached import Reached
from harness.running.refusing import insist_on_calls
from tests.changes.conftest import guest  # noqa: F401 (a fixture)
from tests.fakes import Runner, checked

if TYPE_CHECKING:
    from tests.changes.conftest import Guest

PREPARE = "tests.fakes.Runner._prepare_inputs"
LENGTHS = [(3, 4), (2, 3)]
STEPS = 4
CORE = "from guest.old import rule\nLIMIT = 1\ndef step():\n    return rule(LIMIT)\n"
RULE = "def rule(limit):\n    return limit\n"


@pytest.fixture
def package(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> Guest:  # noqa: F811
    """The guest in vLLM's place."""
    monkeypatch.setattr(placing, "PACKAGE", "guest")
    monkeypatch.setattr(placing, "files_in", lambda folder, root: sources.files_in(folder, root, "guest"))
    guest.install(core=CORE, old=RULE)
    return guest


def arm(package: Guest, name: str, **texts: str) -> ArmSpec:
    into = package.scratch()
    from_tree(package.tree(**texts), package.root, into, package="guest")
    return ArmSpec(name, "", None, str(into))


def instrument(*arms: ArmSpec, probes: tuple[str, ...] = (), swap: str = "", runner: Any = None) -> Instrument:
    native = ArmSpec("native", "", None)
    return Instrument(runner or Runner(), Instrumentation("", [native, *arms], probes, "_prepare_inputs", swap=swap))


def facts_of(made: Instrument, runner: Runner, arms: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The facts that a run has of its switch and its calls, and what was seen under the last arm."""
    results = checked(made, lambda: runner.serve(LENGTHS), *([index] for index in range(1, arms + 1)))
    facts: dict[str, Any] = {"switch": made.describe()}
    for index, result in enumerate(results, start=1):
        Reached(facts).note(made.arm_names[index], PassResult(tokens=None, **result))
    return facts, results[-1]["watched"]


def test_an_import_that_is_replaced_is_counted_where_its_name_is_called(package) -> None:
    core = sys.modules["guest.core"]
    native = core.rule
    new = CORE.replace("guest.old", "guest.new")
    runner = Runner(work=lambda: core.step())
    made = instrument(arm(package, "pr", core=new, new=RULE), runner=runner)
    facts, watched = facts_of(made, runner, 1)
    assert facts["calls"] == {"pr": {"guest.core.rule": STEPS}}
    assert watched["calls"]["guest.core.rule"] == [1] * STEPS
    reached = Reached(facts)
    insist_on_calls(reached, "the changed functions", seam=False)
    assert reached.called() == [], "its name is the switch's, and no probe's"
    assert core.rule is native
    assert sys.modules["guest.new"].rule.__code__ in made._limit.arms_own, "or nobody would interrupt it"
    with pytest.raises(ConfigError, match=r"probes: guest\.old\.rule: arms change what stands under the name rule"):
        made.focus("_prepare_inputs", ["guest.old.rule"])
    made.remove()


def test_what_a_change_caches_is_forgotten_before_each_pass_and_found_answers_are_counted(package) -> None:
    core = sys.modules["guest.core"]
    caches = "from functools import lru_cache\n@lru_cache\ndef _rule(limit):\n    return rule(limit)\n"
    runner = Runner(work=lambda: core.step())
    made = instrument(arm(package, "pr", core=caches + CORE.replace("return rule", "return _rule")), runner=runner)
    passes = [facts_of(made, runner, 1)[0]["cache_hits"] for _ in range(2)]
    assert passes == [{"pr": {"pr: guest.core._rule": STEPS - 1}}] * 2
    made.remove()


def test_a_name_that_nobody_calls_is_refused_and_a_number_under_a_name_is_not(package) -> None:
    runner = Runner()
    called = arm(package, "import", core=CORE.replace("guest.old", "guest.new"), new=RULE)
    made = instrument(called, runner=runner)
    facts, _ = facts_of(made, runner, 1)
    with pytest.raises(SeamError, match=r"^0 calls of the changed functions"):
        insist_on_calls(Reached(facts), "the changed functions", seam=False)
    made.remove()
    made = instrument(arm(package, "number", core=CORE.replace("LIMIT = 1", "LIMIT = 2")), runner=runner)
    facts, _ = facts_of(made, runner, 1)
    insist_on_calls(Reached(facts), "the changed functions", seam=False)
    made.remove()


def test_of_an_arm_that_is_refused_nothing_stays_in_the_modules_not_even_of_the_arm_before(package) -> None:
    core = sys.modules["guest.core"]
    before = set(vars(core))
    adds = CORE.replace("return rule(LIMIT)", "return new()") + "def new():\n    return 7\n"
    refused = "import functools\n" + CORE.replace("def step", "@functools.cache\ndef step")
    with pytest.raises(GrainError, match="arm 'two' cannot be switched"):
        instrument(arm(package, "one", core=adds), arm(package, "two", core=refused))
    assert set(vars(core)) == before
    with pytest.raises(ConfigError, match="nowhere"):  # so too where anything else is wrong
        instrument(arm(package, "one", core=adds), probes=("guest.core.nowhere",))
    assert set(vars(core)) == before


class Kernel:
    """As Triton's: an object that tells what it was made of."""

    def __init__(self, function: Any) -> None:
        functools.update_wrapper(self, function)

    def __call__(self) -> None: ...


Kernel.__module__ = "triton.runtime.jit"


def plain() -> int:
    return 1


@functools.wraps(plain)
def wrapped() -> int:
    return plain()


cached, doubly = functools.lru_cache(plain), functools.wraps(plain)(lambda: cached())
doubly.__wrapped__ = cached
kernel = Kernel(plain)


@pytest.fixture
def with_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made when a test needs it: the compiler takes seconds to import, in every process that collects tests."""
    monkeypatch.setattr(sys.modules[__name__], "compiled", torch.compile(plain), raising=False)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (f"{__name__}.cached", "is cached by lru_cache: results of one arm would be given to the other"),
        (f"{__name__}.doubly", "is cached by lru_cache: results of one arm would be given to the other"),
        (f"{__name__}.compiled", "is compiled by torch.compile: each switch would compile it again"),
        (f"{__name__}.kernel", "is a Triton kernel: compiled from its source text and cached, so its code never runs"),
        ("torch.tensor", "is built in: it has no Python code"),
    ],
)
@pytest.mark.usefixtures("with_compiled")
def test_what_cannot_be_switched_is_refused_also_where_it_is_swapped_by_name(name, why) -> None:
    with pytest.raises(ConfigError, match=f"^swap '{name}' {why}$"):
        instrument(swap=name)


def test_what_only_wraps_a_function_is_swapped_inside() -> None:
    assert instrument(swap=f"{__name__}.wrapped").describe()["functions"] == [f"{__name__}.plain"]


def test_a_swap_that_leads_nowhere_is_told_as_a_swap() -> None:
    with pytest.raises(ConfigError, match=r"swap.*json\.dmups"):
        instrument(swap="json.dmups")
