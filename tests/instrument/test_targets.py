from __future__ import annotations

import functools
import sys
import types

import pytest
import torch

from harness.errors import ConfigError
from harness.instrument.arms import load_arm, load_object, source_digest
from harness.instrument.targets import resolve


@pytest.fixture
def guest():
    """A module with a function, a class, and a second module that imported the function by name."""
    module, importer = types.ModuleType("guest"), types.ModuleType("guest_importer")

    def helper() -> str:
        return "original"

    class Base:
        def method(self) -> str:
            return "original"

        @staticmethod
        def static() -> str:
            return "original"

    class Derived(Base):
        pass

    module.__dict__.update(helper=helper, Base=Base, Derived=Derived, number=3)
    importer.__dict__.update(renamed=helper)
    sys.modules |= {"guest": module, "guest_importer": importer}
    yield module
    del sys.modules["guest"], sys.modules["guest_importer"]


def test_every_module_that_holds_the_function_is_found(guest) -> None:
    target = resolve("guest.helper")
    places = {(id(namespace), key) for namespace, key in target.module_slots}
    assert places == {(id(vars(guest)), "helper"), (id(vars(sys.modules["guest_importer"])), "renamed")}


@pytest.mark.parametrize(("name", "call"), [("method", lambda c: c().method()), ("static", lambda c: c.static())])
def test_a_method_is_replaced_and_restored_by_identity(guest, name, call) -> None:
    before = vars(guest.Base)[name]
    target = resolve(f"guest.Base.{name}")
    target.replace_attribute(lambda *args: "replaced")
    assert call(guest.Base) == call(guest.Derived) == "replaced"
    target.restore_attribute()
    assert vars(guest.Base)[name] is before
    assert call(guest.Base) == "original"


def test_an_inherited_method_leaves_nothing_behind(guest) -> None:
    target = resolve("guest.Derived.method")
    target.replace_attribute(lambda self: "replaced")
    assert guest.Derived().method() == "replaced"
    assert guest.Base().method() == "original"
    target.restore_attribute()
    assert "method" not in vars(guest.Derived)


def test_a_builtin_of_torch_is_found_and_a_tensor_method_too() -> None:
    assert (vars(torch), "frombuffer") in resolve("torch.frombuffer").module_slots
    assert resolve("torch.Tensor.copy_").owner is torch.Tensor


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torch.tensr", r"^probe 'torch\.tensr': 'torch' has no attribute 'tensr'; did you mean 'tensor'"),
        ("guest.nothing_like_it", r"^probe 'guest\.nothing_like_it': 'guest' has no attribute 'nothing_like_it'$"),
        ("guest.numbr", r"'guest' has no attribute 'numbr'; did you mean 'number'\?$"),
        ("nowhere.at.all", "there is no module 'nowhere'"),
        ("torch", "package.module.function"),
        ("guest.number", "is int and no function"),
        ("guest.Base", "no function"),
        ("array.array.extend", "methods of array cannot be replaced, it is built in"),
        ("logging.root.info", "a method of an object; name its class"),
    ],
)
def test_what_cannot_be_probed_is_said(guest, name, message) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(name)


def test_restoring_what_was_never_replaced_takes_nothing_away(guest) -> None:
    resolve("guest.Base.method").restore_attribute()
    assert "method" in vars(guest.Base)


def test_a_wrapper_left_in_a_module_is_put_back_and_something_strange_is_named(guest) -> None:
    target, wrapper = resolve("guest.helper"), lambda: None
    guest.helper = wrapper
    assert target.restore_module_slots([wrapper]) == []
    assert guest.helper is target.function
    guest.helper = print
    assert target.restore_module_slots([wrapper]) == ["helper"]
    assert guest.helper is print


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def Mine(): pass", "is no class"),
        ("class Mine:\n def __init__(self, x): pass", r"Mine\(\) failed: TypeError"),
    ],
)
def test_an_arm_that_cannot_be_made_is_said(tmp_path, text, message) -> None:
    file = tmp_path / "unmade.py"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_arm("mine", f"{file}:Mine")


def test_an_arm_is_loaded_from_a_file_once(tmp_path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("class Mine: pass\n")
    mine = load_object(f"{file}:Mine")
    assert mine is load_object(f"{file}:Mine")


@pytest.mark.parametrize(
    ("text", "reference", "message"),
    [
        ("class Mine: pass", "{file}:Yours", "has no 'Yours'"),
        ("1/0", "{file}:Mine", "ZeroDivisionError"),
        ("", "{file}.py:Mine", "is not there"),
        ("", "no.such.module:Mine", "importing no.such.module failed"),
        ("", "Mine", "write module:Class or path/file.py:Class"),
    ],
)
def test_an_arm_that_cannot_be_loaded_is_said(tmp_path, text, reference, message) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_object(reference.format(file=file))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("generator", "a generator"), ("coroutine", "a coroutine function"), ("asynchronous", "an asynchronous generator"),
     ("wrapped", "a generator"), ("Base.generator", "a generator")],
)  # fmt: skip
def test_what_only_makes_an_object_when_called_is_refused(guest, name, kind) -> None:
    """Its time would be that of making the object: 5 ms of work once showed as 0.7 us."""

    def generator():
        yield 1

    async def coroutine() -> None: ...

    async def asynchronous():
        yield 1

    @functools.wraps(generator)
    def wrapped():
        return generator()

    vars(guest).update(generator=generator, coroutine=coroutine, asynchronous=asynchronous, wrapped=wrapped)
    guest.Base.generator = generator
    message = (
        f"is {kind}: calling it does none of its work, so there is nothing to time; name the function that it calls"
    )
    with pytest.raises(ConfigError, match=message):
        resolve(f"guest.{name}")


def test_one_name_that_is_gone_does_not_keep_the_others_wrapped(guest) -> None:
    target, original = resolve("guest.helper"), guest.helper
    wrapper = lambda: "wrapped"  # noqa: E731
    for namespace, key in target.module_slots:
        namespace[key] = wrapper
    (lost,) = (slot for slot in target.module_slots if slot[1] == "helper")
    del lost[0][lost[1]]
    assert target.restore_module_slots([wrapper]) == ["helper"]
    assert vars(sys.modules["guest_importer"])["renamed"] is original


def test_a_module_that_was_imported_while_the_scope_was_open_gives_its_wrapper_back(guest) -> None:
    target, original = resolve("guest.helper"), guest.helper
    wrapper = functools.wraps(original)(lambda: "wrapped")
    late = types.ModuleType("guest_late")
    late.copied = wrapper
    sys.modules["guest_late"] = late
    try:
        target.restore_late_imports([wrapper])
        assert late.copied is original
    finally:
        del sys.modules["guest_late"]


def test_the_digest_of_an_arm_is_that_of_its_file(tmp_path) -> None:
    path = tmp_path / "arm.py"
    path.write_text("class A: ...\n")
    first = source_digest(f"{path}:A")
    assert len(first) == 16
    path.write_text("class A: pass\n")
    assert source_digest(f"{path}:A") not in ("", first)
    assert len(source_digest("patches.slot_mapping:List")) == 16
    assert source_digest("gone.module:A") == source_digest(f"{tmp_path}/gone.py:A") == ""


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("1 / 0", "loud_probe.f", "importing 'loud_probe' failed: ZeroDivisionError"),
        ("def __getattr__(name): 1 / 0", "loud_probe.f", "looking up 'f' failed: ZeroDivisionError"),
    ],
)
def test_a_module_that_fails_when_it_is_looked_into_is_said(tmp_path, monkeypatch, text, name, said) -> None:
    (tmp_path / "loud_probe.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "loud_probe", raising=False)
    try:
        with pytest.raises(ConfigError, match=said):
            resolve(name)
    finally:
        sys.modules.pop("loud_probe", None)
