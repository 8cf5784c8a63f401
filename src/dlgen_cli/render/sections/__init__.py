"""Parts of a page: one subject a file."""
