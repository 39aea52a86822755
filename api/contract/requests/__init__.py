"""What clients may send: models of bodies and queries, strict, each refusal naming its field."""
