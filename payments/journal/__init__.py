"""The journal: seals over the ledger, and what was done to a sealed one."""
