"""From a topic to a handler: Faust, lanes, the order of a key, what may be acknowledged."""
