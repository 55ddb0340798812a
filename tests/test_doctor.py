"""What doctor finds without an engine."""

from __future__ import annotations

from typing import Any

import pytest

from harness.doctor.targets import _held
from harness.errors import HarnessError


def test_probes_that_are_one_function_are_told() -> None:
    known: list[Any] = []
    assert _held("json.dumps", known).startswith("held under ")
    assert _held("json.loads", known).startswith("held under ")
    with pytest.raises(HarnessError, match=r"json\.dumps and json:dumps are the same function; name it once"):
        _held("json:dumps", known)
