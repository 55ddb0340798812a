"""Stands in the place of `python -m harness run CONFIG ... --out FOLDER` where no engine is to start.

It only says where and when it ran. With `--hold VICTIM HELD` it stays on the node that the file VICTIM names, the first
time, until it is ended.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    node = os.environ["RAY_RAYLET_PID"]
    folder = Path(sys.argv[sys.argv.index("--out") + 1])
    config = Path(sys.argv[sys.argv.index("run") + 1])
    folder.mkdir(parents=True)
    begun = time.monotonic()
    if "--hold" in sys.argv:
        victim, held = (Path(sys.argv[sys.argv.index("--hold") + i]) for i in (1, 2))
        if victim.read_text() == node and not held.exists():
            held.touch()
            time.sleep(3600)
    time.sleep(0.2)
    told = {
        "node": node, "begun": begun, "ended": time.monotonic(), "config": config.read_text(),
        "model": Path("model/config.json").read_text(), "seed": os.environ["PYTHONHASHSEED"],
        "changed": Path(os.environ["PYTHONPATH"].split(":")[0], "vllm", "added_by_test.py").exists(),
    }  # fmt: skip
    (folder / "told.json").write_text(json.dumps(told))
