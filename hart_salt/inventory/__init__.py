"""What there is: records, locks, and what cloud, key store and minions say at one moment."""
