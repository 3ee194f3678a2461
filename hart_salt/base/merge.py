"""The merging of configuration layers: mappings merge, everything else replaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge(lower: Mapping[Any, Any], upper: Mapping[Any, Any]) -> dict[Any, Any]:
    """
    Return one nested mapping merged over another; neither is changed.

    ``upper`` wins over ``lower``: at every depth a mapping merges with a mapping, and anything else replaces.
    """
    result = {key: plain(value) for key, value in lower.items()}
    for key, value in upper.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, Mapping):
            result[key] = merge(below, value)
        else:
            result[key] = plain(value)
    return result


def plain(data: Any) -> Any:
    """Return a copy of nested data with ``dict`` and ``list`` instead of whatever mappings and sequences Salt uses."""
    if isinstance(data, Mapping):
        return {key: plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(item) for item in data]
    return data
