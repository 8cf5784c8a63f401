"""Lines of the assumption ledger: what was verified, declared, assumed or violated."""
