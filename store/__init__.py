"""What is written and read: every statement, and the one function that records."""
