"""When to stop measuring, if not after a number of passes fixed before: a group-sequential rule.

The run is looked at after a number of groups fixed beforehand, and ends at the first look at which all intervals are
narrow enough. Stopping when the spread happens to look small makes intervals too narrow, so each look gets its
share of the error rate (Bonferroni; Pocock 1977, Jennison & Turnbull 2000, ch. 2): the intervals of all looks hold
together, and so does the one at which the run stopped, however it was chosen.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["FIRST_LOOK", "GROWTH", "looks", "per_look"]

FIRST_LOOK: Final = 5
"""Groups at the first look: fewer give hardly any interval at the confidence that many rows need."""
GROWTH: Final = 1.5
"""From look to look: the width falls with the square root of the groups, so each look narrows it by a fifth."""


def looks(most: int) -> list[int]:
    """After how many groups to look, at most `most`, where the run ends in any case."""
    planned = []
    groups = FIRST_LOOK
    while groups < most:
        planned.append(groups)
        groups = math.ceil(groups * GROWTH)
    return [*planned, most]


def per_look(confidence: float, planned: int) -> float:
    """The confidence at each look that makes all looks hold together at `confidence`."""
    return 1 - (1 - confidence) / max(planned, 1)
