"""What the documents tell operators to type."""
