"""Instrument: what runs inside the engine's process: probes, their ledger, and the swapping of arms.

Takes plain values over an RPC and gives plain values, so that it serves an engine in whatever process.
May import seams and errors; nothing in here knows of configs, files or statistics.
"""
