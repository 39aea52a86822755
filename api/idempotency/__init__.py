"""One Idempotency-Key, one effect: the key, what it stands for, and the first answer to it."""
