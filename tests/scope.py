"""Whether a run tests every combination (``./test --all``); set before the tests are collected."""

from __future__ import annotations

whole = False
