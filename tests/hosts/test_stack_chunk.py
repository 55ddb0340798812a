"""A call that happens to lie at the edge of a chunk of the interpreter's stack, seen by the page faults it costs."""

from __future__ import annotations

import resource
import sys
from functools import partial
from types import FunctionType

import pytest

from harness.hosts.stack_chunk import call_in_large_chunk

CALLS = 300
DEPTHS = range(1, 300)
SHIFTS = range(0, 24, 3)
"""Of 8 bytes: a frame of these tests takes some 20. Only together do they bring a depth to the edge for certain."""


def leaf() -> None:
    """The cheapest of calls."""


def faults_at(depth: int) -> int:
    """Page faults of many calls at so many frames further in."""
    if depth:
        return faults_at(depth - 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(CALLS):
        leaf()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def shifted(slots: int):
    """What calls a function from a frame that is so much larger."""
    code = (lambda function, depth: function(depth)).__code__
    return FunctionType(code.replace(co_stacksize=code.co_stacksize + slots), globals())


def edges(call) -> list[int]:
    """Depths at which each call costs a page fault."""
    return [depth for slots in SHIFTS for depth in DEPTHS if call(partial(shifted(slots), faults_at), depth) >= CALLS]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="older interpreters keep frames on the heap")
def test_in_a_large_chunk_no_depth_is_an_edge() -> None:
    assert edges(lambda function, depth: function(depth)), "without it some depth is, or this test shows nothing"
    assert edges(call_in_large_chunk) == []


def test_what_is_called_gets_its_arguments_and_gives_its_result_and_its_error() -> None:
    assert call_in_large_chunk(dict, a=1, b=2) == {"a": 1, "b": 2}
    with pytest.raises(ZeroDivisionError):
        call_in_large_chunk(divmod, 1, 0)
