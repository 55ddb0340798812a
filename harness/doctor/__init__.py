"""Doctor: findings about this machine, the installed engine and a config's targets, each with its fix.

Takes nothing, or a config; gives findings, one after the other. It starts no engine.
May import selftest, running and what is below them.
"""

__all__: list[str] = []
