"""
Limits of how many nodes there can be and what they can cost: for hart as a whole, for a provider, and for a role.

They are no settings of a node. They do not override each other, and no argument sets them: a new node must be within
each limit that it comes under.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, PlainValidator

from hart_salt.config.settings import Section, Whole, as_number, problem

_CURRENCY = re.compile(r"[A-Z]{3}")


def as_amount(value: Any) -> float:
    """Return an amount of money, 0 or more, also from a text with its digits."""
    value = as_number(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    raise problem("must be a number of at least 0")


def as_budget(value: Any) -> float | dict[str, float]:
    """Return an amount, which holds for each currency by itself, or the amount of each currency."""
    if not isinstance(value, Mapping):
        return as_amount(value)
    if not value or not all(isinstance(name, str) and _CURRENCY.fullmatch(name) for name in value):
        raise problem("must be a number, or a mapping of currencies to numbers, such as {USD: 200, EUR: 150}")
    return {name: as_amount(amount) for name, amount in value.items()}


class Limits(Section):
    """The limits of one place in the configuration."""

    max_nodes: Annotated[Whole, Field(ge=0)] | None = Field(
        None,
        description="How many nodes there can be: `hart.create`, `hart.create_role`, `hart.create_master`, "
        "`hart.scale` and `hart.replace` refuse to go above it, also for a moment. With 0, no node can be created.",
    )
    max_monthly_price: Annotated[float | dict[str, float], PlainValidator(as_budget)] | None = Field(
        None,
        description="What the nodes can cost in a month by the list prices of their sizes, before tax: a number, which "
        "is for each currency by itself, or a mapping of currencies to numbers. A size without a known price is "
        "refused.",
    )

    def amount(self, currency: str) -> float | None:
        """Return the limit in a currency; None if there is none for it."""
        limit = self.max_monthly_price
        return limit.get(currency) if isinstance(limit, dict) else limit


FIELDS = frozenset(Limits.model_fields)
