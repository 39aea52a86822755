"""What the pipeline says to the world: topics, the envelope of a message, the relay, consumers."""
