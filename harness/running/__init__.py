"""Running: a run from the engine's start to its last pass, and the forecast of its time and resolution.

Takes a loaded config and a host; gives a run's folder and an `Outcome`, whatever happens.
May import analysis and what is below it.
"""

__all__: list[str] = []
