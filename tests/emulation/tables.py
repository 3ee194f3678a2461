"""Tables of what a vendor has and says: data that no code is needed for stands in a YAML file beside the module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def tables_of(module: str) -> Any:
    """What the file of the same name holds: ``catalog.yaml`` beside ``catalog.py``. ``module`` is its ``__file__``."""
    return yaml.safe_load(Path(module).with_suffix(".yaml").read_text(encoding="utf-8"))
