"""What an arm leaves in the engine core is in no step's fingerprint: it is struck for it, and not who serves next."""

from __future__ import annotations

from typing import Any

import pytest

from harness.changes.code import frozen
from harness.hosts.base import PassResult
from harness.instrument.instrument import Instrument
from harness.instrument.instrumentation import Instrumentation
from harness.instrument.loops import V1Loop
from harness.running.equality import Equality
from harness.running.proving import Proving
from harness.workload.requests import Request
from tests.fakes import FakeHost, Silent
from tests.fakes_core import Scheduler
from tests.instrument.test_turns import UPDATE, Core

REQUESTS = [Request([1], count) for count in (4, 2, 1)]
_served = [0]
_native = frozen(Scheduler.update_from_output)
BLOCKS = "leaves the engine other than native does: the engine core still holds blocks"


def fine(self, work, output):
    return _native(self, work, output)


def leaks(self, work, output):
    """Never gives the block of the last request back."""
    free = self.kv_cache_manager.block_pool.free_block_queue.blocks
    had = len(free)
    result = _native(self, work, output)
    if len(free) > had and not self.running:
        free.pop()
    return result


def leaks_what_nobody_takes(self, work, output):
    """The block is so far back that this pass does not miss it."""
    free = self.kv_cache_manager.block_pool.free_block_queue.blocks
    free[:] = [block for block in free if block.block_id != 7]
    return None if output is None else _native(self, work, output)


def leaks_behind_native(self, work, output):
    """Right by itself; where native served the step before, a block is gone that this pass does not miss."""
    begins = any(request.req_id == "r0" for request in work.scheduled_new_reqs)
    if not begins and self.core.turns != _served[0] + 1:
        leaks_what_nobody_takes(self, work, None)
    _served[0] = self.core.turns
    return _native(self, work, output)


def leaves_no_block_there(self, work, output):
    """Whoever puts the engine in its first state stumbles over it."""
    self.kv_cache_manager.block_pool.blocks[8] = None
    return _native(self, work, output)


class Host(FakeHost):
    """On an engine core in reach; each start makes another."""

    def __init__(self) -> None:
        super().__init__()
        self.starts = 0

    def start(self) -> Any:
        self.starts += 1
        self.core = Core(asynchronous=False)

    def stop(self) -> None: ...

    def install(self, instrumentation: Instrumentation) -> Any:
        loop, clock = V1Loop(self.core.runner, self.core), self.core.clock
        self.instrument = Instrument(self.core.runner, instrumentation, clock, loop, cpu_clock=clock)

    def run_pass(self, kind: Any, schedule: Any, requests: Any, probed: Any = ()) -> PassResult:
        self.instrument.begin(kind, schedule, probed)
        self.core.serve("r", [each.output_tokens for each in requests])
        return PassResult(tokens=[[1] * each.output_tokens for each in requests], **self.instrument.end())


def proven(*arms: Any, seed: int = 0) -> tuple[Proving, Host]:
    host, observer, unequal = Host(), Silent(), dict[str, str]()
    names = ["native", *(arm.__name__ for arm in arms)]
    given = [("native", "", None), *((name, f"{__name__}:{name}", None) for name in names[1:])]
    instrumentation = Instrumentation("", given, (), UPDATE, swap=UPDATE)

    def restart() -> None:
        host.start()
        host.install(instrumentation)

    restart()
    proving = Proving(host, observer, Equality(names, observer, unequal, {}), names, REQUESTS, seed, restart, {})
    proving.prove("")
    return proving, host


@pytest.mark.parametrize("arms", [(leaks, fine), (fine, leaks), (leaks,)], ids=["first", "last", "alone"])
def test_an_arm_that_leaves_a_block_taken_is_struck_and_not_the_next_one(arms) -> None:
    proving, host = proven(*arms)
    assert proving.equality.unequal == {"leaks": BLOCKS}
    assert host.starts == 2, "native would serve from other blocks"
    proving.again(" at the end", [arm.__name__ for arm in arms], alone=True)
    assert proving.equality.unequal == {"leaks": BLOCKS}


def test_each_arm_is_struck_for_what_it_leaves_itself() -> None:
    proving, host = proven(leaks_what_nobody_takes, fine, leaks)
    assert proving.equality.unequal == {"leaks_what_nobody_takes": BLOCKS, "leaks": BLOCKS}
    assert host.starts == 3


def test_an_arm_that_leaves_a_block_taken_only_where_it_is_mixed_is_blamed_for_it() -> None:
    proving, host = proven(fine, leaks_behind_native, seed=3)
    assert proving.equality.unequal == {"leaks_behind_native": f"{BLOCKS}, mixed with native"}
    assert host.starts == 3, "after the mixed pass, and after the one that told whose doing it was"


def test_an_engine_that_cannot_be_put_right_for_what_an_arm_left_there_says_so_of_that_arm() -> None:
    proving, _ = proven(leaves_no_block_there, fine)
    assert proving.equality.unequal == {
        "leaves_no_block_there": "leaves the engine other than native does: the engine cannot be put in its first "
        "state: AttributeError: 'NoneType' object has no attribute 'is_null'"
    }


def test_where_native_itself_leaves_blocks_taken_no_arm_is_struck_for_it(monkeypatch) -> None:
    def starts(self: Host) -> None:
        start(self)
        self.core.scheduler.kv_cache_manager.block_pool.free_block_queue.blocks.pop()

    start = Host.start
    monkeypatch.setattr(Host, "start", starts)
    proving, _ = proven(fine)
    assert proving.equality.unequal == {}
    assert not proving.reference.resets
