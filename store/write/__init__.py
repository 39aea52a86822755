"""What is written: the group committer's decisions, and beside them keys, breaks and seals."""
