"""What cannot be switched in a living engine, in the words that a user reads; and nothing is touched then."""

from __future__ import annotations

import gc
import importlib
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.changes.conftest import Guest


def why(guest: Guest, old: str, new: str, use: Any = None, **others: str) -> list[str]:
    core = guest.install(core=old, **others)
    kept = use(core) if use is not None else None
    before = dict(vars(core))
    built = guest.build(core=new)
    del kept
    assert dict(vars(core)) == before
    assert not built.functions
    assert not built.added
    return [f"{each.name}: {each.why}" for each in built.refused]


LIMIT = "LIMIT = {}\nclass A:\n def __init__(self): self.g()\n def g(self): self.x = LIMIT\n"
INIT = "class A:\n def __init__(self): self.x = {}\n"
CASES = {
    "living objects": (
        INIT.format(1),
        INIT.format(2),
        lambda core: core.A(),
        "A.__init__: makes objects, and 1 of A lives, made by the old one",
    ),
    "living objects of a subclass": (
        INIT.format(1) + "class B(A): pass\n",
        INIT.format(2) + "class B(A): pass\n",
        lambda core: [core.B(), core.A()],
        "A.__init__: makes objects, and 2 of A live, made by the old one",
    ),
    "a value that made living objects": (
        LIMIT.format(1),
        LIMIT.format(2),
        lambda core: core.A(),
        "LIMIT: is read where objects are made, and 1 of A lives",
    ),
    "lru_cache in another name": (
        "from functools import lru_cache as memo\n@memo\ndef f(): return 1\n",
        "from functools import lru_cache as memo\n@memo\ndef f(): return 2\n",
        None,
        "f: is cached by lru_cache: results of one arm would be given to the other",
    ),
    "builtin": (
        "try:\n from math import floor as f\nexcept ImportError:\n def f(): return 1\n",
        "try:\n from math import floor as f\nexcept ImportError:\n def f(): return 2\n",
        None,
        "f: is built in: it has no Python code",
    ),
    "an object": (
        "class D:\n def __init__(self, f): pass\n@D\ndef f(): return 1\n",
        "class D:\n def __init__(self, f): pass\n@D\ndef f(): return 2\n",
        None,
        "f: is an object of D in the living module, with no code of its own",
    ),
    "not in the living module": (
        "def f(): return 1\ndel f\n",
        "def f(): return 2\ndel f\n",
        None,
        "f: is not in the living module: the module made it under another condition, or took it away",
    ),
    "defined twice": (
        "def f(): return 1\nif True:\n def f(): return 9\n",
        "def f(): return 2\nif True:\n def f(): return 9\n",
        None,
        "f: is defined more than once in its module",
    ),
    "missing name": (
        "def f(): return 1\n",
        "def f(): return nowhere\n",
        None,
        "f: uses nowhere, which the living module does not have",
    ),
    "hidden by a method": (
        "class B:\n def g(self): return 1\nclass A(B): pass\n",
        "class B:\n def g(self): return 1\nclass A(B):\n def g(self): return 2\n",
        None,
        "A.g: hides the inherited B.g, for the other arm too",
    ),
    "hidden for a subclass": (
        "class M:\n def g(self): return 1\nclass A: pass\nclass C(A, M): pass\n",
        "class M:\n def g(self): return 1\nclass A:\n def g(self): return 2\nclass C(A, M): pass\n",
        None,
        "A.g: hides the inherited M.g, for the other arm too",
    ),
    "went away": (
        "class B:\n def g(self): return 1\nclass A(B):\n def g(self): return 2\n",
        "class B:\n def g(self): return 1\nclass A(B): pass\n",
        None,
        "A.g: went away, so that the inherited B.g runs instead",
    ),
    "new setter": (
        "class A:\n @property\n def x(self): return 1\n",
        "class A:\n @property\n def x(self): return 1\n @x.setter\n def x(self, v): pass\n",
        None,
        "A.x@setter: a new accessor of a property that is there: the property would change for both arms",
    ),
    "hides a built-in": (
        "def h(x): return len(x)\n",
        "def len(x): return 42\ndef h(x): return len(x) + 1\n",
        None,
        "len: hides Python's own len, for the other arm too",
    ),
    "property over an attribute": (
        "class A:\n def g(self): self.x = 1\n",
        "class A:\n def g(self): self._x = 1\n @property\n def x(self): return self._x\n",
        None,
        "A.x: A.g sets an attribute of this name, which native's objects have",
    ),
    "property over an attribute of a subclass": (
        "class A: pass\nclass B(A):\n def g(self): self.x = 1\n",
        "class A:\n @property\n def x(self): return 2\nclass B(A):\n def g(self): self.x = 1\n",
        None,
        "A.x: B.g sets an attribute of this name, which native's objects have",
    ),
    "escaped closures": (
        "def make():\n def inner(): return 1\n return inner\n",
        "def make():\n def inner(): return 2\n return inner\n",
        lambda core: core.make(),
        "make: has made functions that live on (inner): they keep the old code",
    ),
    "kept results": (
        "from functools import cached_property\nclass A:\n @cached_property\n def x(self): return 1\n",
        "from functools import cached_property\nclass A:\n @cached_property\n def x(self): return 2\n",
        lambda core: (lambda a: (a.x, a))(core.A()),
        "A.x: is a cached_property, and 1 object keeps its old result",
    ),
    "generated": (
        "exec('def f(): return 1')\nif 0:\n def f(): return 1\n",
        "exec('def f(): return 1')\nif 0:\n def f(): return 2\n",
        None,
        "f: is generated: it has no code in the source",
    ),
    "raises": (
        "def f(): return 1\n",
        "X = 1 / 0\ndef f(): return X\n",
        None,
        "X: raised when it was added: ZeroDivisionError: division by zero",
    ),
    "raises in defaults": (
        "def f(): return 1\n",
        "def f(a=1 / 0): return 1\n",
        None,
        "f: its values cannot be worked out: ZeroDivisionError: division by zero",
    ),
    "an import that is not there": (
        "def f(): return 1\n",
        "from guest import nowhere\ndef f(): return nowhere\n",
        None,
        "nowhere: raised when it was added: ImportError: ",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refusals(guest: Guest, case: str) -> None:
    old, new, use, said = CASES[case]
    found = why(guest, old, new, use)
    assert len(found) == 1
    assert found[0].startswith(said)


def test_others_that_hold_a_value_by_name(guest: Guest) -> None:
    found = why(
        guest, "X = 1\n", "X = 2\n", a="from guest.core import X\n", b="X = 1\n", c="from .core import X as y\n"
    )
    assert found == ["X: guest.a.X and 1 more holds the old value by name as well"]


def test_a_module_that_the_change_imports_later(guest: Guest) -> None:
    guest.install(core="def f():\n from guest.idle import g\n return g()\n")
    guest.write(guest.root, {"idle.py": "def g(): return 1\n"})
    texts = {
        "core": "def f():\n from guest.idle import g\n return 10 + g()\n",
        "fresh": "from . import idle\n",
    }
    for name, text in texts.items():
        (refused,) = guest.build(**{name: text}, idle="def g(): return 2\n").refused
        assert (refused.module, refused.why) == ("guest.idle", f"is not imported yet, and guest.{name} imports it")
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n from guest.idle import g\ndef f(): return 2\n"
    built = guest.build(core=typed, idle="def g(): return 2\n")
    assert not built.refused
    assert built.imported == []
    importlib.import_module("guest.idle")
    assert built.imported == ["guest.idle"]


OTHERS = {
    "a default": (
        "from guest import core\ndef use(x=core.LIMIT): return x\n",
        "LIMIT: its value was used at import already (guest.other line 2)",
    ),
    "a call": ("from .core import f as g\nT = g()\n", "f: was called at import already (guest.other line 2)"),
    "a call of what calls it": (
        "import guest.core\ndef h(): return guest.core.make()\nT = h()\n",
        "f: was called at import already (guest.other line 3)",
    ),
    "the package": ("from guest import f\nT = f()\n", "f: was called at import already (guest.other line 2)"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_modules_that_used_it_at_import(guest: Guest, case: str) -> None:
    other, said = OTHERS[case]
    old = "LIMIT = {0}\ndef f(): return {0}\ndef make(): return f()\n"
    new = old.format(2).replace("2", "1", 1) if said.startswith("f") else old.format(1).replace("1", "2", 1)
    if case == "the package":
        guest.install(core=old.format(1))
        sys.modules["guest"].f = sys.modules["guest.core"].f  # type: ignore[attr-defined]
    assert why(guest, old.format(1), new, other=other) == [said]


def test_other_modules_of_the_change_that_use_it_at_import(guest: Guest) -> None:
    guest.install(core="LIMIT = 1\ndef f(): return 1\n", other="def g(): return 1\n")
    used = "is used by what the change makes at import"
    texts = {
        "other": "from guest import core\nT = core.LIMIT\ndef g(): return T\n",
        "fresh": "if True:\n from .core import LIMIT\n",
    }
    for name, text in texts.items():
        built = guest.build(core="LIMIT = 2\ndef f(): return 1\n", **{name: text})
        assert [each.why for each in built.refused] == [f"its value {used} (guest.{name} line 2)"]
    left = guest.build(core="LIMIT = 2\ndef f(): return 1\n", other=f"{texts['other']}new = 1\n", only=("LIMIT",))
    assert not left.refused
    late = "def g():\n from guest.core import LIMIT\n return LIMIT\n"
    assert not guest.build(core="LIMIT = 2\ndef f(): return 1\n", other=late).refused


def test_objects_of_other_modules_that_a_value_made(guest: Guest) -> None:
    other = "from guest import core\nclass S:\n def __init__(self): self.x = core.LIMIT\n"
    guest.install(core="LIMIT = 1\n", other=other)
    kept = sys.modules["guest.other"].S()
    (refused,) = guest.build(core="LIMIT = 2\n").refused
    assert refused.why == "is read where objects are made, and 1 of S lives"
    del kept
    # None lives now, and none may outlive a step.
    assert guest.build(core="LIMIT = 2\n").makers == {sys.modules["guest.other"].S}


def test_a_function_that_somebody_has_patched(guest: Guest) -> None:
    def use(core: Any) -> None:
        core.f = lambda: 5

    (found,) = why(guest, "def f(): return 1\n", "def f(): return 2\n", use)
    assert found.startswith("f: the living one is from test_refusals.py:")
    assert found.endswith(", the installed one stands at core.py:1: somebody has patched it")


def test_a_module_from_elsewhere(guest: Guest) -> None:
    def use(core: Any) -> None:
        core.__file__ = "/elsewhere/core.py"

    found = why(guest, "def f(): return 1\n", "def f(): return 2\n", use)
    assert found == [": the living module is from /elsewhere/core.py, not from what is installed"]


def test_a_name_that_the_text_does_not_have(guest: Guest) -> None:
    def use(core: Any) -> None:
        core.X = object()

    found = why(guest, "def f(): return 1\n", "X = 2\ndef f(): return X\n", use)
    assert found == ["X: the living module or class has this name already, though its text does not"]


def test_frozen_objects_count_and_stay_frozen(guest: Guest) -> None:
    core = guest.install(core=INIT.format(1))
    kept = core.A()
    gc.freeze()
    try:
        (refused,) = guest.build(core=INIT.format(2)).refused
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()
    assert refused.why == "makes objects, and 1 of A lives, made by the old one"
    assert kept.x == 1


def test_an_init_whose_objects_do_not_live_can_be_switched_with_its_readers(guest: Guest) -> None:
    core = guest.install(core="class A:\n def __init__(self): self.x = 1\n def f(self): return self.x\n")
    new = (
        "class A:\n def __init__(self): self.y = 2\n def f(self): return self.y + self._g()\n"
        " def _g(self): return self.y\n"
    )
    core.A()
    built = guest.build(core=new)
    with guest.put(built):
        assert core.A().f() == 4
    assert built.makers == {core.A}
    kept = core.A()
    built.remove()
    told = {each.name: each.why for each in guest.build(core=new).refused}
    assert set(told) == {"A.__init__", "A.f", "A._g"}
    assert told["A.f"] == "reads self.y, which only the new A.__init__ makes"
    del kept


def test_nothing_of_a_change_is_built_where_a_part_is_refused_unless_it_is_asked_for(guest: Guest) -> None:
    core = guest.install(core="class A:\n x = 1\ndef f(): return 1\n")
    new = "class A:\n x = 2\ndef _g(): return 2\ndef f(): return _g()\n"
    assert not guest.build(core=new).functions
    built = guest.build(core=new, partly=True)
    assert [type(each) for each in built.functions] == [FunctionType]
    assert len(built.refused) == 1
    built.remove()
    assert "_g" not in vars(core)
