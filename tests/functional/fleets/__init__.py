"""The use cases of declared fleets, with real records, locks and configuration."""
