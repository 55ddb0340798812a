"""What runs inside the engine's process: probes, their ledger, and the swapping of arms.

Nothing in here knows of configs, files or statistics; it takes plain values over an RPC and gives plain
values back (lists, numbers, strings), so that the same code serves an engine in this process, an engine
in a process of its own and parallel workers.
"""
