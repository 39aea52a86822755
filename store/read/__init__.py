"""What is only looked at: accounts, payments, refunds, dead letters, the ledger."""
