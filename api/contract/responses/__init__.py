"""What clients are answered: the seed's field names and more, rendered once, to bytes."""
