"""What the checks of settings have in common: the error that they raise, and numbers that are written as text."""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import PydanticCustomError

#: the type of errors whose text is hart's own and contains no values; see ``problem``
OUR_ERROR = "hart"


def problem(text: str) -> PydanticCustomError:
    """
    Return the error that a check of a setting raises.

    ``text`` is the end of a sentence that starts with the setting's path. It must not contain the value.
    """
    return PydanticCustomError(OUR_ERROR, "{text}", {"text": text})


def as_number(value: Any) -> Any:
    """Return the number that a text consists of; anything else as it is."""
    if not isinstance(value, str) or not re.fullmatch(r"\s*[+-]?[0-9]{1,18}(\.[0-9]{1,18})?\s*", value):
        return value
    return float(value) if "." in value else int(value)
