"""Selftest: delays of known length, planted and recovered, in one run or in separate launches.

In comes a config; out come a config with planted delays, and what was recovered of them.
May import running and what is below it.
"""

__all__: list[str] = []
