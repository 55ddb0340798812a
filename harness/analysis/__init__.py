"""Analysis: from records to numbers; statistics are pure functions, each with its source.

Takes `Records`; gives a `Summary`, a comparison of runs, or pandas frames.
May import sampling and what is below it; neither torch nor vLLM.
"""

__all__: list[str] = []
