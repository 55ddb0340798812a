"""For mutation runs (tests/mutations.py): the fastest tests first, so that a mutant is killed soon.

mutmut hands on the tests that reach a mutant in no order; a killed one then takes ten times as long. How long each took
without mutants it keeps in `mutmut-stats.json`, in the folder in which it runs them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort what was collected; before anything was timed it stays as it is."""
    stats = Path("mutmut-stats.json")
    took_s = json.loads(stats.read_text())["duration_by_test"] if stats.exists() else {}
    items.sort(key=lambda item: took_s.get(item.nodeid, 0.0))
