"""The seams of vLLM 0.5.4 in its real loop: every arm makes what the host makes, and nothing is left behind."""

from __future__ import annotations

from typing import Any

import pytest
import vllm.attention.backends.flash_attn as backend
import vllm.worker.model_runner as model_runner

from harness.config.file import load
from harness.doctor.config import examine_historic
from harness.instrument.checking import NATIVE_PASSES
from harness.instrument.instrumentation import Instrumentation
from harness.seams import SEAMS
from tests.historic.conftest import CONFIG, requests, started

PROBES = ["torch.tensor", "compute_slot_mapping", "torch.frombuffer", "torch.cat"]
SCOPE = "prepare_model_input"


def arms(seam: str, *more: tuple[str, str]) -> list[tuple[str, str, None]]:
    own = SEAMS[seam].places["v0"].arms
    return [("native", "", None), *((name, reference, None) for name, reference in (*own.items(), *more))]


def probes(seam: str) -> list[str]:
    return PROBES if seam == "slot_mapping" else [SEAMS[seam].probe, "torch.tensor", "torch.frombuffer"]


def installed(host, seam: str, *more: tuple[str, str]) -> list[str]:
    """Install all arms of a seam; their names."""
    chosen = arms(seam, *more)
    host.install(Instrumentation(seam, chosen, probes(seam), SCOPE))
    return [name for name, *_ in chosen]


def known(host, work) -> None:
    """Native serves, until it is known what it does."""
    for _ in range(NATIVE_PASSES):
        assert host.run_pass("check", [0], work).mismatches == []


@pytest.mark.parametrize("seam", ["slot_mapping", "decode_seq_lens", "tensor_from_list"])
@pytest.mark.parametrize(
    "engine",
    [
        {},
        {"enforce_eager": True},
        {"enable_chunked_prefill": True, "max_num_batched_tokens": 48},
        {"num_gpu_blocks_override": 18, "block_size": 32},
    ],
    ids=["padded", "eager", "chunked", "scarce"],
)
def test_every_arm_gives_the_model_what_the_host_does(engine, seam) -> None:
    with started(**engine) as host:
        names, work = installed(host, seam), requests(9, output_tokens=40)
        known(host, work)
        assert host.checked()["not_repeated"] == []
        for index in range(len(names)):
            result = host.run_pass("check", [index], work)
            assert result.mismatches == []
            (calls,) = result.watched["calls"].values()
            assert calls
            assert all(calls)
            assert result.failure is None


WRONG = """
from patches.decode_seq_lens import Largest
from patches.slot_mapping import List
import torch


class OneOff(List):
    @staticmethod
    def tensor(slots):
        return torch.tensor([*slots[:-1], slots[-1] + 1])


class Narrow(List):
    @staticmethod
    def tensor(slots):
        return torch.tensor(slots, dtype=torch.int32)


class Raising(List):
    @staticmethod
    def append(slots, table, first, count, block_size):
        if first > 24:
            raise ZeroDivisionError("at last")
        List.append(slots, table, first, count, block_size)


class TooLong:
    def lengths(self):
        class Lengths(Largest):
            def append(self, length):
                super().append(length + 1)
        return Lengths()


class Unlike:
    def tensor(self, items, dtype):
        return torch.tensor(items[::-1], dtype=dtype)
"""


@pytest.mark.parametrize(
    ("seam", "name", "said"),
    [
        ("slot_mapping", "OneOff", "attn_metadata].slot_mapping"),
        ("slot_mapping", "Narrow", "int64"),
        ("slot_mapping", "Raising", "raised ZeroDivisionError: at last"),
        ("decode_seq_lens", "TooLong", "max_decode_seq_len"),
        ("tensor_from_list", "Unlike", "input_ids"),
    ],
)
def test_a_wrong_arm_is_found_where_it_differs(tmp_path, seam, name, said) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    with started(enforce_eager=True) as host:
        names = installed(host, seam, (name, f"{tmp_path}/wrong.py:{name}"))
        known(host, requests(9))
        result = host.run_pass("check", [names.index(name)], requests(9))
        assert host.run_pass("check", [0], requests(9)).mismatches == []
    (found,) = result.mismatches
    assert found["arm"] == name
    assert said in found["reason"]
    if name == "Narrow":
        assert "found int32" in found["reason"]


def test_calls_are_those_that_can_be_derived_by_hand(host) -> None:
    """9 requests, 8 tokens each: one step of prefills, seven of decodes, padded to 16."""
    names = installed(host, "slot_mapping")
    calls: dict[str, dict[str, int]] = {}
    for index, name in enumerate(names):
        columns = host.run_pass("probed", [index], requests(9)).columns
        assert columns["num_reqs"] == [9] * 8
        assert columns["num_prefills"] == [9, 0, 0, 0, 0, 0, 0, 0]
        assert columns["num_tokens"] == [sum(range(20, 29)), *[9] * 7]
        assert columns["scope.calls"] == [1] * 8
        calls[name] = {probe: sum(columns[f"{probe}.calls"]) for probe in PROBES}
    by_sequence = {name: found["compute_slot_mapping"] for name, found in calls.items()}
    assert by_sequence == {**dict.fromkeys(names, 9 * 8), "numpy": 9 * 8 + 8}, "and numpy once more for each batch"
    without = calls["native"]["torch.tensor"] - 8
    of_slots = {name: found["torch.tensor"] - without for name, found in calls.items()}
    assert of_slots == {**dict.fromkeys(names, 0), **dict.fromkeys(("native", "list", "numpy_over_256"), 8)}
    frombuffer = {name: found["torch.frombuffer"] for name, found in calls.items() if found["torch.frombuffer"]}
    padding = 7  # a piece for the padding of each decode
    assert frombuffer == {"array": 9 * 8 + padding, "array_extend": 8, "list_with_array": 8}
    assert {name: found["torch.cat"] - calls["native"]["torch.cat"] for name, found in calls.items()} == {
        **dict.fromkeys(names, 0), "array": 8,
    }  # fmt: skip


def held() -> tuple[Any, ...]:
    builder = backend.FlashAttentionMetadataBuilder
    return backend.compute_slot_mapping, backend.torch, model_runner.torch, builder.__init__, builder.build


@pytest.mark.parametrize("seam", ["slot_mapping", "decode_seq_lens", "tensor_from_list"])
@pytest.mark.parametrize("kind", ["check", "probed", "bare", "count", "trace"])
def test_after_a_pass_everything_is_back_by_identity(host, seam, kind) -> None:
    before, worker = held(), set(vars(host._worker))
    installed(host, seam)
    if kind == "check":
        known(host, requests(3))
    host.run_pass(kind, [1], requests(3))
    assert all(now is then for now, then in zip(held(), before, strict=True))
    assert set(vars(host._worker)) == worker


def test_an_arm_that_raises_in_a_step_leaves_that_step_to_the_host(host, tmp_path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    installed(host, "slot_mapping", ("Raising", f"{tmp_path}/wrong.py:Raising"))
    work = requests(9, output_tokens=12)
    expected = host.run_pass("bare", [0], work).tokens
    result = host.run_pass("bare", [len(arms("slot_mapping"))], work)
    assert result.failure["arm"] == "Raising"
    assert "at last" in result.failure["error"]
    assert result.tokens == expected, "the whole batch was the host's own again, padding included"


def test_an_arm_of_a_users_own_that_only_maps_batches_serves_as_well(host, tmp_path) -> None:
    """As README's example: `slots` is all that the contract asks for, with lists or with arrays."""
    (tmp_path / "mine.py").write_text(
        "from patches.slot_mapping import List, Numpy\n\n\nclass Mine:\n    takes = 'lists'\n    slots = List().slots\n"
    )
    installed(host, "slot_mapping", ("mine", f"{tmp_path}/mine.py:Mine"))
    result = host.run_pass("check", [0], requests(9, output_tokens=20))
    assert result.mismatches == []


def test_every_pass_has_the_same_blocks(host) -> None:
    """Else what arms are handed would wander from pass to pass: vLLM hands out first what came back last."""
    installed(host, "slot_mapping")
    free = host._engine.scheduler[0].block_manager.gpu_allocator.free_blocks
    seen = []
    for _ in range(2):
        host._as_at_first()
        seen.append([block.block_number for block in free])
        host.run_pass("bare", [0], requests(5))
    assert seen[0] == seen[1] == sorted(seen[0])
    assert [block.block_number for block in free] != seen[0]


def test_doctor_finds_every_target_and_names_one_that_is_not_there() -> None:
    for path in sorted(CONFIG.parent.glob("*.yaml")):
        findings = list(examine_historic(load(path)))
        assert [finding for finding in findings if finding.level == "fault"] == []
        assert {"vllm", "seam", "scope", "probe", "arm"} <= {finding.subject for finding in findings}
    findings = list(examine_historic(load(CONFIG, ["scope=prepare_outputs"])))
    assert [(f.subject, f.found) for f in findings if f.level == "fault"] == [
        ("scope", "ModelRunner has no method 'prepare_outputs'")
    ]


def test_a_pass_that_is_cut_short_gives_its_steps_and_the_next_one_is_whole(host) -> None:
    installed(host, "slot_mapping")
    before = held()
    work = requests(4)
    expected = host.run_pass("bare", [0], work).tokens
    step, steps = host._engine.step, []

    def interrupted() -> Any:
        steps.append(1)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return step()

    host._engine.step = interrupted
    with pytest.raises(KeyboardInterrupt):
        host.run_pass("probed", [1], work)
    del host._engine.step
    result = host.partial()
    assert result is not None
    assert result.columns["step"] == [0, 1, 2]
    assert all(now is then for now, then in zip(held(), before, strict=True))
    assert host.run_pass("bare", [1], work).tokens == expected


@pytest.mark.parametrize("module", ["flash_attn", "utils"])
def test_the_seams_function_by_its_full_name_is_the_seam(host, module) -> None:
    """As a probe of its own it would be bound over the arm while the scope is open: every arm would time native."""
    name = f"vllm.attention.backends.{module}.compute_slot_mapping"
    chosen = arms("slot_mapping")
    host.install(Instrumentation("slot_mapping", chosen, [name, "torch.cat"], SCOPE))
    index = [arm for arm, *_ in chosen].index("array")
    columns = host.run_pass("probed", [index], requests(3)).columns
    assert columns["torch.cat.calls"] == [1] * 8
    assert columns[f"{name}.calls"] == [3] * 8
