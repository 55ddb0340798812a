"""Runs blocks of quick processes on a cluster of two nodes, kills one in the middle of a block, and says what happened.

`python -m tests.fleet.lose_a_node FOLDER`, by the Python that has Ray; JSON on stdout.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.changes.sources import SourceFile
from harness.config.file import load
from harness.fleet.fleet import Fleet
from harness.fleet.luggage import pack_luggage
from harness.fleet.on_ray import connected
from harness.running.blocks import Block
from harness.running.place import Place, Process
from tests.fleet.two_nodes import two_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCKS = 4
ARMS = ("native", "other")
CONFIG = "engine: {model: model}\nworkload: {requests: 3, prompt_tokens: 6, output_tokens: 5}\narms: [native]\n"


class Keeper:
    """Draws blocks until there are enough whole ones, and writes down what it is told."""

    def __init__(self, folder: Path, quick: Path) -> None:
        self.folder, self.quick = folder, quick
        self.ran_: list[tuple[int, int]] = []
        self.ended_: dict[int, tuple[str, str]] = {}
        self.begun = 0
        self.launches: list[tuple[int, int, str]] = []

    def blocks(self) -> Iterator[Block | None]:
        while sum(not lost for _, lost in self.ended_.values()) < BLOCKS:
            whole = sum(not lost for _, lost in self.ended_.values())
            if whole + self.begun - len(self.ended_) >= BLOCKS:
                yield None
                continue
            self.begun += 1
            yield Block(self.begun, self.processes(self.begun))

    def processes(self, block: int) -> Iterator[Process]:
        for arm in ARMS:
            number = len(self.launches) + 1
            self.launches.append((number, block, arm))
            out = self.folder / "launches" / f"{number:02d}"
            words = [str(self.quick), "run", "config.yaml", "--out", str(out)]
            if arm == "other":  # in the middle of a block: its first launch has ended
                words += ["--hold", str(self.folder / "victim"), str(self.folder / "held")]
            yield Process(number, arm, words, {"PYTHONHASHSEED": str(number)}, out)

    def ran(self, process: Process, exit_status: int) -> bool:
        self.ran_.append((process.number, exit_status))
        return exit_status == 0

    def ended(self, block: int, node: str = "", lost: str = "", together: bool = False) -> None:
        self.ended_[block] = (node, lost)


def raylet_of(node: Any) -> int:
    """The id of a node's own process, by which its workers' processes know it."""
    return int(node.all_processes["raylet"][0].process.pid)


def main(folder: Path) -> dict[str, Any]:
    quick = Path(__file__).with_name("quick.py")
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "added.py").write_text("")
    os.chdir(folder)
    keeper, notes = Keeper(folder, quick), list[str]()
    place = Place({"other": [SourceFile("vllm/added_by_test.py", "vllm.added_by_test", folder / "added.py", new=True)]})

    def note(text: str) -> None:
        notes.append(text)
        sys.stderr.write(f"{text}\n")

    with two_nodes() as cluster:
        victim = str(raylet_of(cluster.second))
        (folder / "victim").write_text(victim)

        def kill_the_victim() -> None:
            while not (folder / "held").exists():
                time.sleep(0.05)
            cluster.remove_node(cluster.second, allow_graceful=False)

        with connected(cluster.address) as ray_cluster:
            threading.Thread(target=kill_the_victim, daemon=True).start()
            Fleet(ray_cluster, lambda place: pack_luggage(load(folder / "config.yaml"), place), note)(
                keeper.blocks(), keeper, place
            )
    told = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("launches/*/told.json")}
    return {"launches": keeper.launches, "ran": keeper.ran_, "ended": keeper.ended_, "told": told, "notes": notes,
            "victim": victim}  # fmt: skip


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))) + "\n")
