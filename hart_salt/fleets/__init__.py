"""Declared fleets: what differs from the declaration, and how the master keeps it true."""
