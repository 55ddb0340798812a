"""Shared by all tests: one OpenMP thread as in real runs, and hypothesis without files in the work tree."""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported by anything
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", f"{tempfile.gettempdir()}/harness-hypothesis")

import pytest
from hypothesis import HealthCheck, settings

from tests.fakes import VirtualClock

settings.register_profile("default", database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()
