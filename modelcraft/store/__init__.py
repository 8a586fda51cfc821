"""Models in folders and on the Hub."""
