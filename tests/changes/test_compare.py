"""Two texts of one module: what counts, and what each difference takes."""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.changes.compare import Change, compare
from harness.errors import ConfigError

LIBRARY = Path(sysconfig.get_paths()["stdlib"])
MODULES = sorted(
    path for path in [*LIBRARY.glob("*.py"), *LIBRARY.glob("asyncio/*.py")] if path.stat().st_size < 60_000
)


def changes(old: str, new: str) -> list[tuple[str, str, str, str, str]]:
    found = compare("m", dedent(old), dedent(new))
    return [(each.name, each.kind, each.how, each.grain, each.why) for each in found]


def only(old: str, new: str) -> tuple[str, str, str, str, str]:
    found = changes(old, new)
    assert len(found) == 1, found
    return found[0]


@given(st.sampled_from(MODULES))
@settings(max_examples=25, deadline=None)
def test_a_module_written_anew_by_ast_is_the_same(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert compare("m", text, ast.unparse(ast.parse(text))) == []


@given(st.sampled_from(MODULES), st.sampled_from(MODULES))
@settings(max_examples=10, deadline=None)
def test_each_new_function_is_gone_the_other_way_round(one: Path, other: Path) -> None:
    def named(found: list[Change], how: str) -> set[str]:
        return {each.name for each in found if each.how == how and each.kind in ("function", "import", "class")}

    there, back = (
        compare("m", a.read_text(encoding="utf-8"), b.read_text(encoding="utf-8"))
        for a, b in ((one, other), (other, one))
    )
    assert named(there, "new") == named(back, "gone")


def test_comments_docstrings_annotations_and_positions_do_not_count() -> None:
    old = '''
        """Module."""
        from typing import Any
        LIMIT: int = 3
        class A:
            """A class."""
            x: int
            def f(self, a: int, *, b: str = "x") -> int:
                """Doc."""
                total: int = a
                return total
    '''
    new = """
        # another comment
        from typing import Any


        LIMIT = 3
        class A:
            x: "str | None"
            y: float
            def f(self, a, *, b="x"):
                # why
                c: int
                total = a
                return total
    """
    assert changes(old, new) == []


def test_numbers_of_different_types_are_different() -> None:
    assert only("X = 1", "X = True")[0] == "X"
    assert only("X = 0.0", "X = -0.0")[0] == "X"


def test_what_only_type_checkers_read_does_not_count() -> None:
    old = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\n"
    assert changes(old, old + "    import b\n") == []
    assert changes("def main(): pass\n", "def main(): pass\nif __name__ == '__main__':\n    main()\n") == []
    assert changes("", "from __future__ import annotations") == []


def test_overloads_are_passed_over() -> None:
    old = "from typing import overload\ndef f(a): return a\n"
    one = "@overload\ndef f(a: int) -> int: ...\n"
    new = f"from typing import overload\n{one}{one.replace('int', 'str')}def f(a): return a\n"
    assert changes(old, new) == []


STEP = [
    ("def f(): return 1", "def f(): return 2", ("f", "function", "changed", "step", "")),
    ("def f(): return 1", "async def f(): return 1", ("f", "function", "changed", "step", "")),
    ("def f(a, b=1): return 1", "def f(a, b=2): return 1", ("f", "function", "changed", "step", "")),
    (
        "class A:\n class B:\n  def f(self): return 1",
        "class A:\n class B:\n  def f(self): return 2",
        ("A.B.f", "function", "changed", "step", ""),
    ),
    (
        "def f():\n def g(): return 1\n return g",
        "def f():\n def g(): return 2\n return g",
        ("f", "function", "changed", "step", ""),
    ),
    (
        "class A:\n def __init__(self): self.x = 1",
        "class A:\n def __init__(self): self.x = 2",
        ("A.__init__", "function", "changed", "step", ""),
    ),
    (
        "class A:\n @property\n def x(self): return 1\n @x.setter\n def x(self, v): pass",
        "class A:\n @property\n def x(self): return 1\n @x.setter\n def x(self, v): self.y = v",
        ("A.x@setter", "function", "changed", "step", ""),
    ),
    ("X = 1", "X = 2", ("X", "constant", "changed", "step", "its value changed")),
    ("from a import f", "from b import f", ("f", "import", "changed", "step", "imported from elsewhere")),
    (
        "try:\n import x\nexcept E:\n def f(): return 1",
        "try:\n import x\nexcept E:\n def f(): return 2",
        ("f", "function", "changed", "step", ""),
    ),
    ("", "def f(): pass", ("f", "function", "new", "added", "")),
    ("class A: pass", "class A:\n def f(self): pass", ("A.f", "function", "new", "added", "")),
    ("", "class A:\n x = 1\n def f(self): pass", ("A", "class", "new", "added", "")),
    ("", "from a import b as c", ("c", "import", "new", "added", "")),
    ("", "X = 1", ("X", "constant", "new", "added", "")),
    ("class A: pass", "class A:\n x = 1", ("A.x", "class attribute", "new", "added", "")),
    ("", "@triton.jit\ndef k(): pass", ("k", "function", "new", "added", "a Triton kernel")),
    ("def f(): pass", "", ("f", "function", "gone", "nothing", "stays for the other arm")),
    ("class A:\n def f(self): pass", "", ("A", "class", "gone", "nothing", "stays for the other arm")),
    ("import a", "", ("a", "import", "gone", "nothing", "stays for the other arm")),
    ("X = 1", "", ("X", "constant", "gone", "nothing", "stays for the other arm")),
    (
        "__all__ = []",
        "__all__ = ['f']",
        ("__all__", "constant", "changed", "nothing", "only says what a star import takes"),
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "expected"), STEP, ids=[f"{e[0]}-{e[1]}-{e[2]}-{i}" for i, (_, _, e) in enumerate(STEP)]
)
def test_what_can_be_switched_or_added(old: str, new: str, expected: tuple[str, ...]) -> None:
    assert only(old, new) == expected


KERNEL = "compiled from its source text and cached, so its code never runs"
FIELD = "a field of a dataclass: its __init__ is generated, and objects have been made by the old one"
DATA = "@dataclass(slots=True)\nclass A:\n x: int = 0\n"
LAUNCH = {
    "triton": ("@triton.jit\ndef k(): return 1", "@triton.jit\ndef k(): return 2", "k", f"a Triton kernel: {KERNEL}"),
    "cute": ("@cute.kernel\ndef k(): return 1", "@cute.kernel\ndef k(): return 2", "k", f"a CuteDSL kernel: {KERNEL}"),
    "jit": (
        "@torch.jit.script\ndef k(): return 1",
        "@torch.jit.script\ndef k(): return 2",
        "k",
        f"compiled by @torch.jit.script: {KERNEL}",
    ),
    "torch.compile": (
        "@torch.compile\ndef k(): return 1",
        "@torch.compile\ndef k(): return 2",
        "k",
        "compiled by torch.compile: each switch would compile it again",
    ),
    "lru_cache": (
        "@lru_cache(maxsize=None)\ndef f(): return 1",
        "@lru_cache(maxsize=None)\ndef f(): return 2",
        "f",
        "is cached by lru_cache: results of one arm would be given to the other",
    ),
    "cache": (
        "@functools.cache\ndef f(): return 1",
        "@functools.cache\ndef f(): return 2",
        "f",
        "is cached by lru_cache: results of one arm would be given to the other",
    ),
    "decorators": ("@a\ndef f(): pass", "@b\ndef f(): pass", "f", "its decorators changed"),
    "bases": ("class A(B): pass", "class A(C): pass", "A", "the bases, metaclass or decorators of the class changed"),
    "metaclass": (
        "class A: pass",
        "class A(metaclass=M): pass",
        "A",
        "the bases, metaclass or decorators of the class changed",
    ),
    "class decorator": (
        "@dataclass\nclass A: pass",
        "@dataclass(slots=True)\nclass A: pass",
        "A",
        "the bases, metaclass or decorators of the class changed",
    ),
    "new field": (DATA, DATA + " y: int = 1\n", "A.y", FIELD),
    "changed field": (DATA, DATA.replace("0", "1"), "A.x", FIELD),
    "gone field": (DATA + " y: int\n", DATA, "A.y", "a field of a dataclass went away: its __init__ is generated"),
    "order of fields": (
        DATA + " y: int = 0\n",
        "@dataclass(slots=True)\nclass A:\n y: int = 0\n x: int = 0\n",
        "A",
        "the order of the dataclass's fields changed",
    ),
    "msgspec": ("class A(msgspec.Struct):\n x: int", "class A(msgspec.Struct):\n x: str", "A.x", FIELD),
    "enum": (
        "class A(IntEnum):\n X = 1",
        "class A(IntEnum):\n X = 1\n Y = 2",
        "A.Y",
        "a member of an Enum: members are fixed when the class is made",
    ),
    "class attribute": (
        "class A:\n x = 1",
        "class A:\n x = 2",
        "A.x",
        "the value of a class attribute changed: objects and subclasses of both arms read it",
    ),
    "slots": (
        "class A:\n __slots__ = ('x',)",
        "class A:\n __slots__ = ('x', 'y')",
        "A.__slots__",
        "the class's __slots__ changed: they are fixed when the class is made",
    ),
    "dunder": (
        "class A: pass",
        "class A:\n def __len__(self): return 1",
        "A.__len__",
        "a new special method: Python finds it on the type, so the other arm would run it too",
    ),
    "new __init__": (
        "class A: pass",
        "class A:\n def __init__(self): pass",
        "A.__init__",
        "a new special method: Python finds it on the type, so the other arm would run it too",
    ),
    "__init_subclass__": (
        "class A:\n def __init_subclass__(cls): pass",
        "class A:\n def __init_subclass__(cls): f()",
        "A.__init_subclass__",
        "runs when a class is made, which has been",
    ),
    "new statement": ("", "register(f)", "register(f)", "a statement that runs at import, which has been"),
    "gone statement": ("register(f)", "", "register(f)", "a statement that ran at import, and cannot be undone"),
    "changed block": (
        "if a:\n X = 1",
        "if b:\n X = 1",
        "if b: X = 1",
        "a statement that runs at import, which has been",
    ),
    "star": ("", "from a import *", "from a import *", "a statement that runs at import, which has been"),
    "used at import": ("X = 1\nY = X + 1", "X = 2\nY = X + 1", "X", "its value was used at import already (line 2)"),
    "default": (
        "X = 1\ndef f(a=X): pass",
        "X = 2\ndef f(a=X): pass",
        "X",
        "its value was used at import already (line 2)",
    ),
    "called": (
        "def f(): return 1\nY = f()",
        "def f(): return 2\nY = f()",
        "f",
        "was called at import already (line 2)",
    ),
    "decorator": (
        "def d(f): return f\n@d\ndef g(): pass",
        "def d(f): return 1\n@d\ndef g(): pass",
        "d",
        "was called at import already (line 2)",
    ),
    "used by what is new": (
        "A = 5",
        "A = 6\nB = A * 2",
        "A",
        "its value is used by what the change makes at import (line 2)",
    ),
    "used by another value": (
        "A = 5\nB = 1",
        "A = 6\nB = A * 2",
        "A",
        "its value is used by what the change makes at import (line 2)",
    ),
    "used by a default": (
        "A = 5\ndef f(x=1): pass",
        "A = 6\ndef f(x=A): pass",
        "A",
        "its value is used by what the change makes at import (line 2)",
    ),
    "called by what is new": (
        "def g(): return 1",
        "def g(): return 2\nT = g()",
        "g",
        "is called by what the change makes at import (line 2)",
    ),
    "called by what was called": (
        "def f(): return 1\ndef g(): return [f() for _ in 'a']\nT = g()",
        "def f(): return 2\ndef g(): return [f() for _ in 'a']\nT = g()",
        "f",
        "was called at import already (line 3)",
    ),
    "read by what was called": (
        "X = 1\nclass B:\n def __init__(self): self.g()\n def g(self): return X\nclass A(B): pass\nT = A()",
        "X = 2\nclass B:\n def __init__(self): self.g()\n def g(self): return X\nclass A(B): pass\nT = A()",
        "X",
        "its value was used at import already (line 6)",
    ),
    "inside what was called": (
        "def f(): return 1\ndef g():\n def inner(): return f()\n return inner()\nT = g()",
        "def f(): return 2\ndef g():\n def inner(): return f()\n return inner()\nT = g()",
        "f",
        "was called at import already (line 5)",
    ),
    "set by functions": (
        "_n = 0\ndef f():\n global _n\n _n += 1",
        "_n = 9\ndef f():\n global _n\n _n += 1",
        "_n",
        "functions of its module set it: it would be set back before every step",
    ),
    "first of two values": ("A = 1\nA = 2", "A = 5\nA = 2", "A", "is defined more than once in its module"),
    "second definition gone": (
        "def f(): return 1\ndef f(): return 2",
        "def f(): return 1",
        "f#2",
        "is defined more than once in its module",
    ),
    "second definition new": (
        "def f(): return 1",
        "def f(): return 1\ndef f(): return 2",
        "f#2",
        "is defined more than once in its module",
    ),
    "one of two branches": (
        "if a:\n def f(): return 1\nelse:\n def f(): return 2",
        "if a:\n def f(): return 3\nelse:\n def f(): return 2",
        "f",
        "is defined more than once in its module",
    ),
    "first of two classes": (
        "class A:\n def f(self): return 1\nclass A: pass",
        "class A:\n def f(self): return 2\nclass A: pass",
        "A.f",
        "is defined more than once in its module",
    ),
    "second of two classes": (
        "class A: pass\nclass A:\n def f(self): return 1",
        "class A: pass\nclass A:\n def f(self): return 2",
        "A#2",
        "is defined more than once in its module",
    ),
    "gone special": (
        "class A:\n def __bool__(self): return False",
        "class A: pass",
        "A.__bool__",
        "a special name went away: Python finds it on the type, so this arm would still have it",
    ),
    "gone member": (
        "class A(Enum):\n X = 1\n Y = 2",
        "class A(Enum):\n X = 1",
        "A.Y",
        "a member of an Enum went away: members are fixed when the class is made",
    ),
    "kind": ("X = 1", "def X(): pass", "X", "was a constant, is a function now"),
    "import kind": ("import X", "class X: pass", "X", "was an import, is a class now"),
    "import in class": ("class A: pass", "class A:\n import x", "A.x", "an import inside a class"),
}


UNUSED = {
    "in a wrapper": "def d(g):\n def w(): return f() + X\n return w\n@d\ndef h(): return 1",
    "in a function that nobody calls": "def g(): return f() + X",
    "another of that name": "def g(X):\n f = len\n return f(X)\nT = g([])",
    "held": "T = [f]",
}


@pytest.mark.parametrize("case", UNUSED)
def test_what_is_read_only_when_a_step_runs_stays_switched(case: str) -> None:
    rest = UNUSED[case]
    found = changes(f"X = 1\ndef f(): return 1\n{rest}", f"X = 2\ndef f(): return 2\n{rest}")
    assert {name: grain for name, _, _, grain, _ in found} == {"X": "step", "f": "step"}


@pytest.mark.parametrize("case", LAUNCH)
def test_what_needs_a_launch_and_why(case: str) -> None:
    old, new, name, why = LAUNCH[case]
    found = [each for each in compare("m", old, new) if each.grain == "launch"]
    assert (name, why) in [(each.name, each.why) for each in found]


def test_a_reader_of_what_only_the_new_init_makes() -> None:
    old = """
        class A:
            def __init__(self): self.x = 1
            def f(self): return self.x
            def g(self): return self.x
    """
    new = """
        class A:
            def __init__(self): self.x, self.y = 1, 2
            def f(self): return self.y
            def g(self): return -self.x
    """
    found = {name: (grain, why) for name, _, _, grain, why in changes(old, new)}
    assert found["A.f"] == ("launch", "reads self.y, which only the new A.__init__ makes")
    assert found["A.g"] == ("step", "")


def test_objects_are_counted_for_what_makes_them() -> None:
    found = compare("m", "class A:\n def __init__(self): a()", "class A:\n def __init__(self): b()")
    assert [each.makes_objects for each in found] == [True]
    assert found[0].full_name == "m.A.__init__"


def test_what_is_no_python_is_said_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^m line 2 is no valid Python: "):
        compare("m", "x = 1", "x = 1\ndef")
