"""Records: a run's folder on disk, and what is written into it or remembered beside it.

In come facts and columns of passes; out come `Records` and run.json, the same for every host.
May import seams and errors; neither torch nor vLLM.
"""

__all__: list[str] = []
