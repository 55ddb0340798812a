"""Records: a run's folder on disk, and what is written into it or remembered beside it.

Takes facts and columns of passes; gives `Records` and the facts of run.json, the same for every host.
May import seams, instrument (names of columns) and errors; neither torch nor vLLM.
"""

__all__: list[str] = []
