"""What lives in this process: objects, functions and kept results that still hold what the installed code made."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from harness.changes.codes import nested

__all__ = ["Census"]


@dataclass
class Census:
    """What lives in this process, counted in one walk over the heap.

    Attributes:
        classes: whose objects are counted, those of classes below them too.
        functions: whose nested functions are counted, where they live on.
        cached: cached properties, as (class, name): the objects that keep a result are counted.
    """

    classes: set[type] = field(default_factory=set)
    functions: set[FunctionType] = field(default_factory=set)
    cached: set[tuple[type, str]] = field(default_factory=set)

    def take(self) -> None:
        """Count. vLLM freezes its heap after the start, which hides it from the collector: it is thawed meanwhile."""
        self.objects: dict[type, int] = dict.fromkeys(self.classes, 0)
        self.made: dict[FunctionType, str] = {}
        self.kept: dict[tuple[type, str], int] = dict.fromkeys(self.cached, 0)
        # By identity: two functions may have equal code inside.
        by_id = {id(code): each for each in self.functions for code in list(nested(each.__code__))[1:]}
        if not (self.classes or by_id or self.cached):
            return
        above: dict[type, list[type]] = {}
        wanted = self.classes | {owner for owner, _ in self.cached}
        frozen = gc.get_freeze_count()
        gc.unfreeze()
        gc.collect()
        try:
            for item in gc.get_objects():
                kind = type(item)
                if kind is FunctionType and id(item.__code__) in by_id:
                    self.made.setdefault(by_id[id(item.__code__)], item.__name__)
                hits = above.get(kind)
                if hits is None:
                    hits = above[kind] = [each for each in wanted if each in type.__dict__["__mro__"].__get__(kind)]
                for each in hits:
                    self._count(each, item)
        finally:
            if frozen:
                gc.freeze()

    def _count(self, owner: type, item: Any) -> None:
        if owner in self.objects:
            self.objects[owner] += 1
        for key in self.kept:
            if key[0] is owner and key[1] in getattr(item, "__dict__", ()):
                self.kept[key] += 1
