"""Examples: small programs that show what the library offers besides its command line.

Takes what a user has, a run's folder say; gives what the program prints, or an arm of one's own.
May import what users may: `harness` itself.
"""

__all__: list[str] = []
