"""What is done with many nodes at once."""
