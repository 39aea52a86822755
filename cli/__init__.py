"""The `payments` command and everything that composes the processes from settings."""
