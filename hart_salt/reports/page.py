"""
Render a page from its template.

Every text that a page shows passes the gate and is then escaped, wherever it comes from: ``finalize`` does the one and
``autoescape`` the other, so that no template can forget it.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import jinja2
from markupsafe import Markup

from hart_salt import __version__
from hart_salt.base.gate import Gate
from hart_salt.reports import charts


def render(template: str, gate: Gate, now: float, **data: Any) -> str:
    """
    Return the page.

    ``template`` is the name of a template. ``now`` is the time that the page shows, in seconds since the epoch.

    Raises ``jinja2.TemplateError`` if a template is wrong.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hart_salt.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_through(gate),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(seconds=charts.seconds, date=date)
    return environment.get_template(template).render(version=__version__, now=now, **data)


def _through(gate: Gate) -> Any:
    @jinja2.pass_context
    def shown(context: jinja2.runtime.Context, value: Any) -> Any:
        # What a macro of the templates returns has been through the gate.
        return gate.text(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    return shown


def date(moment: float) -> str:
    """Return a time in seconds since the epoch as a date and a time of UTC."""
    try:
        return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return "unknown"
