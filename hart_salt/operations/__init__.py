"""The operations on many nodes at once."""
