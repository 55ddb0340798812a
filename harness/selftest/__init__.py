"""Selftest: delays of known length, planted and recovered, in one run or in separate launches.

Takes a config; gives a config with planted delays, and then what was recovered of them.
May import running and what is below it.
"""

__all__: list[str] = []
