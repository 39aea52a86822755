"""What a handler works with: the call, what it may touch, and how it reads, lists and commits."""
