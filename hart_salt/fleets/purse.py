"""What a plan may still spend: nodes, money, and changes within the hour. It counts while a plan is made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from hart_salt.fleets.scene import Member, Room, Scene
from hart_salt.model import Price

HOUR = 3600.0


class Purse:
    """The limits of one fleet, and what of them is left."""

    def __init__(self, scene: Scene, alive: Iterable[Member], now: float) -> None:
        """Keep the limits of the scene; ``alive`` are the nodes that exist, ``now`` seconds since the epoch."""
        settings = scene.spec.settings
        self._limits = settings.limits
        self._room = scene.room
        self._most = settings.max
        self._nodes = 0
        self._new = 0
        self._reserved = 0
        self._spent: dict[str, float] = defaultdict(float)
        for member in alive:
            self._nodes += 1
            self._add(member.price)
        recent = sorted(at for at in scene.changes if now - HOUR < at <= now)
        limit = settings.limits.changes_per_hour
        self._changes = None if limit is None else limit - len(recent)
        #: when the next change is possible once the limit of changes is reached
        self.next_change = (recent[-limit] if limit and len(recent) >= limit else min([*recent, now])) + HOUR

    def refusal(self, new: Price | None, old: Price | None = None, *, replaces: bool = False) -> str:
        """
        Return why one more node cannot be created, in words; empty if it can.

        ``new`` is its price. With ``replaces``, the node with the price ``old`` is removed before: then a fleet that
        is above a limit already can still replace nodes, as long as it gets no further above.
        """
        gone = 1 if replaces else 0
        if self._most is not None and self._nodes - gone + 1 > self._most:
            return f"max is {self._most}"
        if self._room is not None and self._new + self._reserved - gone + 1 > max(0, self._room.nodes):
            return self._room.why
        return self._too_dear(new, old if replaces else None)

    def refusal_beside(self, room: Room | None) -> str:
        """
        Return why a node that is none of the fleet's cannot be created beside its new ones, in words; empty if it can.

        ``room`` is what the limits allow that such a node comes under.
        """
        return room.why if room is not None and self._new + 1 > max(0, room.nodes) else ""

    def _too_dear(self, new: Price | None, old: Price | None) -> str:
        if self._limits.monthly_price is None:
            return ""
        if new is None:
            return "limits:monthly_price is set, and the price of a new node is not known"
        limit = self._limits.amount(new.currency)
        saved = old.amount if old is not None and old.currency == new.currency else 0.0
        total = round(self._spent[new.currency] - saved + new.amount, 2)
        if limit is None or total <= limit or new.amount <= saved:
            return ""
        return f"limits:monthly_price is {limit:g} {new.currency}, and the fleet would cost {total:g}"

    def create(self, price: Price | None) -> None:
        """Count a new node."""
        self._nodes += 1
        self._new += 1
        self._add(price)

    def reserve(self, price: Price | None) -> None:
        """Count a node that comes after others have gone that are none of the fleet's."""
        self._nodes += 1
        self._reserved += 1
        self._add(price)

    def exchange(self, old: Price | None, new: Price | None) -> None:
        """Count a node in place of another one. What that saves does not count yet: the old node may have to stay."""
        if new is not None:
            saved = old.amount if old is not None and old.currency == new.currency else 0.0
            self._spent[new.currency] += max(0.0, new.amount - saved)

    def change(self) -> bool:
        """Count a change, and return whether the limit of changes allows it."""
        if self._changes is None:
            return True
        self._changes -= 1
        return self._changes >= 0

    def _add(self, price: Price | None) -> None:
        if price is not None:
            self._spent[price.currency] += price.amount
