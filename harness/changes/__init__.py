"""Changes: a diff, another source tree or a user's function, turned into code for the functions of a living engine.

Takes a patch (`sources`), the two texts of a module (`compare`) and the modules of this process (`live`); gives code
objects by function, values by module name, and for each part that cannot be switched the reason (`build`, `drop_in`).
Switching them is `instrument`'s. May import errors, texts and paths; knows nothing of the package but its name.
"""

__all__: list[str] = []
