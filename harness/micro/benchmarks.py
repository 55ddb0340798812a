"""The issue's five micro-benchmarks as rows, and one on how copies to a GPU are made today.

Conversions to a CPU tensor are those of `patches.conversions`, which the arms use; those to a device are the thread's.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness.errors import ConfigError
from harness.micro.claims import AS_PUBLISHED
from harness.micro.rows import Row
from patches import conversions
from patches.conversions import INT64

if TYPE_CHECKING:
    from harness.config.micro import Concat, Operations, Sizes

__all__ = ["build_rows", "device_of", "has_gpu"]

CONVERSIONS: dict[str, Any] = {name: getattr(conversions, name) for name in conversions.__all__}
LARGE = 1_000_000
"""Where the integers of pieces begin."""
AFRESH = 20
"""Repeats before a container that grows is made afresh, so that it hardly changes meanwhile."""
MANY = 100
"""How often an operation on one item stands in its statement: alone it would take no longer than the timing loop."""
IN_FLIGHT = 20
"""Copies between two waits for the GPU: about as many as two steps of a V2 runner make."""
BUSY_CYCLES = 40_000_000
"""Clock cycles for which the GPU is kept busy, some 20 ms: longer than the host takes to ask for `IN_FLIGHT` copies."""


def has_gpu() -> bool:
    """Whether PyTorch has a GPU here."""
    return torch.cuda.is_available()


def device_of(benchmark: Sizes | Operations | Concat) -> str:
    """Where a benchmark's tensors are made: `cpu` or `cuda`.

    Raises:
        ConfigError: it needs a GPU, or asks for one, and PyTorch has none here.
    """
    if benchmark.benchmark not in ("to_gpu", "copy_to_gpu"):
        return "cpu"
    if benchmark.benchmark == "copy_to_gpu" and (benchmark.device == "cpu" or not has_gpu()):
        why = "device: cpu was asked for" if benchmark.device == "cpu" else "PyTorch has none here"
        raise ConfigError(f"benchmark: copy_to_gpu needs a GPU, and {why}; run it on a machine with one")
    if benchmark.device == "cuda" and not has_gpu():
        raise ConfigError("device: cuda was asked for, and PyTorch has none here; write auto, or cpu")
    return "cpu" if benchmark.device == "cpu" or not has_gpu() else "cuda"


def build_rows(benchmark: Sizes | Operations | Concat) -> list[Row]:
    """All rows of a benchmark, in the table's order."""
    builders: dict[str, Any] = {
        "to_cpu": _to_cpu, "to_gpu": _to_gpu, "copy_to_gpu": _copy_to_gpu, "operations": _operations,
        "concat": _concat, "incremental": _incremental,
    }  # fmt: skip
    rows: list[Row] = builders[benchmark.benchmark](benchmark)
    return rows


def _to_cpu(benchmark: Sizes) -> list[Row]:
    """list, list_with_array, array, array2 and numpy to a CPU tensor."""
    rows = []
    for size in benchmark.sizes:
        items = list(range(size))
        names = {**CONVERSIONS, "items": items, "items_array": array(INT64, items), "items_numpy": np.arange(size)}
        columns = {
            "list": "from_list(items)",
            "list_with_array": "from_list_with_array(items)",
            "array": "from_array(items_array)",
            "array2": "from_list_or_array(items)",
            "numpy": "from_numpy(items_numpy)",
        }
        rows.append(Row(f"{size:,}", columns, names, size=size))
    return rows


def _to_gpu(benchmark: Sizes) -> list[Row]:
    """List and array to a device tensor; `array('l') as int` is the thread's, whose items are 8 bytes and read as 4."""
    device = device_of(benchmark)
    # Each call waits for the device, as in the thread.
    wait = "; synchronize()" if device == "cuda" else ""
    rows = []
    for size in benchmark.sizes:
        items = list(range(size))
        names = {
            "torch": torch, "device": device, "items": items, "long_array": array("l", items),
            "int_array": array("i", items), "synchronize": torch.cuda.synchronize,
        }  # fmt: skip
        columns = {
            "list": f"tensor = torch.tensor(items, dtype=torch.int, device=device){wait}",
            "array": f"tensor = torch.frombuffer(int_array, dtype=torch.int).to(device){wait}",
            AS_PUBLISHED: f"tensor = torch.frombuffer(long_array, dtype=torch.int).to(device){wait}",
        }
        rows.append(Row(f"{size:,}", columns, names, outcome=dict.fromkeys(columns, "tensor"), size=size))
    return rows


def _copy_to_gpu(benchmark: Sizes) -> list[Row]:
    """What it costs the host to ask for a copy to the GPU, from pageable memory or by way of pinned memory.

    `pin_memory` is vLLM's `async_tensor_h2d` and `async_copy_to_gpu` (vllm/utils/torch_utils.py and
    vllm/v1/worker/gpu/buffer_utils.py), `pageable` is the latter since pull request 37006, and `kept buffer` is the way
    of its `CpuGpuBuffer`: pinned memory that is allocated once. None waits for the GPU. While that is busy, a copy that
    has to wait for it shows the wait.
    """
    device = device_of(benchmark)
    columns = {
        "pageable": "tensor = torch.from_numpy(items).to(device, non_blocking=True)",
        "pin_memory": "tensor = torch.from_numpy(items).pin_memory().to(device, non_blocking=True)",
        "kept buffer": "buffer_numpy[:] = items; tensor = buffer.to(device, non_blocking=True)",
    }
    rows = []
    for state, occupy in (("idle", ""), ("busy", "; occupy(BUSY_CYCLES)")):
        for size in benchmark.sizes:
            items = np.arange(size, dtype=np.int32)
            buffer = torch.empty(size, dtype=torch.int32, pin_memory=True)
            names = {
                "torch": torch, "device": device, "items": items, "buffer": buffer, "buffer_numpy": buffer.numpy(),
                "synchronize": torch.cuda.synchronize, "occupy": torch.cuda._sleep, "BUSY_CYCLES": BUSY_CYCLES,
            }  # fmt: skip
            label, setup = f"{size:,}, GPU {state}", f"synchronize(){occupy}"
            outcome = dict.fromkeys(columns, "tensor")
            rows.append(Row(label, columns, names, setup, outcome, size=size, repeats=IN_FLIGHT))
    return rows


def _operations(benchmark: Operations) -> list[Row]:
    """Containers of `items` each, and `added` more; where one grows it is made afresh after a few repeats."""
    items, added = benchmark.items, benchmark.added
    names = {**CONVERSIONS, "array": array, "np": np, "INT64": INT64, "ITEMS": items, "ADDED": added}
    setup = (
        "lst, lst2 = list(range(ITEMS)), list(range(ADDED)); "
        "arr, arr2 = array(INT64, lst), array(INT64, lst2); "
        "nd, nd2 = np.arange(ITEMS), np.arange(ADDED)"
    )
    grown = {"list": "lst", "array": "arr"}
    changed = {**grown, "numpy": "nd"}
    indexed = dict.fromkeys(changed, "x")

    def row(label: str, statements: tuple[str, str, str], outcome: dict[str, str] | None = None, note: str = "") -> Row:
        columns = dict(zip(("list", "array", "numpy"), statements, strict=True))
        return Row(label, columns, names, setup, outcome or {}, repeats=AFRESH if outcome else None, note=note)

    def many(statement: str) -> str:
        return "; ".join([statement] * MANY)

    copied = "numpy makes a new array each time, so it never grows"
    return [
        row(f"init ({added:,})", ("list(lst2)", "array(INT64, lst2)", "np.array(lst2)")),
        row(
            f"pre-allocate ({added:,})",
            ("[0] * ADDED", "array(INT64, bytes(8 * ADDED))", "np.zeros(ADDED, dtype=np.int64)"),
        ),
        row(
            f"append ({MANY} times)",
            (many("lst.append(7)"), many("arr.append(7)"), many("nd = np.append(nd, 7)")),
            changed,
        ),
        row(
            "extend, as published",
            ("lst.extend(lst2)", "arr.extend(lst)", "np.concatenate((nd, lst))"),
            grown,
            f"the list takes {added:,} more items, the array {items:,}, and from a list, which unboxes each",
        ),
        row(
            f"extend, from a list ({added:,})",
            ("lst.extend(lst2)", "arr.extend(lst2)", "np.concatenate((nd, lst2))"),
            grown,
            copied,
        ),
        row(
            f"extend, same type ({added:,})",
            ("lst.extend(lst2)", "arr.extend(arr2)", "np.concatenate((nd, nd2))"),
            grown,
            copied,
        ),
        row(f"slice ({added:,})", ("lst[:ADDED]", "arr[:ADDED]", "nd[:ADDED]")),
        row(f"assign ({MANY} times)", (many("lst[1] = 2"), many("arr[1] = 2"), many("nd[1] = 2")), changed),
        # The last item: small integers are there already, and need not be boxed.
        row(f"index ({MANY} times)", (many("x = lst[-1]"), many("x = arr[-1]"), many("x = nd[-1]")), indexed),
        row(f"to_torch ({items:,})", ("from_list(lst)", "from_array(arr)", "from_numpy(nd)")),
    ]


def _concat(benchmark: Concat) -> list[Row]:
    """Pieces, one a sequence, to one tensor."""
    rows = []
    for length in benchmark.lengths:
        for count in benchmark.pieces:
            # Other integers in each piece, and none so small that Python has it already.
            lists = [list(range(start, start + length)) for start in range(LARGE, LARGE + count * length, length)]
            names = {
                **CONVERSIONS, "array": array, "np": np, "INT64": INT64, "lists": lists,
                "arrays": [array(INT64, piece) for piece in lists], "numpys": [np.array(piece) for piece in lists],
            }  # fmt: skip
            columns = {
                "list.extend": "out = []\nfor piece in lists: out.extend(piece)\ntensor = from_list(out)",
                "array.extend(array)": (
                    "out = array(INT64)\nfor piece in arrays: out.extend(piece)\ntensor = from_array(out)"
                ),
                "array.extend(list)": (
                    "out = array(INT64)\nfor piece in lists: out.extend(piece)\ntensor = from_array(out)"
                ),
                "np.concatenate": "tensor = from_numpy(np.concatenate(numpys))",
                "cat of frombuffers": "tensor = joined_frombuffers(arrays)",
            }
            label = f"{count:,} of {length:,}"
            rows.append(Row(label, columns, names, outcome=dict.fromkeys(columns, "tensor"), size=count))
    return rows


def _incremental(benchmark: Sizes) -> list[Row]:
    """A tensor after each append.

    The thread's form, `array.append` and then `torch.frombuffer`, keeps the last tensor while the array grows, and so
    ends on freed memory. Here the tensor holds the array's buffer, and is let go of before the array grows.
    """
    rows = []
    for size in benchmark.sizes:
        columns = {
            "list": "items = []\nfor i in range(size):\n    items.append(i)\n    tensor = from_list(items)",
            "array": (
                "tensor = None\nitems = array(INT64)\nfor i in range(size):\n    tensor = None\n    items.append(i)\n"
                "    tensor = guarded_from_array(items)"
            ),
        }
        names = {**CONVERSIONS, "array": array, "INT64": INT64, "size": size}
        rows.append(Row(f"{size:,}", columns, names, outcome=dict.fromkeys(columns, "tensor"), size=size))
    return rows
