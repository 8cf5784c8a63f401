"""One file a command: options in, a report out."""
