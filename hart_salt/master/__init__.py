"""Everything that is asked of Salt; the only package that imports ``salt``."""
