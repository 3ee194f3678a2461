"""Tables of a vendor's offer and answers: data without code, in a YAML file beside the module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def tables_of(module: str) -> Any:
    """Return the data for a module: ``catalog.yaml`` beside ``catalog.py``. ``module`` is its ``__file__``."""
    return yaml.safe_load(Path(module).with_suffix(".yaml").read_text(encoding="utf-8"))
