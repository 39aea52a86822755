"""HTTP itself: connections, what every request and answer has, and every way to say no."""
