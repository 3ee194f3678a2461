"""The foundation of all other packages: errors, faults, names, concurrency, and redaction."""
