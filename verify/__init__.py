"""`payments verify`: the invariants of the whole pipeline, checked from outside.

It reads the database in one snapshot, the topics from end to end and the provider's
journal, and writes nothing. An invariant is a function that returns what violates it.
"""
