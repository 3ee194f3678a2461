"""How layers of configuration become one: mappings merge, everything else replaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge(lower: Mapping[Any, Any], upper: Mapping[Any, Any]) -> dict[Any, Any]:
    """
    Lay one nested mapping over another; neither is changed.

    :param lower: what counts where ``upper`` says nothing
    :param upper: what wins; a mapping merges with a mapping at every depth, anything else replaces
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
    """
    Copy nested data, with ``dict`` and ``list`` for whatever kinds of mappings and sequences Salt uses.

    :param data: nested mappings, lists and scalars
    """
    if isinstance(data, Mapping):
        return {key: plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(item) for item in data]
    return data
