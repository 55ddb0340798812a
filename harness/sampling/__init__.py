"""Sampling: py-spy on a running engine, and what its stacks say.

Takes a process id and settings; gives folded stacks and `Flame`s, cut to the runner and matched at the seam.
May import hosts and what is below it.
"""

__all__: list[str] = []
