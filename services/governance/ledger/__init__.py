"""What the operator certifies, in a ledger that only grows. Decision 0068."""
