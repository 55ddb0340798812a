"""A change set on the functions of a living package: who sees it, what is added, and that all comes out again."""

from __future__ import annotations

import asyncio
import functools
import sys
import traceback
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from harness.changes.build import again
from harness.changes.live import LiveRefusal
from harness.errors import ConfigError

if TYPE_CHECKING:
    from tests.changes.conftest import Guest


def _after_setting(thing: Any) -> Any:
    thing.f = 0
    return thing.f


@pytest.fixture
def swap(guest: Guest) -> Any:
    """Install a text, change it, and give a function's results before, under the arm and after."""

    def run(old: str, new: str, look: Any) -> tuple[Any, Any, Any]:
        core = guest.install(core=dedent(old))
        look = look(core)
        before = look()
        with guest.put(guest.build(core=dedent(new))):
            during = look()
        return before, during, look()

    return run


def test_who_holds_the_function_sees_it(swap: Any) -> None:
    def look(core: Any) -> Any:
        held, partial, named = core.f, functools.partial(core.f), {"k": core.f}

        def default(g: Any = core.f) -> Any:
            return g()

        return lambda: (held(), partial(), named["k"](), default())

    assert swap("def f(): return 1", "def f(): return 2", look) == ((1,) * 4, (2,) * 4, (1,) * 4)


KINDS = {
    "bound method": ("class T:\n def f(self): return {}", lambda core: core.T().f),
    "static method": ("class T:\n @staticmethod\n def f(): return {}", lambda core: core.T.f),
    "class method": ("class T:\n @classmethod\n def f(cls): return {}", lambda core: core.T.f),
    "property": (
        "class T:\n @property\n def f(self): return {}",
        lambda core: functools.partial(getattr, core.T(), "f"),
    ),
    "setter": (
        "class T:\n @property\n def f(self): return self.x\n @f.setter\n def f(self, v): self.x = {}",
        lambda core: lambda: _after_setting(core.T()),
    ),
    "cached_property": (
        "from functools import cached_property\nclass T:\n @cached_property\n def f(self): return {}",
        lambda core: lambda: core.T().f,
    ),
    "super in both": (
        "class B:\n def f(self): return 0\nclass T(B):\n def f(self): return super().f() + {}",
        lambda core: core.T().f,
    ),
    "wraps": (
        "import functools\ndef d(g):\n @functools.wraps(g)\n def w(*a): return g(*a)\n return w\n"
        "@d\ndef f(): return {}",
        lambda core: core.f,
    ),
    "a wrapper that does not say so": (
        "def d(g):\n def w(*a): return g(*a)\n return w\n@d\n@d\ndef f(): return {}",
        lambda core: core.f,
    ),
    "context manager": (
        "from contextlib import contextmanager\n@contextmanager\ndef f():\n yield {}",
        lambda core: lambda: core.f().__enter__(),
    ),
    "generator": ("def f():\n yield {}", lambda core: lambda: next(core.f())),
    "async": ("async def f(): return {}", lambda core: lambda: asyncio.run(core.f())),
    "nested": ("def f():\n def g(): return {}\n return (lambda: [g() for _ in 'a'])()[0]", lambda core: core.f),
    "defaults": ("def f(a={0}, *, b={0}): return min(a, b)", lambda core: core.f),
    "default of the class": ("class T:\n D = 0\n def f(self, a=D, b={}): return a + b", lambda core: core.T().f),
    "private name": ("class T:\n def __g(self): return {}\n def f(self): return self.__g()", lambda core: core.T().f),
    "__call__": ("class T:\n def __call__(self): return {}", lambda core: core.T()),
    "in a block": ("try:\n import nothing_there\nexcept ImportError:\n def f(): return {}", lambda core: core.f),
    "constant": ("X = {}\ndef f(): return X", lambda core: core.f),
    "nested class": ("class A:\n class T:\n  def f(self): return {}", lambda core: core.A.T().f),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_functions(swap: Any, kind: str) -> None:
    text, look = KINDS[kind]
    assert swap(text.format(1), text.format(2), look) == (1, 2, 1)


def test_a_function_may_become_a_generator_and_take_more(swap: Any) -> None:
    found = swap(
        "def f(a): return [a]", "def f(a, b=2, *, c=3):\n yield from (a, b, c)", lambda core: lambda: list(core.f(1))
    )
    assert found == ([1], [1, 2, 3], [1])


def test_defaults_that_did_not_change_stay_the_living_objects(guest: Guest) -> None:
    core = guest.install(core="N = object()\ndef f(a=[], b=N): return a, b, 1\n")
    one = core.f()
    with guest.put(guest.build(core="N = object()\ndef f(a=[], b=N): return a, b, 2\n")):
        assert core.f()[2] == 2
        assert core.f()[0] is one[0]
        assert core.f()[1] is one[1]


def test_an_import_from_elsewhere_is_a_switched_value(guest: Guest) -> None:
    core = guest.install(
        core="from guest.a import g\ndef f(): return g()\n", a="def g(): return 1\n", b="def g(): return 2\n"
    )
    built = guest.build(core="from guest.b import g\ndef f(): return g()\n")
    assert [(key, value()) for _, key, value in built.values] == [("g", 2)]
    with guest.put(built):
        assert core.f() == 2
    assert core.f() == 1


def test_super_only_in_the_new_code_is_called_instead(guest: Guest) -> None:
    base = "class B:\n def f(self, a=1): return a\nclass T(B):\n"
    core = guest.install(core=base + " def f(self, a=1): return 7\n")
    built = guest.build(core=base + " def f(self, a=2): return super().f(a) + 1\n")
    assert not built.functions
    ((live, own),) = built.callables.items()
    assert live is core.T.f
    assert own(core.T()) == 3
    assert built.names[live] == "guest.core.T.f"


OLD = """
from guest.low import helper
class T:
    def f(self):
        return helper(1)
    def same(self):
        return 1
"""
NEW = """
import math
from guest.low import helper, helper2
from guest.fresh import extra
LIMIT, MORE = 10, 20
def _inner(x):
    return helper2(x) + LIMIT
class New:
    value = MORE
    def get(self):
        return extra()
class T:
    scale = 3
    def f(self):
        return _inner(1) + New().get() + self._own() + math.floor(self.half)
    def same(self):
        return 1
    def _own(self):
        return __class__.scale
    @property
    def half(self):
        return 0.5
    @half.setter
    def half(self, value):
        pass
"""


def test_additions_go_in_once_and_come_out(guest: Guest) -> None:
    core = guest.install(core=OLD, low="def helper(x): return x\n")
    low = sys.modules["guest.low"]
    before = [dict(vars(each)) for each in (core, core.T, low)]
    built = guest.build(
        core=NEW, low="def helper(x): return x\ndef helper2(x): return x * 2\n", fresh="def extra(): return 100\n"
    )
    assert not built.refused
    assert set(built.added) >= {"guest.core.LIMIT, MORE", "guest.core._inner", "guest.core.T._own", "guest.low.helper2"}
    assert list(built.names.values()) == ["guest.core.T.f"]
    with guest.put(built):
        assert core.T().f() == 2 + 10 + 100 + 3
    assert core.T().f() == 1
    built.remove()
    assert [dict(vars(each)) for each in (core, core.T, low)] == before
    assert "guest.fresh" not in sys.modules
    assert not any(type(each).__name__ == "NewModules" for each in sys.meta_path)


def test_two_arms_may_add_the_same_name(guest: Guest) -> None:
    core = guest.install(core="def f(): return 0\n")
    texts = [f"def _g(): return {value}\ndef f(): return _g()\n" for value in (1, 2, 1)]
    one, two, same = (guest.build(core=text) for text in texts)
    for built, value in ((one, 1), (two, 2), (same, 1)):
        with guest.put(built):
            assert core.f() == value
    one.remove()
    assert "_g" in vars(core)
    two.remove()
    same.remove()
    assert "_g" not in vars(core)


CACHES = """
from functools import lru_cache
from guest.fresh import extra
from guest.low import kept
@lru_cache
def _twice(x): return 2 * x
class T:
    @staticmethod
    @lru_cache
    def thrice(x): return 3 * x
def f(): return _twice(1) + T.thrice(1) + extra(1) + kept(1)
"""


def test_a_change_tells_what_it_caches_and_nothing_that_it_imports(guest: Guest) -> None:
    low = "from functools import lru_cache\n@lru_cache\ndef kept(x): return x\n"
    fresh = low.replace("kept", "extra") + "from guest.low import kept\n"
    core = guest.install(core="class T:\n    pass\ndef f(): return 0\n", low=low)
    built = guest.build(core=CACHES, low=low, fresh=fresh)
    assert not built.refused
    with guest.put(built):
        assert [core.f(), core.f()] == [7, 7]
    hits = {name: cached.cache_info().hits for name, cached in built.caches.items()}
    assert hits == {"guest.core._twice": 1, "guest.core.T.thrice": 1, "guest.fresh.extra": 1}
    assert guest.build(core="class T:\n    pass\ndef f(): return 1\n", low=low).caches == {}


def test_two_arms_that_add_other_values_are_refused(guest: Guest) -> None:
    guest.install(core="def f(): return 0\n")
    guest.build(core="X = 1\ndef f(): return X\n")
    second = guest.build(core="X = 2\ndef f(): return X\n")
    assert [each.why for each in second.refused] == [
        "another arm of this engine has added the same name in other words"
    ]
    assert not second.functions


def test_tracebacks_name_the_changed_file(guest: Guest) -> None:
    core = guest.install(core="def f():\n    return 1\n")
    built = guest.build(core="X = 1\n\ndef f():\n    raise ValueError('here')  # this line\n")
    with guest.put(built), pytest.raises(ValueError, match="here") as error:
        core.f()
    frame = traceback.extract_tb(error.value.__traceback__)[-1]
    assert (frame.lineno, frame.name) == (4, "f")
    assert "scratch" in frame.filename
    assert frame.line == "raise ValueError('here')  # this line"


def test_modules_that_are_not_imported_change_nothing(guest: Guest) -> None:
    guest.install(core="def f(): return 1\n")
    guest.write(guest.root, {"idle.py": "x = 1\n", "gone.py": "y = 1\n"})
    tree = guest.tree(core="def f(): return 2\n", idle="x = 2\n", fresh="")
    (tree / "guest/gone.py").unlink()
    from harness.changes.sources import from_tree

    built = guest.build_files(from_tree(tree, guest.root, guest.scratch(), package="guest"))
    assert [(each.module, each.grain, each.why) for each in built.changes] == [
        ("guest.core", "step", ""),
        ("guest.fresh", "added", "imported when the change asks for it"),
        ("guest.gone", "nothing", "stays for the other arm"),
        ("guest.idle", "nothing", "not imported by this engine"),
    ]


def test_only_leaves_the_rest_out_but_not_what_is_needed(guest: Guest) -> None:
    core = guest.install(core="class T:\n def f(self): return 1\n def g(self): return 1\n")
    text = (
        "def _a(): return _b()\ndef _b(): return 2\ndef _c(): return 3\n"
        "class T:\n def f(self): return _a()\n def g(self): return _c()\n"
    )
    for name in ("T.f", "guest.core.T.f", "core.T.f", "f"):
        built = guest.build(only=(name,), core=text)
        assert {each.name: (each.grain, each.why) for each in built.changes} == {
            "_a": ("added", ""),
            "_b": ("added", ""),
            "_c": ("nothing", "left out by --only"),
            "T.f": ("step", ""),
            "T.g": ("nothing", "left out by --only"),
        }
        assert list(built.functions) == [core.T.f]
        built.remove()
    for name in ("T", "core.T", "core"):
        assert len(guest.build(only=(name,), core=text).functions) == 2
        guest.built[-1].remove()
    with pytest.raises(ConfigError, match=r"^--only T\.h: the change has no such name; it has T\.[fg], T\.[fg]"):
        guest.build(only=("T.h",), core=text)


def test_native_once_more(guest: Guest) -> None:
    core = guest.install(core="def f(a=1):\n return [a for _ in 'a']\nclass T:\n def f(self): return 1\n")
    made = again([core.f, core.T.f])
    assert [each.code == function.__code__ for function, each in made.items()] == [True, True]
    assert [each.code is function.__code__ for function, each in made.items()] == [False, False]
    assert made[core.f].defaults == (1,)
    (guest.root / "guest/core.py").write_text("def f(a=1): return 2\n")
    with pytest.raises(LiveRefusal, match=r"^f: .*core\.py has changed since it was imported$"):
        again([core.f])


def test_a_file_that_is_no_python(guest: Guest) -> None:
    guest.install(core="def f(): return 1\n")
    with pytest.raises(ConfigError, match=r"^guest\.core line 1 is no valid Python: "):
        guest.build(core="def f(: return 1\n")


def test_a_method_may_be_new_in_a_class_and_below_it(guest: Guest) -> None:
    core = guest.install(core="class B: pass\nclass A(B):\n def f(self): return 0\n")
    text = "class B:\n def g(self): return 1\nclass A(B):\n def f(self): return self.g()\n"
    both = guest.build(core=text + " def g(self): return super().g() + 1\n")
    with guest.put(both):
        assert core.A().f() == 2
    # Another arm that adds only the upper one would meet the lower one.
    second = guest.build(core=text)
    assert [each.why for each in second.refused] == ["another arm of this engine has added A.g, which hides it"]
    both.remove()
    assert not guest.build(core=text).refused


def test_the_other_way_round_it_would_hide_the_first_arms(guest: Guest) -> None:
    guest.install(core="class B: pass\nclass A(B):\n def f(self): return 0\n")
    text = "class B:\n def g(self): return 1\nclass A(B):\n def f(self): return self.g()\n"
    assert not guest.build(core=text).refused
    second = guest.build(core=text + " def g(self): return 2\n")
    assert [each.why for each in second.refused] == ["hides the inherited B.g, for the other arm too"]


def test_a_method_may_go_away_in_a_class_and_above_it(guest: Guest) -> None:
    guest.install(
        core="class B:\n def g(self): return 1\nclass A(B):\n def g(self): return 2\n def f(self): return 1\n"
    )
    assert not guest.build(core="class B: pass\nclass A(B):\n def f(self): return 2\n").refused


def test_what_only_leaves_out_is_not_refused(guest: Guest) -> None:
    core = guest.install(
        core="class B:\n def g(self): return 1\nclass A(B):\n x = 1\n def g(self): return 2\ndef f(): pass\n"
    )
    built = guest.build(only=("f",), core="class B:\n def g(self): return 1\nclass A(B):\n x = 2\ndef f(): return 2\n")
    assert not built.refused
    assert list(built.functions) == [core.f]


def test_a_new_class_with_annotations(guest: Guest) -> None:
    core = guest.install(core="from dataclasses import dataclass\ndef f(): return 1\n")
    built = guest.build(
        core="from dataclasses import dataclass\n@dataclass(slots=True)\nclass New:\n x: int = 4\n"
        "def f(): return New().x\n"
    )
    with guest.put(built):
        assert core.f() == 4
