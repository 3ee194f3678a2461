"""From configuration to the wanted nodes, and everything that is known to be wrong with them in advance."""
