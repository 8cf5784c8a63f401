"""Programs that files bring, as modules of torch: one table of operations a dialect."""
