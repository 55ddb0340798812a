"""Running: what is known before the engine starts, a run from there to its last pass, the forecast of its time.

Takes a loaded config and a host; gives a run's folder and an `Outcome`, whatever happens.
May import analysis and what is below it.
"""

__all__: list[str] = []
