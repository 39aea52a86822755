"""The console: pages for operators over what the API reads and does, with no truth of its own."""
