"""Every arm equals a slow obvious reference, bit for bit, over all shapes of batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.instrument.arms import load_object
from harness.seams import SEAMS

ARMS = {
    **SEAMS["slot_mapping"].places["v1"].arms,
    "README's": "harness/examples/own_slots.py:Comprehension",
    **{f"{name} of 0.5.4": reference for name, reference in SEAMS["slot_mapping"].places["v0"].arms.items()},
}


def reference(block_tables, firsts, counts, block_size) -> list[int]:
    slots = []
    for table, first, count in zip(block_tables, firsts, counts, strict=True):
        for position in range(first, first + count):
            slots.append(table[position // block_size] * block_size + position % block_size)  # noqa: PERF401
    return slots


@st.composite
def batches(draw):
    """Block tables just long enough, or with blocks to spare; prefills, single tokens, chunks, nothing at all."""
    block_size = draw(st.integers(1, 300))  # some prefills then have 256 slots and more, from where on an arm differs
    firsts, counts, tables = [], [], []
    for _ in range(draw(st.integers(0, 6))):
        first = draw(
            st.one_of(st.just(0), st.integers(0, 3 * block_size), st.sampled_from([block_size - 1, block_size]))
        )
        count = draw(
            st.one_of(
                st.sampled_from([0, 1, block_size, block_size + 1]),
                st.integers(0, 2 * block_size + 3),
                st.just(block_size - first % block_size),  # ends with its block
            )
        )
        blocks = -(-(first + count) // block_size) + draw(st.integers(0, 2))
        tables.append(draw(st.lists(st.integers(0, 2**31 - 1), min_size=blocks, max_size=blocks)))
        firsts.append(first)
        counts.append(count)
    return tables, firsts, counts, block_size


def hand_over(takes, tables, firsts, counts):
    if takes == "lists":
        return tables, firsts, counts
    width = max(map(len, tables), default=1) or 1
    matrix = np.full((len(tables), width), -9, dtype=np.int32)
    for row, table in zip(matrix, tables, strict=True):
        row[: len(table)] = table
    return matrix, np.array(firsts, dtype=np.int32), np.array(counts, dtype=np.int32)


@pytest.mark.parametrize("name", ARMS)
@given(batch=batches())
def test_every_arm_equals_the_reference(name: str, batch) -> None:
    *rest, block_size = batch
    arm = load_object(ARMS[name])()
    slots = arm.slots(*hand_over(arm.takes, *rest), block_size)
    assert slots.dtype == torch.int64
    assert slots.device.type == "cpu"
    assert slots.tolist() == reference(*rest, block_size)


BY_SEQUENCE = {
    name: reference for name, reference in ARMS.items() if not reference.endswith((":Numpy", ":Comprehension"))
}


@pytest.mark.parametrize("name", BY_SEQUENCE)
@given(batch=batches(), padding=st.integers(0, 9))
def test_an_arm_that_is_called_sequence_by_sequence_makes_the_same_padding_included(name, batch, padding) -> None:
    """As vLLM 0.5.4 calls it: container, append for each sequence, the padding as a sequence, tensor."""
    *rest, block_size = batch
    arm = load_object(BY_SEQUENCE[name])()
    gathered = arm.container()
    for table, first, count in zip(*rest, strict=True):
        arm.append(gathered, table, first, count, block_size)
    arm.append(gathered, [-1] * padding, 0, padding, 1)
    slots = arm.tensor(gathered)
    assert slots.dtype == torch.int64
    assert slots.tolist() == reference(*rest, block_size) + [-1] * padding


@pytest.mark.parametrize("name", ARMS)
def test_an_empty_batch_gives_an_empty_tensor(name: str) -> None:
    arm = load_object(ARMS[name])()
    slots = arm.slots(*hand_over(arm.takes, [], [], []), 16)
    assert slots.shape == (0,)
    assert slots.dtype == torch.int64


@pytest.mark.parametrize("name", ARMS)
def test_a_result_stays_valid_when_the_arm_computes_the_next(name: str) -> None:
    """No arm may hand out memory that its next call grows or frees."""
    arm = load_object(ARMS[name])()
    first = arm.slots(*hand_over(arm.takes, [[5]], [0], [3]), 4)
    for count in (4, 400):
        arm.slots(*hand_over(arm.takes, [list(range(100))], [0], [count]), 4)
    assert first.tolist() == [20, 21, 22]
