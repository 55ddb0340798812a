"""Workload: the requests that a pass serves, drawn or read from a trace.

Takes the workload of a config; gives `Request`s, the same in every pass.
May import config and what is below it.
"""

__all__: list[str] = []
