"""Small programs that show what the library is good for besides its command line."""

__all__: list[str] = []
