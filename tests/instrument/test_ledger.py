"""Probes on a virtual clock: nesting, recursion, exceptions, and parts that rebuild the whole."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.instrument.ledger import SCOPE, Account, Ledger, settle
from tests.fakes import VirtualClock


def run_scope(ledger: Ledger, body) -> list[Account]:
    ledger.scope(body, lambda: None, lambda: None)()
    end, _ = ledger.mark()
    (accounts,) = ledger.accounts([end], slots=4)
    return accounts


def test_a_call_is_timed_and_the_rest_stays_with_the_scope(clock: VirtualClock) -> None:
    ledger = Ledger(clock)
    probed = ledger.probe(1, lambda: clock.advance(30))

    def body() -> None:
        clock.advance(5)
        probed()
        probed()
        clock.advance(7)

    scope, probe, *_ = run_scope(ledger, body)
    assert probe == Account(calls=2, total_ns=60, self_ns=60, nested_calls=0)
    assert scope == Account(calls=1, total_ns=72, self_ns=12, nested_calls=2)


def test_nested_probes_share_time_without_counting_it_twice(clock: VirtualClock) -> None:
    ledger = Ledger(clock)
    inner = ledger.probe(2, lambda: clock.advance(40))

    def outer_body() -> None:
        clock.advance(1)
        inner()
        clock.advance(2)

    outer = ledger.probe(1, outer_body)
    scope, outer_account, inner_account, _ = run_scope(ledger, outer)
    assert outer_account == Account(calls=1, total_ns=43, self_ns=3, nested_calls=1)
    assert inner_account == Account(calls=1, total_ns=40, self_ns=40)
    assert scope.self_ns == 0


def test_recursion_counts_total_once_and_self_at_every_depth(clock: VirtualClock) -> None:
    ledger = Ledger(clock)

    def countdown(n: int) -> None:
        clock.advance(10)
        if n:
            probed(n - 1)

    probed = ledger.probe(1, countdown)
    _, account, *_ = run_scope(ledger, lambda: probed(3))
    assert account == Account(calls=4, total_ns=40, self_ns=40, nested_calls=3)


def test_mutual_recursion(clock: VirtualClock) -> None:
    ledger = Ledger(clock)

    def ping(n: int) -> None:
        clock.advance(1)
        if n:
            pong_probed(n - 1)

    def pong(n: int) -> None:
        clock.advance(100)
        if n:
            ping_probed(n - 1)

    ping_probed, pong_probed = ledger.probe(1, ping), ledger.probe(2, pong)
    _, ping_account, pong_account, _ = run_scope(ledger, lambda: ping_probed(3))
    assert (ping_account.calls, ping_account.total_ns, ping_account.self_ns) == (2, 202, 2)
    assert (pong_account.calls, pong_account.total_ns, pong_account.self_ns) == (2, 201, 200)


def test_an_exception_is_timed_and_passed_on(clock: VirtualClock) -> None:
    ledger = Ledger(clock)

    def failing() -> None:
        clock.advance(9)
        raise KeyError("x")

    probed = ledger.probe(1, failing)

    def body() -> None:
        with pytest.raises(KeyError):
            probed()
        clock.advance(1)

    scope, probe, *_ = run_scope(ledger, body)
    assert probe == Account(calls=1, total_ns=9, self_ns=9)
    assert scope.self_ns == 1


def test_an_exception_through_the_scope_unbinds_and_closes_it(clock: VirtualClock) -> None:
    ledger, bound = Ledger(clock), []
    probed = ledger.probe(1, lambda: clock.advance(5))

    def body() -> None:
        probed()
        raise ValueError("from the scope")

    scope = ledger.scope(body, lambda: bound.append("in"), lambda: bound.append("out"))
    with pytest.raises(ValueError, match="from the scope"):
        scope()
    assert bound == ["in", "out"]
    probed()  # outside: not counted
    end, _ = ledger.mark()
    (accounts,) = ledger.accounts([end], slots=2)
    assert accounts[1].calls == 1
    assert accounts[SCOPE].total_ns == 5


def test_calls_outside_the_scope_do_not_count(clock: VirtualClock) -> None:
    ledger = Ledger(clock)
    probed = ledger.probe(1, lambda: clock.advance(5))
    probed()
    accounts = run_scope(ledger, lambda: None)
    assert accounts[1].calls == 0


def test_calls_of_another_thread_are_counted_and_left_out(clock: VirtualClock) -> None:
    """They overlap with those of the thread that opened the scope: no self time could be told from them."""
    ledger = Ledger(clock)
    inner = ledger.probe(2, lambda: clock.advance(7))
    outer = ledger.probe(1, lambda: (clock.advance(5), run_in_thread(inner), inner()))
    accounts = run_scope(ledger, outer)
    assert ledger.foreign_calls == 1
    assert (accounts[1].calls, accounts[2].calls) == (1, 1)
    assert accounts[1].self_ns == 5 + 7  # the other thread's work is a wait of this one
    assert accounts[2].self_ns == 7
    run_in_thread(inner)  # while no scope is open
    assert ledger.foreign_calls == 1
    ledger.reset()
    assert ledger.foreign_calls == 0


def test_threads_that_call_at_once_corrupt_nothing() -> None:
    ledger = Ledger()
    probed = ledger.probe(1, lambda: None)
    stop = threading.Event()

    def call_on() -> None:
        while not stop.is_set():
            probed()

    others = [threading.Thread(target=call_on) for _ in range(3)]
    for other in others:
        other.start()
    try:
        accounts = run_scope(ledger, lambda: [probed() for _ in range(20_000)])
    finally:
        stop.set()
        for other in others:
            other.join()
    assert accounts[1].calls == 20_000
    assert accounts[1].self_ns >= 0
    assert accounts[SCOPE].self_ns >= 0


def test_a_scope_that_calls_itself_opens_once(clock: VirtualClock) -> None:
    ledger, opened = Ledger(clock), []

    def body(n: int) -> None:
        clock.advance(3)
        if n:
            scope(n - 1)

    scope = ledger.scope(body, lambda: opened.append(1), lambda: None)
    scope(2)
    end, _ = ledger.mark()
    (accounts,) = ledger.accounts([end], slots=1)
    assert accounts[SCOPE].total_ns == 9
    assert opened == [1]


def run_in_thread(function) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_binding_time_is_bookkeeping_and_not_scope(clock: VirtualClock) -> None:
    ledger = Ledger(clock)
    scope = ledger.scope(lambda: clock.advance(10), lambda: clock.advance(1000), lambda: clock.advance(500))
    scope()
    end, bookkeeping_ns = ledger.mark()
    assert bookkeeping_ns == 1500
    (accounts,) = ledger.accounts([end], slots=1)
    assert accounts[SCOPE].total_ns == 10


def test_the_scopes_cpu_time_is_read_outside_its_own_time(clock: VirtualClock) -> None:
    """By hand: of 10 ns by the clock the thread had a processor for 4; reading that takes none of the scope's time."""
    cpu = VirtualClock()

    def cpu_clock() -> int:
        clock.advance(300)
        return cpu()

    ledger = Ledger(clock, None, cpu_clock)
    scope = ledger.scope(lambda: (clock.advance(10), cpu.advance(4)), lambda: None, lambda: None)
    marks = []
    for calls in (1, 2):
        for _ in range(calls):
            scope()
        marks.append(ledger.mark())
    assert ledger.scope_cpu_ns(2) == [4, 8]
    assert [bookkeeping_ns for _, bookkeeping_ns in marks] == [600, 1200]
    accounts = ledger.accounts([end for end, _ in marks], slots=1)
    assert [of_step[SCOPE].total_ns for of_step in accounts] == [10, 20]
    ledger.reset()
    assert ledger.scope_cpu_ns(1) == [0]


def test_steps_are_kept_apart(clock: VirtualClock) -> None:
    ledger = Ledger(clock)
    probed = ledger.probe(1, clock.advance)
    marks = []
    for ns in (5, 6, 7):
        ledger.scope(lambda ns=ns: probed(ns), lambda: None, lambda: None)()
        marks.append(ledger.mark()[0])
    assert [accounts[1].total_ns for accounts in ledger.accounts(marks, slots=2)] == [5, 6, 7]
    assert ledger.mark()[0] == 0  # and a new pass begins empty


call_trees = st.recursive(
    st.tuples(st.integers(1, 3), st.integers(1, 50), st.just(())),
    lambda children: st.tuples(st.integers(1, 3), st.integers(1, 50), st.lists(children, max_size=3).map(tuple)),
    max_leaves=25,
)


@given(st.lists(call_trees, max_size=4))
def test_any_tree_of_calls_is_rebuilt_exactly(trees) -> None:
    """Self times and calls of any nesting, against a direct walk over the tree; and the parts give the whole."""
    clock = VirtualClock()
    ledger = Ledger(clock)

    def call(node) -> None:
        slot, own_ns, children = node

        def function() -> None:
            for child in children:
                call(child)
            clock.advance(own_ns)

        ledger.probe(slot, function)()

    expected = [Account() for _ in range(4)]

    def walk(node, above: frozenset[int]) -> int:
        slot, own_ns, children = node
        elapsed = own_ns + sum(walk(child, above | {slot}) for child in children)
        expected[slot].calls += 1
        expected[slot].self_ns += own_ns
        expected[slot].nested_calls += len(children)
        expected[slot].total_ns += elapsed if slot not in above else 0
        return elapsed

    whole = sum(walk(tree, frozenset()) for tree in trees)
    accounts = run_scope(ledger, lambda: [call(tree) for tree in trees])
    assert accounts[1:] == expected[1:]
    assert accounts[SCOPE].total_ns == whole == sum(account.self_ns for account in accounts)


def test_an_empty_tape_settles_to_nothing() -> None:
    assert settle([], slots=2) == [Account(), Account()]
