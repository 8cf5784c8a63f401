"""Callbacks for trainers of other libraries, each in a file that imports its library."""
