"""What a running process says about itself: logs, traces and metrics.

Imports nothing of ours, so every other package may import it. Nothing here holds
global state beyond what structlog and stdlib logging keep: a `Tracing` and a
`Metrics` are made in `__main__` and passed to whoever needs them.
"""
