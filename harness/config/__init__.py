"""Config: what a YAML file may say, validated, and errors that name the file and the line.

Takes a path and overrides; gives `Loaded` (an `Experiment` with its path), or the parts of a micro config.
May import records, instrument, seams, paths and errors.
"""

__all__: list[str] = []
