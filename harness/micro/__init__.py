"""The micro-benchmarks of vllm issue #6879, like for like: `kind: micro` in a config."""

__all__: list[str] = []
