"""Checks of values against settings models; the messages never show a value."""

from __future__ import annotations

import types
from collections.abc import Mapping
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

    ``section`` is the model that has the setting ``name``; ``value`` is what the user wrote. Returns the value as the
    model holds it, and None; or None and what is wrong with it.
    """
    try:
        return _adapter(section, name).validate_python(value), None
    except ValidationError as error:
        return None, explain(section, name, error.errors(include_input=False, include_url=False))


def check_section(section: type[Section], values: Mapping[str, Any]) -> tuple[Any, list[tuple[str, str]]]:
    """
    Check settings as a whole: what is missing, and what cannot be combined.

    ``values`` holds all values of the section. Returns the model's instance, or None; and pairs of a setting (``""``
    for the section) and what is wrong with it.
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
    Return pydantic's errors about one setting as one phrase.

    Only texts of hart's own checks are repeated, because any other text could contain the value. ``name`` is the
    setting, or ``""`` for the section as a whole.
    """
    for detail in details:
        if detail["type"] == OUR_ERROR:
            return detail["msg"]
    if any(detail["type"] == "missing" for detail in details):
        return "is missing"
    if name not in section.model_fields:
        return "unknown setting" if name else "these settings cannot be combined"
    field = section.model_fields[name]
    return f"must be {_expected(field.annotation, tuple(field.metadata))}"


def takes_mapping(section: type[Section], name: str) -> bool:
    """Return whether the value of the section's setting ``name`` can be a mapping."""
    return _mentions(section.model_fields[name].annotation, Mapping)


def is_secret(section: type[Section], name: str) -> bool:
    """Return whether the value of the section's setting ``name`` is a secret."""
    return _mentions(section.model_fields[name].annotation, SecretStr)


def has_secrets(section: type[Section]) -> bool:
    """Return whether a section has a setting whose value is a secret."""
    return any(is_secret(section, name) for name in section.model_fields)


def written_name(key: Any) -> str:
    """Return a name that is no text as YAML writes it, for a path."""
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, int) and not -(2**64) < key < 2**64:
        return "(a long number)"
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key)


def name_problem(key: Any) -> str:
    """Return what is wrong with a name that YAML made something other than text of."""
    if isinstance(key, bool):
        words = "yes, on and true" if key else "no, off and false"
        return f"YAML reads this name as {written_name(key)}, as it reads {words}: put it in quotes"
    if key is None:
        return "YAML reads this name as nothing, as it reads ~ and null: put it in quotes"
    if isinstance(key, int | float):
        return f"YAML reads this name as the number {written_name(key)}: put it in quotes"
    return "YAML does not read this name as text: put it in quotes"


@cache
def _adapter(section: type[Section], name: str) -> TypeAdapter[Any]:
    field = section.model_fields[name]
    kind: Any = field.annotation
    if not field.metadata:
        return TypeAdapter(kind)
    parts = (kind, *field.metadata)
    annotated: Any = Annotated  # type checkers cannot follow what is known only at run time
    return TypeAdapter(annotated[parts])


def _mentions(kind: Any, wanted: type) -> bool:
    """Return whether a type, or a member of a union, is a subclass of ``wanted``."""
    generic = get_origin(kind)
    if generic in (Annotated, Union, types.UnionType):
        return any(_mentions(part, wanted) for part in get_args(kind))
    base = generic or kind
    return isinstance(base, type) and issubclass(base, wanted)


def _expected(kind: Any, metadata: tuple[Any, ...]) -> str:
    """Return what a type accepts, such as ``a whole number of at least 1``."""
    generic, parts = get_origin(kind), get_args(kind)
    if generic is Annotated:
        return _expected(parts[0], parts[1:] + metadata)
    if generic in (Union, types.UnionType):
        return " or ".join(_expected(part, metadata) for part in parts if part is not type(None))
    if generic is Literal:
        return "one of " + ", ".join(str(part) for part in parts)
    return _KINDS.get(generic or kind, "a valid value") + _limits(metadata)


def _limits(metadata: tuple[Any, ...]) -> str:
    words = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}
    # within a union, limits are wrapped in the Field that defines them
    flat = [limit for item in metadata for limit in getattr(item, "metadata", [item])]
    found = [
        f"{word} {getattr(item, name)}"
        for item in flat
        for name, word in words.items()
        if getattr(item, name, None) is not None
    ]
    return " " + " and ".join(found) if found else ""
