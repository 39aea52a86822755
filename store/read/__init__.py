"""What is only looked at, and what bounds it."""
