"""
The rights that the calls of an API need.

Each driver has one table, ``rights.py`` in its folder. Messages about refused calls come from it, and
``tests/drivers/test_rights.py`` compares it with the calls of a whole run and with the lists in ``docs/clouds``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ALWAYS = "every node"
#: what changes the tags of an existing instance
IMPORTS = "imports, `hart.set_tags`, `hart.extend`, `hart.protect`, `hart.unprotect` and the setting `protect`"
#: what turns the provider's own deletion protection on and off
PROTECTION = "`hart.protect`, `hart.unprotect` and the setting `protect`"
LISTS = "`hart.list_sizes` and `hart.list_images`"
PRICES = "prices in plans and in `hart.list_sizes`"
ADDRESSES = "`hart.add_ip` and `hart.remove_ip`"
CHECKS = "the quota in `hart.check` and in plans"
#: what makes, copies and deletes images of nodes
BAKES = "making and deleting baked images"
POWER = "`hart.start`, `hart.stop`, `hart.reboot` and `hart.resize`"


@dataclass(frozen=True)
class Use:
    """What some calls are for, and the rights that each of them needs for it."""

    #: as the documentation names it, such as ``every node``, or a setting
    purpose: str
    #: by call; ``{}`` stands for one segment of a path
    calls: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Rights:
    """The rights of one API."""

    #: the vendor's word for a right
    word: str
    #: the basic use first; a call can be in several uses, if it needs more rights for some settings
    uses: Sequence[Use]
    #: rights that the vendor demands beside another right, although no call of hart needs them
    beside: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: finds the right that the vendor's own message names, as its first group
    named: str = ""

    def by_purpose(self) -> dict[str, list[str]]:
        """Return the rights of each use in order, each right only for the first use that needs it."""
        seen: set[str] = set()
        found: dict[str, list[str]] = {}
        for use in self.uses:
            own = {right for needed in use.calls.values() for right in needed}
            own |= {more for right in own for more in self.beside.get(right, ())}
            if own - seen:
                found[use.purpose] = sorted(own - seen)
            seen |= own
        return found

    def call_of(self, asked: str) -> str | None:
        """Return the call in the table that a request is, or None. A literal path precedes one with ``{}``."""
        known = [call for call, pattern in _patterns(tuple(self._calls())) if pattern.fullmatch(asked)]
        return min(known, key=lambda call: call.count("{}"), default=None)

    def _calls(self) -> dict[str, None]:
        return dict.fromkeys(call for use in self.uses for call in use.calls)

    def reads(self, purposes: Sequence[str]) -> dict[str, list[str]]:
        """Return the GET calls of these uses that name no resource, with their rights; they can be made as a test."""
        calls = [call for use in self.uses if use.purpose in purposes for call in use.calls]
        return {call: self.needed(call, purposes) for call in calls if call.startswith("GET ") and "{}" not in call}

    def needed(self, asked: str, purposes: Sequence[str] | None = None) -> list[str]:
        """
        Return the rights that a request needs.

        purposes
            the uses that the request is for (default: the first use that has the call)
        """
        call = self.call_of(asked)
        uses = [use for use in self.uses if call in use.calls]
        chosen = uses[:1] if purposes is None else [use for use in uses if use.purpose in purposes]
        return list(dict.fromkeys(right for use in chosen for right in use.calls[str(call)]))

    def sentence(self, asked: str) -> str:
        """Return which rights a request needs, such as ``POST /droplets needs the scope droplet:create``; or empty."""
        call = self.call_of(asked) or ""
        basic, *others = [(use.purpose, use.calls[call]) for use in self.uses if call in use.calls] or [("", ())]
        if not basic[1]:
            return ""
        more = [f"for {purpose} {_listed(rights)}" for purpose, rights in others if set(rights) - set(basic[1])]
        also = f", and {', '.join(more)}" if more else ""
        return f"{self._needs(asked, basic[1])}{also}"

    def _needs(self, asked: str, rights: Sequence[str]) -> str:
        return f"{asked} needs the {self.word}{'s' if len(rights) > 1 else ''} {_listed(rights)}"

    def hint(self, asked: str, message: str = "") -> str:
        """
        Return ``sentence`` as the end of a vendor's message.

        message
            the vendor's message; if it names the right, only this right is named (default: it names none)
        """
        named = list(dict.fromkeys(re.findall(self.named, message))) if self.named else []
        said = self._needs(asked, named) if named else self.sentence(asked)
        return f"; {said}" if said else ""


@functools.lru_cache(maxsize=16)
def _patterns(calls: tuple[str, ...]) -> list[tuple[str, re.Pattern[str]]]:
    return [(call, re.compile(re.escape(call).replace(r"\{\}", "[^/]+"))) for call in calls]


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
