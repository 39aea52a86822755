"""The work of a stage: what is claimed, who is called, what came of it."""
