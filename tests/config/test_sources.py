"""What is known of modules and classes without importing them; and that nothing that is there counts as missing."""

from __future__ import annotations

import importlib
import sys
import textwrap
import warnings
from types import ModuleType

import pytest

from harness.config.sources import Sources

MODULES = {
    "__init__": "from .base import Base as Shown\n",
    "base": """
        import abc
        import json as j
        from abc import ABC, ABCMeta
        from typing import Generic, TypeVar

        T = TypeVar("T")

        def function(): ...

        def makes_globals():
            global made
            made = 1

        class Base(Generic[T]):
            '''It has no gone_method.'''
            attribute: int
            def method(self):
                self.on_instance = print
            class Inner:
                def deep(self): ...
            class Derived(Inner): ...
            def __private(self): ...
            if T:
                def conditional(self): ...

        class Plain:
            def method(self): ...

        class Abstract(Plain, ABC): ...
        class ByName(abc.ABC): ...
        class OfMeta(metaclass=ABCMeta): ...
        class OfDict(dict): ...

        Plain.assigned = function
        """,
    "given": """
        class Given:
            def method(self): ...
        class Untouched:
            def method(self): ...
        for name in NAMES:
            setattr(Given, name, print)
        """,
    "derived": """
        from made_up_package.base import Base, Plain
        from . import base, compiled
        from .elsewhere import Unknown
        from .star import *

        class Derived(Base): ...
        """,
    "plain": """
        from made_up_package.base import Base, Plain
        from . import base
        from .elsewhere import Unknown

        try:
            from .base import Plain as Either
        except ImportError:
            class Either: ...
        class Derived(Base):
            def own(self): ...
        class Dotted(base.Plain): ...
        class OfUnknown(Unknown): ...
        class OfBuiltin(Exception): ...
        class OfCall(base.function()): ...
        class Twice: ...
        class Twice: ...
        @base.function
        class Decorated: ...
        @base.function
        def decorated(): ...
        class Open:
            def __getattr__(self, name): ...
        class Subclassed:
            def __init_subclass__(cls): ...
        class OfMeta(metaclass=type): ...
        class WithKeyword(Plain, key=1): ...
        def caught():
            try: ...
            except ValueError as error: ...
        match base:
            case {"key": captured, **others}: ...
            case [first, *more]: ...
        """,
    "computed": """
        class Computed:
            def give(self, names):
                for name in names:
                    setattr(self, name, 1)
        """,
    "computed_elsewhere": """
        class Untouched:
            def give(self, other):
                for name in vars(self).values():
                    setattr(other, name, 1)
        """,
    "by_getattr": "def __getattr__(name): ...\n",
    "by_globals": "globals().update(x=1)\n",
    "by_modules": "import sys\nsys.modules[__name__] = object()\n",
    "by_modules_name": "from sys import modules\nmodules[__name__].x = 1\n",
    "by_vars": "vars().update(x=1)\n",
    "by_setattr": "import other\nfor name in other.names:\n    setattr(other, name, 1)\n",
    "star": "from .base import *\n",
    "broken": "def (\n",
    "circle": "from .circle import Circle\nclass Of(Circle): ...\n",
}


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    folder = tmp_path / "made_up_package"
    folder.mkdir()
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    (folder / "compiled.so").write_bytes(b"")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    assert "made_up_package" not in sys.modules, "nothing of it was imported"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("base.functio", "'made_up_package.base' has no attribute 'functio'; did you mean 'function'?"),
        ("base.Bas.method", "'made_up_package.base' has no attribute 'Bas'; did you mean 'Base'?"),
        ("base.Base.metho", "'Base' has no attribute 'metho'; did you mean 'method'?"),
        ("base.Base.gone_method", "'Base' has no attribute 'gone_method'"),
        ("base.Base._Base__privat", "'Base' has no attribute '_Base__privat'"),
        ("base.Base.Inner.dee", "'Inner' has no attribute 'dee'; did you mean 'deep'?"),
        ("base.Abstract.gone", "'Abstract' has no attribute 'gone'"),
        ("base.Abstract.metho", "'Abstract' has no attribute 'metho'; did you mean 'method'?"),
        ("Shown.gone", "'Base' has no attribute 'gone'"),
        ("gone.gone", "'made_up_package' has no attribute 'gone'"),
        ("gone", "'made_up_package' has no attribute 'gone'"),
        ("base.OfMeta.gone", "'OfMeta' has no attribute 'gone'"),
        ("base.OfDict.kes", "'OfDict' has no attribute 'kes'; did you mean 'keys'?"),
        ("base.j.JSONEncoder.encod", "'JSONEncoder' has no attribute 'encod'; did you mean 'encode'"),
        ("plain.Derived.metho", "'Derived' has no attribute 'metho'; did you mean 'method'?"),
        ("plain.Dotted.gone", "'Dotted' has no attribute 'gone'"),
        ("plain.OfBuiltin.gone", "'OfBuiltin' has no attribute 'gone'"),
        ("plain.base.Base.gone", "'Base' has no attribute 'gone'"),
        ("plain.made_up_package", "'made_up_package.plain' has no attribute"),  # it binds only what it names of that
        ("plain.error", "'made_up_package.plain' has no attribute 'error'"),
        ("base", "made_up_package.base is a module: name a function in it"),
        ("plain.base", "made_up_package.plain.base is a module: name a function in it"),
        ("base.Base", "made_up_package.base.Base is a class: name a function of it, such as method, conditional"),
        ("base.Base.Inner", "made_up_package.base.Base.Inner is a class: name a function of it, such as deep"),
        ("base.OfDict", "made_up_package.base.OfDict is a class: name a function of it"),
        ("base.j.JSONEncoder", "made_up_package.base.j.JSONEncoder is a class: name a function of it"),
        ("base.function.gone", "made_up_package.base.function is a function: leave .gone out"),
        ("Shown.method.a.b", "made_up_package.Shown.method is a function: leave .a.b out"),
    ],
)
def test_what_is_not_there_is_told_with_names_near_it(name, said) -> None:
    assert Sources().why_no_function(f"made_up_package.{name}").startswith(said)


@pytest.mark.parametrize(
    "name",
    [
        "Shown.method", "base.function", "base.made", "base.j.dumps", "base.__doc__", "base.Base.method",
        "base.Base.attribute", "base.Base.on_instance", "base.Base.conditional", "base.Base.__init__",
        "base.Base.mro", "base.Base.Inner.deep", "base.Base.Derived.gone", "base.Plain.assigned", "given.Given.gone",
        "given.gone", "base.Abstract.method", "base.Abstract.register", "base.OfMeta.register", "base.OfDict.keys",
        "base.function.assigned", "plain.decorated", "plain.decorated.gone", "plain.Decorated", "derived.gone",
        "derived.Derived.gone", "plain.base.function", "plain.Derived.own",
        "plain.Derived.method", "plain.Dotted.method", "plain.Either.gone", "plain.OfUnknown.gone",
        "plain.OfBuiltin.with_traceback", "plain.OfCall.gone", "plain.Twice.gone", "plain.Decorated.gone",
        "plain.Open.gone", "plain.Subclassed.gone", "plain.OfMeta.gone", "plain.WithKeyword.gone", "plain.captured",
        "plain.others", "plain.first", "plain.more", "computed.Computed.gone", "computed.gone", "by_getattr.gone",
        "by_globals.gone", "by_modules.gone", "by_modules_name.gone", "by_vars.gone", "by_setattr.gone", "star.gone",
         "broken.gone", "compiled.gone", "circle.Of.gone", "base.Base._Base__private", "base.ByName.gone",
         "given.Untouched.gone",
    ],
)  # fmt: skip
def test_what_may_be_there_is_let_pass(name) -> None:
    assert Sources().why_no_function(f"made_up_package.{name}") == ""


@pytest.mark.parametrize("name", ["no_such_package.f", "sys.gone", "os.path.gone", "os.path.join", "math.gone"])
def test_of_what_has_no_source_nothing_is_said(name) -> None:
    assert Sources().why_no_function(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        "json", "json.encoder", "argparse", "logging", "pathlib", "enum", "dataclasses", "typing", "abc", "functools",
        "collections", "unittest.mock", "click.core", "yaml", "pydantic.main", "jinja2.environment", "rich.text",
        "harness.errors", "harness.config.experiment", "harness.seams", "harness.instrument.instrument",
        "patches.slot_mapping",
    ],
)  # fmt: skip
def test_nothing_that_is_there_counts_as_missing(name) -> None:
    module, sources = importlib.import_module(name), Sources()
    there = {f"{name}.{key}": value for key, value in vars(module).items()}
    own = [(key, value) for key, value in vars(module).items() if isinstance(value, type)]
    with warnings.catch_warnings(action="ignore"):
        for key, value in own:
            there |= {f"{name}.{key}.{attribute}": getattr(value, attribute, None) for attribute in dir(value)}
    refused = {path: why for path in there if (why := sources.why_no_function(path))}
    kinds = {path: "class" if isinstance(value, type) else "module" for path, value in there.items()}
    assert {path: why for path, why in refused.items() if f"{path} is a {kinds[path]}: " not in why} == {}
    assert not [path for path in refused if not isinstance(there[path], type | ModuleType)]


def test_a_method_is_missing_only_where_every_class_that_is_there_lacks_it() -> None:
    sources = Sources()
    base, plain = "made_up_package.base.Base", "made_up_package.base.Plain"
    assert sources.why_no_method([base, plain], "metho") == "there is no method 'metho'; did you mean 'method'?"
    assert sources.why_no_method([base, plain], "assigned") == ""
    assert sources.why_no_method(["made_up_package.gone.Class", base], "conditional") == ""
    assert sources.why_no_method(["made_up_package.gone.Class", plain], "gone").startswith("there is no method 'gone'")
    assert sources.why_no_method([plain, "made_up_package.plain.OfUnknown"], "gone") == "", "one is not known"
    assert sources.why_no_method([plain, "made_up_package.plain.Gone"], "gone") == "", "and one may be elsewhere"
    assert sources.why_no_method(["made_up_package.given.Given"], "gone") == "", "names that its module computes"
    assert sources.why_no_method(["made_up_package.computed.Computed"], "gone") == "", "or the class itself"
    for untouched in ("given.Untouched", "computed_elsewhere.Untouched"):
        assert sources.why_no_method([f"made_up_package.{untouched}"], "gone") == "there is no method 'gone'"
    assert sources.why_no_method([], "gone") == ""
    assert sources.why_no_method(["made_up_package.gone.Class"], "gone") == ""
