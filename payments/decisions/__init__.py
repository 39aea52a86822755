"""The decisions: what follows from each command, given the rows it needs."""
