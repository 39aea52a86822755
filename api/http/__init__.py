"""HTTP itself: the application, its routes' wiring, what all requests have in common."""
