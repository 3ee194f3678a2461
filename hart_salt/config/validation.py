"""Checks values against settings models, and says in plain words what is wrong, never showing a value."""

from __future__ import annotations

import types
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from hart_salt.config.settings import OUR_ERROR, Section

_KINDS = {
    str: "text",
    SecretStr: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}


def check_field(section: type[Section], name: str, value: Any) -> tuple[Any, str | None]:
    """
    Check the value of one setting on its own.

    :param section: the model that has the setting
    :param name: the setting
    :param value: what somebody wrote
    :return: the value as the model would hold it, and None; or None and what is wrong with it
    """
    try:
        return _adapter(section, name).validate_python(value), None
    except ValidationError as error:
        return None, explain(section, name, error.errors(include_input=False, include_url=False))


def check_section(section: type[Section], values: Mapping[str, Any]) -> tuple[Any, list[tuple[str, str]]]:
    """
    Check settings as a whole: what is missing, and what does not go together.

    :param section: the model
    :param values: all values of the section
    :return: the model's instance, or None; and pairs of a setting (``""``: the section) and what is wrong
    """
    try:
        return section.model_validate(dict(values)), []
    except ValidationError as error:
        found: dict[str, list[ErrorDetails]] = {}
        for detail in error.errors(include_input=False, include_url=False):
            found.setdefault(str(detail["loc"][0]) if detail["loc"] else "", []).append(detail)
    return None, [(name, explain(section, name, details)) for name, details in found.items()]


def explain(section: type[Section], name: str, details: list[ErrorDetails]) -> str:
    """
    Put pydantic's errors about one setting into one phrase.

    Only texts that our own checks made are repeated; a text from elsewhere could hold the value.

    :param section: the model
    :param name: the setting; ``""`` for the section as a whole
    :param details: what pydantic says about it
    """
    for detail in details:
        if detail["type"] == OUR_ERROR:
            return detail["msg"]
    if any(detail["type"] == "missing" for detail in details):
        return "is missing"
    if name not in section.model_fields:
        return "unknown setting" if name else "these settings do not go together"
    field = section.model_fields[name]
    return f"must be {_expected(field.annotation, tuple(field.metadata))}"


def suggestion(word: str, known: Any) -> str:
    """
    End a sentence about an unknown word.

    :param word: what somebody wrote
    :param known: the words that there are
    :return: such as ``, did you mean size?``, or nothing when no known word is near
    """
    close = get_close_matches(word, [str(name) for name in known], n=1)
    return f", did you mean {close[0]}?" if close else ""


def takes_mapping(section: type[Section], name: str) -> bool:
    """
    Say whether a setting's value may be a mapping.

    :param section: the model
    :param name: one of its settings
    """
    return _mentions(section.model_fields[name].annotation, Mapping)


def is_secret(section: type[Section], name: str) -> bool:
    """
    Say whether a setting's value is a secret.

    :param section: the model
    :param name: one of its settings
    """
    return _mentions(section.model_fields[name].annotation, SecretStr)


@cache
def _adapter(section: type[Section], name: str) -> TypeAdapter[Any]:
    field = section.model_fields[name]
    kind: Any = field.annotation
    if not field.metadata:
        return TypeAdapter(kind)
    parts = (kind, *field.metadata)
    annotated: Any = Annotated  # no type checker follows what is only known at run time
    return TypeAdapter(annotated[parts])


def _mentions(kind: Any, wanted: type) -> bool:
    """Say whether a type, or one of a union, is a kind of ``wanted``."""
    origin = get_origin(kind)
    if origin in (Annotated, Union, types.UnionType):
        return any(_mentions(part, wanted) for part in get_args(kind))
    base = origin or kind
    return isinstance(base, type) and issubclass(base, wanted)


def _expected(kind: Any, metadata: tuple[Any, ...]) -> str:
    """Say what a type takes, such as ``a whole number of at least 1``."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _expected(parts[0], parts[1:] + metadata)
    if origin in (Union, types.UnionType):
        return " or ".join(_expected(part, metadata) for part in parts if part is not type(None))
    if origin is Literal:
        return "one of " + ", ".join(str(part) for part in parts)
    return _KINDS.get(origin or kind, "a valid value") + _limits(metadata)


def _limits(metadata: tuple[Any, ...]) -> str:
    words = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}
    # within a union, limits come wrapped in the Field that they were given to
    flat = [limit for item in metadata for limit in getattr(item, "metadata", [item])]
    found = [
        f"{word} {getattr(item, name)}"
        for item in flat
        for name, word in words.items()
        if getattr(item, name, None) is not None
    ]
    return " " + " and ".join(found) if found else ""
