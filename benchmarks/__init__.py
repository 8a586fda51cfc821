"""Each module prints a table that a reader can reproduce, or makes pictures; none is a test."""
