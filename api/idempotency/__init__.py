"""One Idempotency-Key, one effect: the key, the submission, the answer again."""
