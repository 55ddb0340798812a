"""Micro: the micro-benchmarks of vllm issue #6879, like for like: `kind: micro` in a config.

Takes the parts of such a config; gives results in a run's folder, claims on them, tables and plots.
May import report and what is below it, and patches.
"""

__all__: list[str] = []
