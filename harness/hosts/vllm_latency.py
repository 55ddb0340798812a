"""vLLM's own latency benchmark with an arm in it: what one would do without this project, for comparison.

Run in a process of its own: `python -m harness.hosts.vllm_latency SPEC.json`, the specification being what
`harness.selftest.usual_way` writes. The arm is put in as bare passes have it, without probes, and stays.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

__all__ = ["run"]


def run(spec: dict[str, Any]) -> None:
    """Run `vllm.benchmarks.latency` for one arm; its JSON goes to `spec["output_json"]`."""
    os.environ.update(spec["environment"])
    import vllm
    from vllm.benchmarks import latency
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser()
    latency.add_cli_args(parser)
    arguments = parser.parse_args(spec["arguments"])
    for name, value in spec["engine_args"].items():
        setattr(arguments, name, value)  # as the config gives them, types and all

    class ArmedLLM(vllm.LLM):  # type: ignore[misc]
        """An LLM whose runner has the arm from its first step on."""

        def __init__(self, **engine_args: Any) -> None:
            super().__init__(**engine_args)
            for method, args in (
                ("harness_install", (spec["instrumentation"],)),
                ("harness_begin", ("bare", [0], [])),
            ):
                for answer in self.collective_rpc(method, args=args):
                    if "error" in answer:
                        raise RuntimeError(answer["error"][1])

    vllm.LLM = ArmedLLM
    latency.main(arguments)


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
