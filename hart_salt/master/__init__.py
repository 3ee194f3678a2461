"""Every request to Salt; the only package that imports ``salt``."""
