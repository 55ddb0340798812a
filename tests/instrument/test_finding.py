"""Functions by wildcard, in a module of the tests."""

from __future__ import annotations

import pytest

from harness.errors import ConfigError
from harness.instrument.anatomy import PHASES_OF_A_TURN, SECTIONS, phases_of, whole
from harness.instrument.finding import find_functions, those_there

HERE = __name__


def one() -> None: ...


def another() -> None: ...


class Base:
    def inherited(self) -> None: ...


class Holder(Base):
    number = 3

    def method(self) -> None: ...

    def _private(self) -> None: ...

    @staticmethod
    def alone() -> None: ...


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("one", ["one"]),
        ("Holder", ["Holder._private", "Holder.alone", "Holder.method"]),
        ("Holder.*", ["Holder._private", "Holder.alone", "Holder.method"]),
        ("Holder._*", ["Holder._private"]),
        ("Holder.inherited", ["Holder.inherited"]),
        ("H*.m?thod", ["Holder.method"]),
    ],
)
def test_a_pattern_names_functions(pattern, names) -> None:
    assert find_functions(f"{HERE}.{pattern}") == [f"{HERE}.{name}" for name in names]


def test_a_module_names_all_that_is_written_in_it_and_nothing_that_it_imports() -> None:
    found = find_functions(HERE)
    assert {f"{HERE}.one", f"{HERE}.another", f"{HERE}.Holder.method"} <= set(found)
    assert not any(name.endswith(".those_there") for name in found)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        (f"{HERE}.onee", f"did you mean {HERE}.one"),
        (f"{HERE}.Nothing.*", "names no function"),
        ("no_such_package.x", "there is no module 'no_such_package'"),
    ],
)
def test_what_names_no_function_is_refused(pattern, told) -> None:
    with pytest.raises(ConfigError) as refused:
        find_functions(pattern)
    assert told in str(refused.value)


def test_those_there_keep_their_order_and_one_function_is_given_once() -> None:
    names = [f"{HERE}.Holder.inherited", f"{HERE}.one", f"{HERE}.missing", "no.such", f"{HERE}.Base.inherited"]
    assert those_there(names) == names[:2]


def test_every_phase_is_in_a_section_and_named_once() -> None:
    names = [(phase.name, phase.generation) for phase in PHASES_OF_A_TURN]
    assert len(set(names)) == len(names)
    assert {phase.section for phase in PHASES_OF_A_TURN} == set(SECTIONS)
    for generation in ("v1", "v2"):
        known = {phase.name for phase in phases_of("turn", generation)}
        assert {"rest of execute", "schedule"} <= {phase.label for phase in phases_of("turn", generation)}
        assert set(whole("", generation)) <= known
    assert {phase.section for phase in phases_of("", "v1")} == {"turn"}
