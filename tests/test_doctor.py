"""What doctor finds without an engine."""

from __future__ import annotations

from typing import Any

import pytest

from harness.doctor.engine import examine_phases
from harness.doctor.targets import _held
from harness.errors import HarnessError
from harness.instrument.anatomy import phases_of


def test_probes_that_are_one_function_are_told() -> None:
    known: list[Any] = []
    assert _held("json.dumps", known).startswith("held under ")
    assert _held("json.loads", known).startswith("held under ")
    with pytest.raises(HarnessError, match=r"json\.dumps and json:dumps are the same function; name it once"):
        _held("json:dumps", known)


def test_the_phases_that_there_are_are_counted_and_the_others_named(monkeypatch) -> None:
    missing = "vllm.v1.core.sched.scheduler.Scheduler.schedule"
    monkeypatch.setattr("harness.doctor.engine.those_there", lambda names: [name for name in names if name != missing])
    v1, v2 = examine_phases()
    assert (v1.level, v1.subject) == ("ok", "phases")
    count = len(phases_of("turn", "v1"))
    assert v1.found == f"v1 runner: {count - 1} of {count} functions are there; not {missing}"
    assert missing in v2.found
    (v0,) = examine_phases(("v0",), "a.model.Model")
    count = len(phases_of("turn", "v0", "a.model.Model"))
    assert v0.found == f"v0 runner: {count} of {count} functions are there"
    monkeypatch.setattr("harness.doctor.engine.those_there", lambda names: [])
    assert [finding.level for finding in examine_phases()] == ["warning", "warning"]
