"""The configuration of Sphinx for these pages; ``tools/docs.sh`` builds them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_version = re.search(r'^__version__ = "(.+)"$', (ROOT / "hart_salt/__init__.py").read_text(encoding="utf-8"), re.M)

project = "hart-salt"
release = version = _version[1] if _version else ""
extensions = ["myst_parser", "sphinx_copybutton"]
exclude_patterns = ["_build"]
# A block without a language is output; only blocks that name one are highlighted.
highlight_language = "none"
# Headings down to this level get the anchors that Markdown viewers also generate, as in installation.md#versions.
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"hart-salt {release}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["hart.css"]
