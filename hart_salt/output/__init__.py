"""What Salt loads as outputters."""
