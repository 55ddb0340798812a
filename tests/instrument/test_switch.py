"""The switch: whoever holds a function sees the arm, everything is set at every step, and nothing is left behind."""

from __future__ import annotations

import functools
import sys
import textwrap
import traceback
import types
from typing import TYPE_CHECKING, Any

import pytest

from harness.changes.code import Code
from harness.instrument import switch as switch_module
from harness.instrument.instrument import Instrument
from harness.instrument.instrumentation import Instrumentation
from harness.instrument.switch import Around, Placement, Switch, restore_all
from tests.fakes import BlockTable, Runner, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIBRARY = """
LIMIT = 3


def add(a, b=1, *, c=2):
    return ("native", a, b, c)


def untouched(x):
    return ("untouched", x)


def limited():
    return LIMIT, globals().get("EXTRA", "absent")


class Base:
    def __init__(self, name="base"):
        self.name = name

    def told(self):
        return "base of " + self.name

    @staticmethod
    def static(x):
        return ("native", x)

    @classmethod
    def made(cls, x):
        return cls(x).name


class Child(Base):
    def told(self):
        return "child, " + super().told()


def outer():
    count = 10

    def inner(x):
        return count + x

    return inner


inner = outer()
"""

IMPORTER = """
from functools import partial

from switched_library import add, add as renamed, Base

TABLE = {"add": add, "nested": [add]}
bound = partial(add, 5)


def call(x):
    return add(x)
"""


@pytest.fixture
def library() -> Iterator[Any]:
    """A module, and another that has imported from it."""
    made = []
    for name, text in (("switched_library", LIBRARY), ("switched_importer", IMPORTER)):
        module = types.ModuleType(name)
        sys.modules[name] = module
        exec(compile(textwrap.dedent(text), f"{name}.py", "exec"), vars(module))
        made.append(module)
    names = [set(vars(module)) for module in made]
    made[0].importer = made[1]
    yield made[0]
    restore_all()
    del made[0].importer
    assert [set(vars(module)) for module in made] == names, "names were left in a module"
    del sys.modules["switched_library"], sys.modules["switched_importer"]


def added(a, b=7, *, c=8):
    return ("arm", a, b, c)


def of(function: Callable[..., Any]) -> Code:
    assert isinstance(function, types.FunctionType)
    return Code.of(function)


def two(library: Any, **given: Any) -> Switch:
    """Native and an arm of `add`."""
    return Switch([Placement(), Placement(functions={library.add: of(added)}, **given)])


def bound(switch: Switch, around: Any = None, **options: Any) -> Switch:
    switch.bind(around or {}, **options)
    return switch


# Who sees the arm.


@pytest.mark.parametrize(
    ("where", "call"),
    [
        ("its own module", lambda library: library.add(5)),
        ("imported by name", lambda library: library.importer.add(5)),
        ("under another name", lambda library: library.importer.renamed(5)),
        ("a global of another module's function", lambda library: library.importer.call(5)),
        ("a table", lambda library: library.importer.TABLE["add"](5)),
        ("a list in a table", lambda library: library.importer.TABLE["nested"][0](5)),
        ("a partial", lambda library: library.importer.bound()),
    ],
)
@pytest.mark.parametrize("by_call", [False, True])
def test_whoever_holds_the_function_sees_the_arm(library, where, call, by_call) -> None:
    held = {"callables": {library.add: added}} if by_call else {"functions": {library.add: of(added)}}
    switch = bound(Switch([Placement(), Placement(**held)]))
    assert call(library) == ("native", 5, 1, 2)
    for arm, said in ((1, ("arm", 5, 7, 8)), (0, ("native", 5, 1, 2)), (1, ("arm", 5, 7, 8))):
        switch.put(arm, False)
        assert call(library) == said
    assert switch.restore() == []
    assert call(library) == ("native", 5, 1, 2)


def test_a_method_that_was_bound_before_sees_the_arm_and_keeps_its_object(library) -> None:
    kept, later = library.Base("one").told, library.Base("two")
    switch = bound(
        Switch([Placement(), Placement(functions={library.Base.told: of(lambda self: f"arm of {self.name}")})])
    )
    switch.put(1, False)
    assert (kept(), later.told(), library.Child("three").told()) == ("arm of one", "arm of two", "child, arm of three")
    switch.put(0, False)
    assert (kept(), later.told(), library.Child("three").told()) == (
        "base of one", "base of two", "child, base of three",
    )  # fmt: skip


def test_static_and_class_methods_are_functions_as_well(library) -> None:
    static, made = vars(library.Base)["static"].__func__, vars(library.Base)["made"].__func__
    arm = Placement(functions={static: of(lambda x: ("arm", x)), made: of(lambda cls, x: (cls.__name__, x))})
    switch = bound(Switch([Placement(), arm]))
    kept = library.Child.made
    switch.put(1, False)
    assert (library.Base.static(1), library.Child().static(1), kept("x")) == (("arm", 1), ("arm", 1), ("Child", "x"))
    switch.put(0, False)
    assert (library.Base.static(1), kept("x")) == (("native", 1), "x")


# What is set.


def test_all_functions_are_set_at_every_step_also_when_the_arm_stays(library) -> None:
    """Setting the code is what makes CPython forget for what it had specialised call sites: no step may go without."""
    other = Placement(functions={library.untouched: of(lambda x: ("other", x))})
    switch = bound(Switch([Placement(), Placement(functions={library.add: of(added)}), other]))
    functions = (library.add, library.untouched)

    def set_by(arm: int) -> list[tuple[Any, Any, Any]]:
        for function in functions:  # whatever else may stand there
            function.__code__, function.__defaults__, function.__kwdefaults__ = _stray.__code__, (0,), {"c": 0}
        switch.put(arm, False)
        return [(each.__code__, each.__defaults__, each.__kwdefaults__) for each in functions]

    for arm in (0, 1, 1, 2, 0, 0):
        found = set_by(arm)
        assert set_by(arm) == found
        assert _stray.__code__ not in [code for code, *_ in found]
        assert [defaults for _, *defaults in found] == [
            [(7,), {"c": 8}] if arm == 1 else [(1,), {"c": 2}],
            [None, None],
        ]
    assert switch.restore() == []


def _stray(*args): ...


def test_every_arm_has_code_objects_of_its_own_also_of_what_it_leaves(library) -> None:
    """A/A is native's source on the same way: it warms up by itself, and native's own code object runs under no arm."""
    native = library.add.__code__
    switch = bound(Switch([Placement(), Placement(), Placement(functions={library.add: of(added)})]))
    codes = []
    for arm in range(3):
        switch.put(arm, False)
        codes.append((library.add.__code__, arm))
    (first, _), (second, _), (third, _) = codes
    assert first == second == native
    assert len({id(code) for code in (native, first, second, third)}) == 4
    assert set(map(id, (native, first, second, third))) <= set(map(id, switch.codes(library.add)))
    assert third in switch.arms_own()
    switch.restore()
    assert library.add.__code__ is native


def test_the_codes_of_a_function_are_natives_the_arms_and_those_of_what_is_called_in_its_place(library) -> None:
    def in_place(*args):
        return args

    arm = Placement(callables={library.limited: in_place, library.Child.told: functools.partial(print)})
    switch = Switch([Placement(), Placement(functions={library.add: of(added)}), arm])
    native = library.limited.__code__
    assert switch.codes(library.limited)[0] is native
    assert len(switch.codes(library.limited)) == 1 + 3 + 1
    assert switch.codes(library.limited)[-1] is in_place.__code__
    assert len(switch.codes(library.Child.told)) == 1 + 3, "a partial has no code"
    assert switch.codes(library.add)[2] is added.__code__
    assert switch.codes(library.untouched) == [library.untouched.__code__], "which no arm changes"
    assert switch.arms_own() == {added.__code__, in_place.__code__}


def test_what_is_put_back_is_what_was_there_by_identity(library) -> None:
    add, defaults, kwdefaults = library.add, library.add.__defaults__, library.add.__kwdefaults__
    code, value = add.__code__, library.LIMIT
    arm = Placement({add: of(added)}, {library.limited: lambda: "arm"}, [(vars(library), "LIMIT", 9)])
    switch = bound(Switch([Placement(), arm]))
    switch.put(1, False)
    assert (add.__code__, library.LIMIT) != (code, value)
    assert switch.restore() == []
    assert library.add is add
    assert (add.__code__ is code, add.__defaults__ is defaults, add.__kwdefaults__ is kwdefaults) == (True, True, True)
    assert library.LIMIT is value
    assert switch.restore() == [], "once more does nothing"


def test_values_are_switched_and_a_name_that_was_not_there_is_taken_away_again(library) -> None:
    arm = Placement(values=[(vars(library), "LIMIT", 9), (vars(library), "EXTRA", "here")])
    switch = bound(Switch([Placement(), arm, Placement(values=[(vars(library), "LIMIT", 4)])]))
    for index, said in ((0, (3, "absent")), (1, (9, "here")), (2, (4, "absent")), (1, (9, "here")), (0, (3, "absent"))):
        switch.put(index, False)
        assert library.limited() == said
    switch.put(1, False)
    switch.restore()
    assert library.limited() == (3, "absent")
    assert "EXTRA" not in vars(library)


# Trampolines.


def test_a_function_with_super_goes_through_a_trampoline_under_every_arm(library) -> None:
    def told(self):
        return f"arm, {library.Base.told(self)}"

    function = library.Child.told
    assert function.__code__.co_freevars == ("__class__",)
    switch = bound(Switch([Placement(), Placement(callables={function: told}), Placement()]))
    assert switch.trampolined == {function}
    kept, native = library.Child("one").told, function.__code__
    for arm, said in ((0, "child, base of one"), (1, "arm, base of one"), (2, "child, base of one")):
        switch.put(arm, False)
        assert kept() == said
        assert function.__code__ is not native
        assert function.__code__.co_filename == "<harness: trampoline>"
        assert function.__code__.co_name == "told"
    switch.restore()
    assert function.__code__ is native
    assert kept() == "child, base of one"


def test_a_closure_keeps_its_cells_behind_the_trampoline(library) -> None:
    start = 100
    switch = bound(Switch([Placement(), Placement(callables={library.inner: lambda x: start + x})]))
    for arm, said in ((0, 11), (1, 101), (0, 11)):
        switch.put(arm, False)
        assert library.inner(1) == said


def test_a_trampoline_takes_any_arguments_and_natives_defaults_hold(library) -> None:
    switch = bound(Switch([Placement(), Placement(callables={library.add: lambda *args, **kwargs: (args, kwargs)})]))
    switch.put(0, False)
    assert [library.add(1), library.add(1, 5), library.add(b=5, a=1, c=6)] == [
        ("native", 1, 1, 2), ("native", 1, 5, 2), ("native", 1, 5, 6),
    ]  # fmt: skip
    switch.put(1, False)
    assert library.add(1, b=5) == ((1,), {"b": 5})


@pytest.mark.parametrize("by_call", [False, True])
def test_what_an_arm_raises_has_its_own_file_and_line(library, by_call) -> None:
    def fails(a, b=1, *, c=2):
        raise ZeroDivisionError(a)

    held = {"callables": {library.add: fails}} if by_call else {"functions": {library.add: of(fails)}}
    switch = bound(Switch([Placement(), Placement(**held)]))
    switch.put(1, False)
    with pytest.raises(ZeroDivisionError) as caught:
        library.add(5)
    *_, last = traceback.extract_tb(caught.tb)
    assert (last.filename, last.lineno) == (__file__, fails.__code__.co_firstlineno + 1)


def test_nothing_is_left_in_a_modules_names(library) -> None:
    before = dict(vars(library))
    switch = bound(
        Switch([Placement(), Placement(callables={library.add: added, library.Child.told: lambda self: ""})])
    )
    switch.put(1, False)
    assert {name for name in vars(library) if name not in before}, "through which trampolines lead"
    assert all(name.startswith("_harness_") for name in vars(library) if name not in before)
    switch.restore()
    assert vars(library) == before
    assert list(vars(library)) == list(before)


# What is put around.


def told_by(log: list[Any], name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def wrapper(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def around(*args: Any, **kwargs: Any) -> Any:
            log.append(name)
            return call(*args, **kwargs)

        return around

    return wrapper


def test_wrappers_stand_around_every_arm_where_the_step_is_probed(library) -> None:
    log: list[str] = []
    native = library.untouched.__code__
    switch = two(library)
    switch.know(library.untouched)
    switch.know(library.untouched)
    around = {
        library.add: Around(told_by(log, "probed add")),
        library.untouched: Around(told_by(log, "probed"), told_by(log, "bare")),
    }
    bound(switch, around)
    for arm in (0, 1):
        for probed, said in ((True, ["probed add", "probed"]), (False, ["bare"])):
            switch.put(arm, probed)
            assert library.add(5)[0] == ("arm" if arm else "native")
            assert library.untouched(5) == ("untouched", 5)
            assert log == said
            log.clear()
    assert switch.changed == (library.add,)
    assert switch.functions == (library.add, library.untouched)
    assert switch.restore() == []
    assert library.untouched.__code__ is native


def test_values_that_can_be_called_have_their_wrapper_too(library) -> None:
    log: list[str] = []
    space = {"call": lambda: "native", "limit": 3}
    switch = Switch([Placement(), Placement(values=[(space, "call", lambda: "arm"), (space, "limit", 4)])])
    native = space["call"]
    bound(switch, of_values=Around(told_by(log, "probed")))
    for arm, said in ((0, ("native", 3)), (1, ("arm", 4))):
        for probed in (True, False):
            switch.put(arm, probed)
            assert (space["call"](), space["limit"]) == said
            assert log == ["probed"] * probed
            log.clear()
    switch.restore()
    assert space == {"call": native, "limit": 3}


def test_what_checks_an_arms_contract_stands_there_in_checking_passes_alone(library) -> None:
    arm = Placement(callables={library.add: added}, checked={library.add: lambda *args: "checked"})
    switch = Switch([Placement(), arm])
    for checking, said in ((False, ("arm", 5, 7, 8)), (True, "checked"), (False, ("arm", 5, 7, 8))):
        bound(switch, checking=checking)
        switch.put(1, False)
        assert library.add(5) == said
        switch.put(0, False)
        assert library.add(5) == ("native", 5, 1, 2)
        switch.restore()


# Passes that were not ended, and others who change the same.


def test_a_pass_that_was_not_ended_refuses_another_switch_on_the_same_function(library) -> None:
    first, second = two(library), two(library)
    bound(first)
    message = "add is being switched; end that pass before"
    with pytest.raises(RuntimeError, match=message):
        two(library)
    with pytest.raises(RuntimeError, match=message):
        second.bind({})
    assert not second.bound
    elsewhere = Switch([Placement(functions={library.untouched: of(lambda x: "arm")})])
    with pytest.raises(RuntimeError, match=message):
        elsewhere.know(library.add)
    bound(elsewhere).put(0, False)
    assert library.untouched(1) == "arm"
    assert first.restore() == elsewhere.restore() == []
    bound(second).put(1, False)
    assert library.add(5) == ("arm", 5, 7, 8)


def test_whatever_was_not_ended_can_be_put_back_at_once(library) -> None:
    switch = bound(two(library))
    switch.put(1, False)
    restore_all()
    assert not switch.bound
    assert not switch_module._bound
    assert library.add(5) == ("native", 5, 1, 2)


def test_an_interrupt_while_a_pass_is_prepared_leaves_nothing(library) -> None:
    def interrupted(call):
        raise KeyboardInterrupt

    switch = two(library)
    with pytest.raises(KeyboardInterrupt):
        bound(switch, {library.add: Around(interrupted)})
    assert switch.restore() == []
    bound(switch).put(1, False)
    assert library.add(5) == ("arm", 5, 7, 8)


def test_what_somebody_else_put_there_meanwhile_is_named_and_left(library) -> None:
    switch = two(library, values=[(vars(library), "LIMIT", 9)])
    switch.know(library.untouched)
    bound(switch).put(1, False)
    library.untouched.__code__ = _stray.__code__
    library.LIMIT = 77
    assert switch.restore() == ["untouched", "LIMIT"]
    assert (library.untouched.__code__, library.LIMIT) == (_stray.__code__, 77)
    assert library.add(5) == ("native", 5, 1, 2)


def test_an_instrument_that_was_not_ended_refuses_another_pass_on_the_same_class(library) -> None:
    arms = [("native", "", None), ("list", "patches.slot_mapping:List", None)]
    described = Instrumentation("slot_mapping", arms, [], "_prepare_inputs")
    first, second = (Instrument(Runner(), described, VirtualClock(1)) for _ in range(2))
    native = BlockTable.compute_slot_mapping.__code__
    first.begin("bare", [1])
    with pytest.raises(RuntimeError, match="compute_slot_mapping is being switched"):
        second.begin("bare", [1])
    assert second.end()["unrestored"] == []
    assert BlockTable.compute_slot_mapping.__code__ is not native, "the first pass is still under way"
    assert first.end()["unrestored"] == []
    assert BlockTable.compute_slot_mapping.__code__ is native
