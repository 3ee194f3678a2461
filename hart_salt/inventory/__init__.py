"""What exists: records, locks, and the snapshot of cloud, records, key store and minions."""
