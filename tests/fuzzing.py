"""How many cases a fuzz test has: a fixed set of them where all tests run, drawn ones where somebody asks for more."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

__all__ = ["cases"]

LONG = "long"


def cases(count: int) -> settings:
    """So many cases, the same ones each time; `--hypothesis-profile=long` draws 10,000 others."""
    if settings.get_current_profile_name() == LONG:
        return settings()
    return settings(max_examples=count, derandomize=True, suppress_health_check=list(HealthCheck))
