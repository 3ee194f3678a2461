"""
Print what hart's runner returns as a table for people.

``salt-run`` uses it at a terminal by itself. ``--out=hart`` asks for it elsewhere, as in ``salt-run --out=hart
hart.list_minions | less -R``.

.. versionadded:: 2.0.0
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from typing import Any

__virtualname__ = "hart"

# What Salt's loader adds.
__opts__: dict[str, Any] = {}


def __virtual__() -> str | tuple[bool, str]:
    # Salt imports every outputter that it looks for; this finds the package without importing its dependencies.
    if importlib.util.find_spec("hart_salt") is None:
        return False, "the Python package hart-salt is not installed"
    return __virtualname__


def output(data: Any, **_: Any) -> str:
    """
    Return a document of hart's as a table and a text as it is; anything else as Salt's outputter ``nested`` prints it.

    The width is that of the terminal, or 80 columns. Colours follow Salt's ``--no-color``, and ``NO_COLOR``.
    """
    from hart_salt.screens.draw import draw

    document = _unwrapped(data)
    if isinstance(document, str):  # a script or a file, of hart.completion or hart.from_salt_cloud
        return document
    if not _has_shape(document):
        import salt.output

        # With ``output: hart`` in the master config, its own options would name this outputter again.
        return str(salt.output.out_format(document, "nested", {**__opts__, "output": "nested"}))
    return draw(document, _paper())


def _unwrapped(data: Any) -> Any:
    """Return the document, which the runner wraps at a terminal, also if it has the shape of hart-salt 1.0."""
    inner = data.get("hart") if isinstance(data, dict) else None
    return inner["document"] if isinstance(inner, dict) and set(inner) == {"result", "document"} else data


def _has_shape(data: Any) -> bool:
    return isinstance(data, dict) and {"version", "function", "problems", "notes"} <= data.keys()


def _paper() -> Any:
    from hart_salt.screens.paper import Paper

    colored = bool(__opts__.get("color")) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    return Paper(shutil.get_terminal_size().columns, colored, unicode=encoding.startswith("utf"))
