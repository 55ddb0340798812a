"""Seams: places in the host where an implementation can be swapped, each with its contract.

Takes a model runner; gives the sites where an arm is put in. The table below is all that a config needs of it.
May import errors and changes; a seam's own code is imported only inside the engine's process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from harness.errors import SeamError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["AA", "NATIVE", "SEAMS", "Place", "Seam", "how_to_get", "swapped", "swapped_in"]

NATIVE: Final = "native"
"""The arm that is the host's own implementation; it exists at every seam."""
AA: Final = "A/A"
"""The baseline a second time, as an arm of its own: its difference from itself is the noise floor for every claim."""


def how_to_get(generations: Iterable[str]) -> str:
    """What to set in a config to have a runner of one of these generations."""
    settings = {"v0": "host.kind: vllm_v0", "v1": "host.model_runner: v1", "v2": "host.model_runner: v2"}
    return " or ".join(f"set {settings[generation]}" for generation in generations)


@dataclass(frozen=True)
class Place:
    """Where one generation of model runners has a seam.

    Attributes:
        module: where `sites(runner)` and `check_signature(function)` live.
        target: dotted name of the host's function that is swapped.
        scope: the runner's methods inside which that happens, as a config's `scope` names them.
        arms: the project's own arms, as `module:Class` by name.
    """

    module: str
    target: str
    scope: str
    arms: dict[str, str]


@dataclass(frozen=True)
class Seam:
    """A seam's entry in the table.

    Attributes:
        name: as written in a config.
        summary: one line for `harness list`.
        probe: the short name under which configs and tables show the function that is swapped.
        places: where it is, by generation of model runners (`config.experiment.Host.generation`).
        shown: what a step's fields have in their paths that show what arms compute; empty where tokens alone do. An arm
            is not called equal where native itself does not repeat these.
    """

    name: str
    summary: str
    probe: str
    places: dict[str, Place]
    shown: str = ""

    def place(self, generation: str, runner: type) -> Place:
        """Where runners of this generation have the seam; `runner` is for the error.

        Raises:
            SeamError: they do not have it.
        """
        if generation not in self.places:
            raise SeamError(
                f"seam {self.name} lives on {' and '.join(self.places)} runners, this is {runner.__module__}."
                f"{runner.__name__}; {how_to_get(self.places)}"
            )
        return self.places[generation]


_SLOT_ARMS: Final = {
    "list": "patches.slot_mapping:List",
    "array": "patches.slot_mapping:Array",
    "list_with_array": "patches.slot_mapping:ListWithArray",
    "cat_frombuffers": "patches.slot_mapping:CatFrombuffers",
    "numpy": "patches.slot_mapping:Numpy",
}

_V0_BUILDER: Final = "vllm.attention.backends.flash_attn.FlashAttentionMetadataBuilder"
_V0_SCOPE: Final = "prepare_model_input"

SEAMS: Final[dict[str, Seam]] = {
    seam.name: seam
    for seam in (
        Seam(
            name="slot_mapping",
            summary="block ids and positions of a batch -> the KV-cache slot of each token (vllm issue #6879)",
            probe="compute_slot_mapping",
            shown=".slot_mapping",
            places={
                "v1": Place(
                    module="harness.seams.slot_mapping",
                    target="vllm.v1.worker.block_table.BlockTable.compute_slot_mapping",
                    scope="_prepare_inputs",
                    arms=_SLOT_ARMS,
                ),
                "v2": Place(
                    module="harness.seams.slot_mapping_v2",
                    target="vllm.v1.worker.gpu.block_table.BlockTables.compute_slot_mappings",
                    scope="prepare_inputs + prepare_attn",
                    arms=_SLOT_ARMS,
                ),
                "v0": Place(
                    module="harness.seams.slot_mapping_v0",
                    target="vllm.attention.backends.utils.compute_slot_mapping",
                    scope=_V0_SCOPE,
                    arms={  # under the names: its `array` is a torch.cat of torch.frombuffers
                        "list": "patches.slot_mapping:List",
                        "array": "patches.slot_mapping:CatFrombuffers",
                        "array_extend": "patches.slot_mapping:ExtendArray",
                        "numpy": "patches.slot_mapping:Numpy",
                        "list_with_array": "patches.slot_mapping:ListWithArray",
                        "numpy_over_256": "patches.slot_mapping:NumpyOver256",
                    },
                ),
            },
        ),
        Seam(
            name="decode_seq_lens",
            summary="the lengths of a step's decodes -> the largest of them (a remark in the thread of #6879)",
            probe="decode_seq_lens",
            places={
                "v0": Place(
                    module="harness.seams.decode_seq_lens",
                    target=f"{_V0_BUILDER}.__init__",
                    scope=_V0_SCOPE,
                    arms={
                        "list": "patches.decode_seq_lens:List",
                        "running_max": "patches.decode_seq_lens:RunningMax",
                    },
                ),
            },
        ),
        Seam(
            name="tensor_from_list",
            summary="lists of integers -> tensors, wherever a step's inputs are built ('for all possible cases')",
            probe="tensor_from_list",
            places={
                "v0": Place(
                    module="harness.seams.tensor_from_list",
                    target="vllm.worker.model_runner.ModelInputForGPUBuilder.build",
                    scope=_V0_SCOPE,
                    arms={
                        "list": "patches.tensor_from_list:List",
                        "list_with_array": "patches.tensor_from_list:ListWithArray",
                    },
                ),
            },
        ),
    )
}


def swapped(seam: str, swap: str) -> str:
    """The name under which probes and tables have the function that arms replace; empty where it is no one function.

    Args:
        seam: a config's seam, empty where it has none.
        swap: a config's function to be replaced, as a dotted name; empty where it has none.
    """
    return SEAMS[seam].probe if seam else swap


def swapped_in(config: Mapping[str, Any]) -> str:
    """The same, of a config as run.json has it."""
    return swapped(config.get("seam", ""), config.get("swap", ""))
