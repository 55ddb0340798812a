"""Seams: places in the host where an implementation can be swapped, each with its contract.

This table is all that the command line needs to know of them; the code of a seam is imported only inside
the engine's process. To add a seam: a module here with `sites(runner)`, its arms in `patches/`, a row below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["AA", "NATIVE", "SEAMS", "Seam"]

NATIVE: Final = "native"
"""The arm that is the host's own implementation; it exists at every seam."""
AA: Final = "A/A"
"""The baseline once more, as an arm of its own: what it differs by from itself is the floor under every claim."""


@dataclass(frozen=True)
class Seam:
    """A seam's entry in the table.

    Attributes:
        name: as written in a config.
        summary: one line for `harness list`.
        module: where `sites(runner)` lives.
        target: dotted name of the host's function that is swapped.
        probe: the short name under which tables show that function.
        runner: the model runner that has it.
        arms: the project's own arms, as `module:Class` by name.
    """

    name: str
    summary: str
    module: str
    target: str
    probe: str
    runner: str
    arms: dict[str, str]


SEAMS: Final[dict[str, Seam]] = {
    seam.name: seam
    for seam in (
        Seam(
            name="slot_mapping",
            summary="block ids and positions of a batch -> the KV-cache slot of each token (vllm issue #6879)",
            module="harness.seams.slot_mapping",
            target="vllm.v1.worker.block_table.BlockTable.compute_slot_mapping",
            probe="compute_slot_mapping",
            runner="v1",
            arms={
                "list": "patches.slot_mapping:List",
                "array": "patches.slot_mapping:Array",
                "list_with_array": "patches.slot_mapping:ListWithArray",
                "cat_frombuffers": "patches.slot_mapping:CatFrombuffers",
                "numpy": "patches.slot_mapping:Numpy",
            },
        ),
    )
}
