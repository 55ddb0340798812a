"""Workload: the requests that a pass serves, drawn or read from a trace.

In comes the workload of a config; out come `Request`s, the same in every pass.
May import config and what is below it.
"""

__all__: list[str] = []
