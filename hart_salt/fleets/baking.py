"""
When a fleet with ``bake_after`` needs a new baked image of its role. Pure.

All fleets of one role at one provider share their images. An image is made in the first of their regions, from the
configuration of that region, and copied to the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hart_salt.config import durations
from hart_salt.fleets.actions import clock
from hart_salt.fleets.scene import Bake, Room
from hart_salt.model import BakedImage
from hart_salt.planning.baked import REQUIRED
from hart_salt.planning.digest import differences, words_of_image

#: seconds until a bake that failed is tried again; they double with each further failure, up to ``LONGEST``
FIRST, LONGEST = 3600.0, 86400.0
LATEST = 1e11  #: a time after this, some 3000 years from now, is nonsense
MOST_TRIES = 1_000_000


@dataclass(frozen=True)
class Attempt:
    """The last bake of a role that fleets began, if it failed."""

    #: when it ended, in seconds since the epoch
    at: float
    #: how many failed in a row
    tries: int
    #: what the image was to be made from, as ``planning/digest.py`` writes it
    digest: str
    #: why it failed, in words
    error: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as data that JSON can hold."""
        return {"at": self.at, "tries": self.tries, "digest": self.digest, "error": self.error}

    @property
    def again(self) -> float:
        """When the next attempt is possible, in seconds since the epoch."""
        return self.at + min(LONGEST, FIRST * 2.0 ** min(max(0, self.tries - 1), 10))


@dataclass(frozen=True)
class Images:
    """What is known of the images of one fleet's role."""

    #: where an image is made
    region: str
    #: by region of the fleet, the newest image that its nodes can boot, or why there is none
    newest: Mapping[str, BakedImage | str]
    #: what an image would be made from now
    digest: str
    #: the regions of the fleet in which its nodes boot no other image than a baked one
    required: frozenset[str] = frozenset()
    #: the last bake, if it failed
    last: Attempt | None = None
    #: whether another call bakes the role at this moment
    running: bool = False
    #: what the limits allow for the node of a bake; None: no limit
    room: Room | None = None


def bake_of(images: Images, role: str, after: float, now: float) -> Bake:
    """Return whether a new image of a role is due; ``after`` is the age in seconds at which an image is too old."""
    due = next(filter(None, (_due(it, images.digest, after, now) for it in images.newest.values())), "")
    bake = Bake(due, images.region, images.room, images.running, missing=_missing(images))
    last = images.last
    # A clock that was set back must not delay an attempt for longer.
    if not due or last is None or last.digest != images.digest or not last.at <= now < last.again:
        return bake
    why = (
        f"the last bake failed ({last.error}): the next attempt is possible at {clock(last.again)}; salt-run hart.bake "
        f"{role} bakes at once"
    )
    return replace(bake, waits=why, since=last.again)


def next_attempt(last: Attempt | None, digest: str, error: str, now: float) -> Attempt:
    """Return what to remember of a bake that failed: failures in a row with one configuration are counted."""
    alike = last is not None and last.digest == digest and last.at <= now <= last.again + LONGEST
    return Attempt(now, last.tries + 1 if alike and last else 1, digest, error)


def attempt_of(data: Mapping[str, Any]) -> Attempt | None:
    """Return the attempt that ``Attempt.as_dict`` wrote; None for anything else."""
    at, tries, digest, error = (data.get(name) for name in ("at", "tries", "digest", "error"))
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at < LATEST:
        return None
    if isinstance(tries, bool) or not isinstance(tries, int) or not 0 < tries <= MOST_TRIES:
        return None
    return Attempt(at, tries, digest, error) if isinstance(digest, str) and isinstance(error, str) else None


def _missing(images: Images) -> dict[str, str]:
    """Return why no node can be created in a region, by region."""
    without = {region: why for region, why in images.newest.items() if isinstance(why, str)}
    return {it: f"image is {REQUIRED}, and {why}" for it, why in without.items() if it in images.required}


def _due(newest: BakedImage | str, digest: str, after: float, now: float) -> str:
    """Return why an image has to be made, in words; empty if ``newest`` will do."""
    if isinstance(newest, str):
        return newest
    if newest.created is not None and now - newest.created >= after:
        age = durations.words(now - newest.created)
        return f"the newest image, {newest.name}, is {age} old, and bake_after is {durations.words(after)}"
    if found := [part for part in differences(newest.digest, digest) if part != "size"]:
        return f"the newest image, {newest.name}, differs from the configuration: {words_of_image(found)}"
    return ""
