"""Config: what a YAML file may say, validated, and errors that name the file and the line.

In comes a path with overrides; out comes `Loaded`, an `Experiment` or a `Micro` with its folder.
May import records, instrument, seams and errors.
"""

__all__: list[str] = []
