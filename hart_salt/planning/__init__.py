"""From configuration to the nodes that are wanted, and what can be known to be wrong with them."""
