"""Hosts: the systems that are measured. One file a host, and what runs inside its engine."""
