"""matplotlib's Figure, imported faster.

For each of its classes matplotlib lists all properties while it is imported, for docstrings that nobody reads in a
report, and that takes a quarter of the import. Everything else is as ever.
"""

from __future__ import annotations

from matplotlib import artist

_kwdoc = artist.kwdoc
try:
    artist.kwdoc = lambda artist: ""
    from matplotlib.figure import Figure
finally:
    artist.kwdoc = _kwdoc

__all__ = ["Figure"]
