"""The arms: one small file a seam, each arm a few lines that read like the snippets of vllm issue #6879."""
