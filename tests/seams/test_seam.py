"""The seam's two signatures and its refusals, on data structures like vLLM's."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.errors import SeamError, told_with_place
from harness.instrument.arms import load_object
from harness.seams import SEAMS
from harness.seams.slot_mapping import DEVICE_SIGNATURE, NUMPY_SIGNATURE, check_signature, sites
from tests.fakes import BlockTable, OldBlockTable, Runner, UnknownBlockTable

ARMS = SEAMS["slot_mapping"].places["v1"].arms
LENGTHS = [(9, 3), (1, 2), (4, 5), (17, 1)]


@pytest.mark.parametrize("table_class", [BlockTable, OldBlockTable])
@pytest.mark.parametrize("name", ARMS)
@pytest.mark.parametrize("hybrid", [False, True])
def test_every_arm_serves_as_native_does_under_both_signatures(table_class, name: str, hybrid: bool) -> None:
    native = Runner(table_class()).serve(LENGTHS)
    table = table_class()
    table.use_hybrid_blocks = hybrid  # then lists come from the table and not from the requests
    runner = Runner(table)
    errors: list[Exception] = []
    (site,) = sites(runner)
    calls = []
    implementation = site.implement(load_object(ARMS[name])(), errors.append, strict=True)
    table.compute_slot_mapping = lambda *args: (calls.append(1), implementation(*args))
    assert runner.serve(LENGTHS) == native
    assert errors == []
    assert len(calls) == 5


@pytest.mark.parametrize("name", ARMS)
def test_no_arm_reads_what_is_on_the_device(name: str) -> None:
    """On `meta` every attempt to read a value raises; slots go there by way of the host's half of vLLM's buffer."""
    native = Runner().serve(LENGTHS)
    runner = Runner()
    table = runner.table
    table.slot_mapping.gpu = table.slot_mapping.cpu.to("meta")
    errors: list[Exception] = []
    (site,) = sites(runner)
    implementation = site.implement(load_object(ARMS[name])(), errors.append)
    table.compute_slot_mapping = lambda num_reqs, starts, positions: implementation(
        num_reqs, starts.to("meta"), positions.to("meta")
    )
    assert runner.serve(LENGTHS) == native
    assert errors == []


def test_the_known_signatures() -> None:
    assert check_signature(BlockTable.compute_slot_mapping) == DEVICE_SIGNATURE
    assert check_signature(OldBlockTable.compute_slot_mapping) == NUMPY_SIGNATURE


def test_an_unknown_signature_is_refused_with_all_of_them_in_the_message() -> None:
    with pytest.raises(SeamError) as caught:
        sites(Runner(UnknownBlockTable()))
    message = str(caught.value)
    for signature in (
        "(self, batch)",
        "(self, num_reqs, query_start_loc, positions)",
        "(self, req_indices, positions)",
    ):
        assert signature in message


def test_a_runner_of_another_generation_is_refused() -> None:
    with pytest.raises(SeamError, match=r"set host\.model_runner: v1"):
        sites(SimpleNamespace(block_tables=object()))


def test_context_parallelism_is_refused() -> None:
    table = BlockTable()
    table.dcp_world_size = 2
    with pytest.raises(SeamError, match="context parallelism over 2 ranks"):
        sites(Runner(table))


def test_a_group_without_slots_is_passed_over_and_a_model_of_only_such_groups_refused() -> None:
    attention, mamba = BlockTable(), BlockTable()
    mamba.slot_mapping_mode = SimpleNamespace(name="NONE")
    runner = Runner(attention)
    runner.input_batch.block_table.block_tables = [mamba, attention]
    assert [site.owner for site in sites(runner)] == [attention]
    runner.input_batch.block_table.block_tables = [mamba]
    with pytest.raises(SeamError, match="no KV-cache group"):
        sites(runner)


class NoTakes:
    def slots(self, *args):
        raise AssertionError


class NoSlots:
    takes = "lists"


@pytest.mark.parametrize("arm", [NoTakes(), NoSlots(), SimpleNamespace(takes="tuples", slots=print)])
def test_an_arm_without_the_contract_is_refused(arm) -> None:
    (site,) = sites(Runner())
    with pytest.raises(SeamError, match="`takes`, which is 'lists' or 'arrays'"):
        site.implement(arm, print)


async def in_a_while(*args):
    raise AssertionError


NO_TENSORS = [
    (lambda *args: None, "builtins.NoneType"),
    (lambda *args: [1, 2], "builtins.list"),
    (lambda *args: np.zeros(3, dtype=np.int64), "numpy.ndarray"),
    (in_a_while, "builtins.coroutine"),
]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("table_class", "triton"),
    [(BlockTable, False), (BlockTable, True), (OldBlockTable, False)],
    ids=["on a CPU", "for a device", "older"],
)
@pytest.mark.parametrize(("slots", "kind"), NO_TENSORS)
def test_an_arm_that_gives_no_tensor_is_told_so_and_leaves_the_step_to_native(
    monkeypatch, slots, kind, table_class, triton, strict
) -> None:
    monkeypatch.setattr("harness.seams.slot_mapping._has_triton", lambda: triton)
    errors: list[BaseException] = []
    runner = Runner(table_class())
    (site,) = sites(runner)
    arm = SimpleNamespace(takes="lists", slots=slots)
    runner.table.compute_slot_mapping = site.implement(arm, errors.append, strict=strict)
    assert runner.serve(LENGTHS) == Runner().serve(LENGTHS)
    told = f"TypeError: slots must be int64 [tokens] on cpu, not {kind}"
    assert [told_with_place(error) for error in errors] == [told] * 5


def test_what_else_goes_wrong_with_slots_keeps_its_own_words() -> None:
    errors: list[BaseException] = []
    runner = Runner()
    (site,) = sites(runner)
    arm = SimpleNamespace(takes="lists", slots=lambda *args: torch.zeros(2, 2, dtype=torch.int64))
    runner.table.compute_slot_mapping = site.implement(arm, errors.append)
    assert runner.serve([(1, 1)]) == Runner().serve([(1, 1)])
    (error,) = errors
    assert isinstance(error, RuntimeError)
    assert "shape" in str(error)
