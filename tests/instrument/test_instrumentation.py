"""What an engine is instrumented with, on its way to the process that runs it."""

from __future__ import annotations

import json

import pytest

from harness.instrument.instrumentation import ArmSpec, Instrumentation

WHOLE = Instrumentation(
    "slot_mapping",
    [ArmSpec("native", "", None), ArmSpec("list", "patches.slot_mapping:List", None), ArmSpec("late", "", 20_000)],
    ["compute_slot_mapping", "torch.cat"],
    "_prepare_inputs + _update_states",
    sync=True,
    nvtx=True,
)
BEHIND = Instrumentation("", [ArmSpec("native", "", None), ArmSpec("a.b", "", 5000, at="a.b")], [], "auto")


@pytest.mark.parametrize("sent", [WHOLE, BEHIND, Instrumentation("slot_mapping", [], [], "_prepare_inputs")])
def test_it_comes_back_whole_from_plain_values(sent) -> None:
    """JSON stands for what an RPC carries: neither knows tuples or classes."""
    assert Instrumentation.from_dict(json.loads(json.dumps(sent.as_dict()))) == sent


@pytest.mark.parametrize("values", [["x", "m:f", 7], ["x", "m:f", 7, "folder"], ["x", "m:f", 7, "folder", ["a", "b"]]])
def test_arms_of_older_records_are_read(values) -> None:
    made = ArmSpec.from_list(values)
    assert (made.name, made.reference, made.delay_ns, made.at) == ("x", "m:f", 7, "")
    assert (made.folder, made.only) == (
        values[3] if len(values) > 3 else "", tuple(values[4]) if len(values) > 4 else ()
    )  # fmt: skip


def test_it_is_sent_as_types_that_need_no_class_to_be_read() -> None:
    values = WHOLE.as_dict()
    assert {type(value) for value in values.values()} == {str, list, bool, float}
    assert {type(arm) for arm in values["arms"]} == {list}
