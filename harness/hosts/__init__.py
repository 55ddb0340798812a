"""Hosts: the systems that are measured. One file a host, and what runs inside its engine.

Takes the sections `host` and `engine` of a config, arms and a schedule; gives a `PassResult` a pass.
May import workload and what is below it; vLLM only when a host starts.
"""
