"""What is called below an opened function, seen without an engine."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from harness.instrument.callees import Callees

if TYPE_CHECKING:
    from collections.abc import Callable

bound: dict[str, Callable[[int], None]] = {}
"""The opened function as its callers find it."""


def leaf() -> None:
    """Calls nothing."""


nameless = lambda: leaf()  # noqa: E731


def lazy() -> Any:
    yield leaf()


def opened(times: int) -> None:
    leaf()
    if times:
        bound["opened"](times - 1)
    nameless()
    list(lazy())


def seen(times: int, calls: int = 1) -> dict[str, dict[str, Any]]:
    """What is called below `opened`, which calls itself so many times, in so many calls."""
    ticks = count(step=10)
    callees = Callees([f"{__name__}.opened"], 1, lambda: next(ticks))
    ((function, around),) = callees.around().items()
    assert function is opened
    bound["opened"] = around.probed(function)
    for _ in range(calls):
        bound["opened"](times)
    rows = callees.take()
    assert callees.take() == [], "they are forgotten"
    return {row["name"].rpartition(".")[2]: row for row in rows}


def test_calls_are_counted_at_their_depth_also_where_the_opened_function_calls_itself() -> None:
    for times, calls in ((0, 1), (0, 2), (2, 1)):
        found = seen(times, calls)
        assert found["leaf"]["calls"] == found["<lambda>"]["calls"] == calls * (times + 1)
        assert {row["depth"] for row in found.values()} == {1}
        assert {row["within"] for row in found.values()} == {f"{__name__}.opened"}
        assert found["leaf"]["elapsed_ns"] == 10 * calls * (times + 1)


def test_what_no_probe_reaches_is_told_with_its_reason() -> None:
    found = seen(0)
    assert found["leaf"]["why"] == ""
    assert found["<lambda>"]["why"] == "it has no name"
    assert found["lazy"]["why"] == "calling it does none of its work: it is a generator or a coroutine"
