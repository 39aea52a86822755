"""Who may ask, and how often: keys, scopes and rate limits."""
