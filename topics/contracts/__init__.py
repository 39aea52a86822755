"""The contract with whoever reads a topic: the envelope around every message and what is in it."""
