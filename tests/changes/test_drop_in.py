"""A user's function in place of a living one: by its code, or by a call."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import sys
from typing import TYPE_CHECKING, Any

import pytest

from harness.changes.adding import Additions
from harness.changes.codes import Code
from harness.changes.drop_in import drop_in, why_other_signature, why_trampoline

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.changes.conftest import Guest

COUNT = itertools.count()


@pytest.fixture
def mine(tmp_path: Path) -> Callable[[str], Any]:
    def load(text: str) -> Any:
        path = tmp_path / f"mine{next(COUNT)}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        return module

    return load


def test_its_code_is_set_where_its_names_allow(guest: Guest, mine: Any) -> None:
    core = guest.install(core="import math\nclass T:\n def f(self, x=1): return math.floor(x)\n")
    own = mine(
        "import math, json\nK = 5\ndef more(x): return x + K\n"
        "def f(self, x=2): return more(math.floor(x)) + len(json.dumps(1))\n"
    )
    additions = Additions()
    code = drop_in(core.T.f, own.f, additions)
    assert isinstance(code, Code)
    assert code.code is not own.f.__code__
    assert additions.told == ["json", "more"]
    core.T.f.__code__, core.T.f.__defaults__, core.T.f.__kwdefaults__ = code
    assert core.T().f() == 8
    additions.remove()
    assert not {"more", "json"} & vars(core).keys()


TRAMPOLINES = {
    "closure": (
        "def make():\n y = 1\n def f(x): return y\n return f\nf = make()\n",
        "it has variables of its own (y): a closure or a decorator",
    ),
    "stores": ("n = 0\ndef f(x):\n global n\n n += 1\n", "it sets the global name n"),
    "set elsewhere": (
        "n = 0\ndef g():\n global n\n n += 1\ndef f(x): return n\n",
        "it reads the global name n, which its file sets again later",
    ),
    "other object": ("K = []\ndef f(x): return K\n", "the global name K is another object in guest.core"),
    "in nested code": (
        "K = []\ndef f(x): return [K for _ in x]\n",
        "the global name K is another object in guest.core",
    ),
    "hides a builtin": (
        "def len(x): return 1\ndef f(x): return len(x)\n",
        "the global name len is Python's own in guest.core",
    ),
    "hidden builtin": ("def f(x): return sum(x)\n", "the global name sum is another object in guest.core"),
    "not there yet": ("def f(x): return later\n", "its file does not define the global name later yet"),
    "an object": ("class F:\n def __call__(self, x): return x\nf = F()\n", "it is an object of F, no plain function"),
}


@pytest.mark.parametrize("case", TRAMPOLINES)
def test_why_it_is_called_instead(guest: Guest, mine: Any, case: str) -> None:
    core = guest.install(core="K = {}\ndef sum(x): return 0\ndef f(x): return x\n")
    text, why = TRAMPOLINES[case]
    own, additions = mine(text).f, Additions()
    assert why_trampoline(core.f, own) == why
    assert drop_in(core.f, own, additions) is own
    assert additions.told == []


def test_a_living_function_with_a_cell_is_called_by_trampoline(guest: Guest) -> None:
    core = guest.install(core="class T:\n def f(self): return __class__\n")

    def f(self: Any) -> Any:
        return 1

    assert why_trampoline(core.T.f, f) == "the living function has free variables (__class__)"


def test_a_partial_is_called(guest: Guest) -> None:
    core = guest.install(core="def f(x): return x\n")
    assert why_trampoline(core.f, functools.partial(max, 1)) == "it is an object of partial, no plain function"


def signature(text: str) -> Any:
    return eval(f"lambda {text}: None")


SAME = [
    ("self, x, y=1, *, z=2", "me, x, y=5, *, z=3"),
    ("x, y", "x, y, more=1"),
    ("x, y", "*args, **kwargs"),
    ("x, *, y", "x, y"),
    ("x, /", "other, /"),
    ("*args, **kwargs", "*a, **k"),
    ("x=1", "x=None"),
]
OTHER = [
    ("x, y", "x", "'y' is missing"),
    ("x, y", "y, x", "'y' stands where 'x' is expected"),
    ("x, y=1", "x, y", "'y' has no default"),
    ("x", "x, more", "'more' is not given, and has no default"),
    ("x", "x, /", "'x' cannot be given by name"),
    ("x", "*, x", "'x' only by name"),
    ("x, *args", "x", "*args is missing"),
    ("x, **more", "x", "**more is missing"),
    ("*, z", "*, y", "'z' is missing"),
    ("x", "x, *, y", "'y' is not given, and has no default"),
]


@pytest.mark.parametrize(("native", "own"), SAME)
def test_signatures_that_serve(native: str, own: str) -> None:
    assert why_other_signature(signature(native), signature(own)) == ""


@pytest.mark.parametrize(("native", "own", "why"), OTHER)
def test_signatures_that_do_not_serve(native: str, own: str, why: str) -> None:
    said = why_other_signature(signature(native), signature(own))
    assert said == f"takes ({own}), where the native function takes ({native}): {why}"


def test_async_and_generators_are_told() -> None:
    async def one() -> None: ...

    def two() -> None: ...

    assert why_other_signature(one, two).endswith("only the native one is async")
    assert why_other_signature(two, one).endswith("only this one is async")
