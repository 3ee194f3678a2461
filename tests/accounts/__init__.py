"""hart against real accounts, one smallest instance at each: ``./test -m integration``."""
