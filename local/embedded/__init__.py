"""Servers that come as wheels, for development and tests: no Docker, no installation.

Each module's `prepare(directory, port)` makes the data directory ready and returns the `Program`
to run; data survives restarts, and everything listens on loopback only.
"""
