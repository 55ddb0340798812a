"""A user's function in place of a living one: by its code where its global names allow, else by a call.

A function keeps its own module's names. Its code alone takes those of the living module, which costs nothing a call; a
call through a trampoline costs some hundred nanoseconds, in every arm alike.
"""

from __future__ import annotations

import ast
import builtins
import inspect
from inspect import Parameter
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from harness.changes.codes import Code, global_names, stored_globals
from harness.changes.live import LiveRefusal
from harness.errors import in_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.changes.adding import Additions

__all__ = ["drop_in", "why_other_signature", "why_trampoline"]

BY_POSITION: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
BY_NAME: Final = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def drop_in(live: FunctionType, own: Callable[..., Any], additions: Additions) -> Code | Callable[..., Any]:
    """What stands in for a living function: code to be set on it, or the user's function itself, to be called.

    Args:
        live: the innermost living function.
        own: the user's.
        additions: takes the names that the living module lacks and the code needs, to be removed with it.
    """
    if why_trampoline(live, own):
        return own
    assert isinstance(own, FunctionType)  # noqa: S101 (told above)
    for name in sorted(_to_add(live, own)):
        try:
            additions.put(live.__globals__, name, own.__globals__[name], id(own.__globals__[name]), name)
        except LiveRefusal:
            return own
    # A copy, since code objects specialise for what they are called with.
    return Code(own.__code__.replace(), own.__defaults__, own.__kwdefaults__)


def why_trampoline(live: FunctionType, own: Callable[..., Any]) -> str:
    """Why a user's function must be called, and its code cannot be set on the living one; empty where it can."""
    if not isinstance(own, FunctionType):
        return f"it is an object of {type(own).__qualname__}, no plain function"
    if own.__code__.co_freevars:
        return f"it has variables of its own ({', '.join(own.__code__.co_freevars)}): a closure or a decorator"
    if live.__code__.co_freevars:
        return f"the living function has free variables ({', '.join(live.__code__.co_freevars)})"
    if stored := sorted(stored_globals(own.__code__)):
        return f"it sets the global name {stored[0]}"
    names = global_names(own.__code__)
    if changing := sorted(names & _set_elsewhere(own)):
        return f"it reads the global name {changing[0]}, which its file sets again later"
    for name in sorted(names):
        mine = own.__globals__.get(name, vars(builtins).get(name, own))
        if mine is own and name not in own.__globals__:
            return f"its file does not define the global name {name} yet"
        if name in own.__globals__ and name not in live.__globals__ and name in vars(builtins):
            return f"the global name {name} is Python's own in {live.__module__}"
        if name in live.__globals__ and live.__globals__[name] is not mine:
            return f"the global name {name} is another object in {live.__module__}"
    return ""


def why_other_signature(native: Callable[..., Any], own: Callable[..., Any]) -> str:
    """Why a user's function cannot take every call that the native one takes; empty where it can."""
    try:
        theirs = inspect.signature(native, follow_wrapped=False).parameters
        mine = inspect.signature(own).parameters
    except (TypeError, ValueError) as error:
        return f"its signature cannot be read: {in_line(error)}"
    reason = _why_not(list(theirs.values()), list(mine.values())) or _other_kind(native, own)
    if not reason:
        return ""
    shown = [in_line(inspect.Signature([_bare(each) for each in one.values()])) for one in (mine, theirs)]
    return f"takes {shown[0]}, where the native function takes {shown[1]}: {reason}"


def _why_not(theirs: list[Parameter], mine: list[Parameter]) -> str:
    kinds = {each.kind: each for each in mine}
    some, named = Parameter.VAR_POSITIONAL in kinds, Parameter.VAR_KEYWORD in kinds
    positions = [each for each in mine if each.kind in BY_POSITION]
    by_name = {each.name: each for each in mine if each.kind in BY_NAME}
    answered: set[str] = set()
    for place, each in enumerate(theirs):
        if each.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            if each.kind not in kinds:
                return f"{_bare(each)} is missing"
            continue
        meets = []
        if each.kind in BY_POSITION:
            at = positions[place] if place < len(positions) else None
            if at is None and not some:
                return f"{each.name!r} is missing" if each.name not in by_name else f"{each.name!r} only by name"
            meets.append(at)
            first = place == 0 and each.name in ("self", "cls")
            if at is not None and at.name != each.name and each.kind in BY_NAME and not first:
                return f"{at.name!r} stands where {each.name!r} is expected"
            if at is not None and at.kind == Parameter.POSITIONAL_ONLY and each.kind in BY_NAME and not first:
                return f"{each.name!r} cannot be given by name"
        if each.kind in BY_NAME and not (place == 0 and each.name in ("self", "cls")):
            if each.name not in by_name and not named:
                return f"{each.name!r} is missing"
            meets.append(by_name.get(each.name))
        for one in meets:
            if one is not None:
                answered.add(one.name)
                if each.default is not Parameter.empty and one.default is Parameter.empty:
                    return f"{one.name!r} has no default"
    for each in mine:
        var = each.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        if not var and each.name not in answered and each.default is Parameter.empty:
            return f"{each.name!r} is not given, and has no default"
    return ""


def _other_kind(native: Callable[..., Any], own: Callable[..., Any]) -> str:
    for told, is_one in (("async", inspect.iscoroutinefunction), ("a generator", inspect.isgeneratorfunction)):
        if is_one(native) != is_one(own):
            return f"only {'the native one' if is_one(native) else 'this one'} is {told}"
    return ""


def _bare(parameter: Parameter) -> Parameter:
    return parameter.replace(annotation=Parameter.empty)


def _to_add(live: FunctionType, own: FunctionType) -> set[str]:
    known = live.__globals__.keys() | vars(builtins).keys()
    return {name for name in global_names(own.__code__) if name in own.__globals__ and name not in known}


def _set_elsewhere(own: FunctionType) -> set[str]:
    """The names that functions of the user's file declare global: their values may change while the engine runs."""
    try:
        module = inspect.getmodule(own)
        tree = ast.parse(inspect.getsource(module)) if module is not None else None
    except (OSError, TypeError, SyntaxError):
        tree = None
    if tree is None:
        return set(own.__globals__) - vars(builtins).keys()
    return {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
