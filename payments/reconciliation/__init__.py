"""A settlement report against our books, and what becomes of a difference."""
