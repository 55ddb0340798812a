"""What workers that Ray starts must have in common with the process that measures."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import HostError
from harness.hosts.origin import check_alike

OWN: dict[str, Any] = {"machine": "here 1", "vllm": "/a/vllm", "variables": {"A": "1", "B": "2"}}


def test_workers_as_this_process_is_are_taken() -> None:
    check_alike(OWN, [OWN, {**OWN}])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"machine": "there 1"}, r"worker 1 is on another machine \(there\)"),
        ({"machine": "here 2"}, r"worker 1 is on another machine \(here\)"),
        ({"vllm": "/overlay/vllm"}, "worker 1 has vLLM from /overlay/vllm, not from /a/vllm: where Ray runs before"),
        ({"variables": {"A": "1", "B": None}}, "worker 1: B is not set, and not '2': where Ray runs before"),
        ({"variables": {"A": "x\ny", "B": "2"}}, r"worker 1: A is 'x\\ny', and not '1'"),
    ],
)
def test_a_worker_that_was_started_from_something_else_is_refused_by_name(other, message) -> None:
    with pytest.raises(HostError, match=message):
        check_alike(OWN, [OWN, {**OWN, **other}])
