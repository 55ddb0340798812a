"""The book of blocks: numbers that no two launches share, what is lost, who is given up."""

from __future__ import annotations

import pytest

from harness.running.block_book import CUT, PATIENCE, BlockBook


@pytest.fixture
def book() -> BlockBook:
    return BlockBook(["native", "a"], seed=1)


def test_blocks_that_run_beside_each_other_share_no_number(book: BlockBook) -> None:
    one, first = book.draw()
    book.begin(first[0])
    two, second = book.draw()
    assert (one, two, book.under_way) == (1, 2, 2)
    assert sorted(launch.number for launch in first + second) == [1, 2, 3, 4]
    assert {launch.block for launch in second} == {2}


def test_a_lost_block_is_not_whole_and_says_why(book: BlockBook) -> None:
    number, drawn = book.draw()
    for launch in drawn:
        book.begin(launch)
    book.lose(drawn[1].number, "it was killed")
    assert book.end(number, "node", "") == "it was killed"
    assert book.blocks == [{"number": 1, "node": "node", "lost": "it was killed"}]
    assert (book.whole, book.new, book.under_way, book.whole_launches) == (0, 0, 0, [])
    number, _ = book.draw()
    assert (number, book.end(number, "", "")) == (2, "")
    assert (book.whole, book.new) == (1, 1)


def test_a_name_is_given_up_when_its_launches_fail_in_succession_and_not_before(book: BlockBook) -> None:
    launches = [each for _ in range(2 * PATIENCE) for each in book.draw()[1] if each.arm == "a"]
    for launch in launches:
        book.begin(launch)
    assert [book.gives_up(launch.number) for launch in launches[: PATIENCE - 1]] == [False] * (PATIENCE - 1)
    book.measured(launches[0].number)
    assert [book.gives_up(launch.number) for launch in launches[:PATIENCE]] == [False] * (PATIENCE - 1) + [True]


def test_an_earlier_runs_block_that_had_not_ended_is_lost_and_its_numbers_are_taken() -> None:
    launches = [{"number": number, "arm": "a", "block": block} for number, block in ((1, 1), (2, 1), (3, 2))]
    book = BlockBook(["native", "a"], 1, launches, [{"number": 1}])
    assert book.blocks == [{"number": 1}, {"number": 2, "lost": CUT}]
    assert [launch["number"] for launch in book.whole_launches] == [1, 2]
    assert (book.whole, book.new) == (1, 0)
    number, drawn = book.draw()
    assert (number, [launch.number for launch in drawn]) == (3, [4, 5])
