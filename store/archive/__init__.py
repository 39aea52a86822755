"""Payments' history outside the database: whole months of it, as files."""
