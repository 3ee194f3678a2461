"""
Requests and answers checked against botocore's models of EC2.

The SDK checks its input but not what it sends; other clients check nothing. Here the model reads every request back: an
unknown parameter, a value of the wrong type, a missing value and a value out of range are each an objection. Every
element of an answer must be in the model.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

import botocore.session
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator

#: parameters of every call
COMMON = ("Action", "Version", "DryRun")
#: in every answer
REQUEST_ID = "requestId"


@functools.cache
def _model() -> Any:
    return botocore.session.Session().get_service_model("ec2")


def known(action: str) -> bool:
    """Return whether the model has this call."""
    return action in _model().operation_names


def parsed(action: str, form: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters as the client passed them."""
    from moto.core.parse import EC2QueryParser  # imports much of moto, which is slow

    operation = _model().operation_model(action)
    request: Any = {"values": form}  # the only part of a request that the parser reads
    values: Any = EC2QueryParser(operation).parse(request)
    return dict(values)


def request(action: str, form: Mapping[str, str]) -> list[str]:
    """Return what is wrong with a request, in one sentence each."""
    if not known(action):
        return [f"there is no call {action}"]
    operation = _model().operation_model(action)
    try:
        values = parsed(action, form)
    except ValueError as error:
        return [f"{action}: {error}"]
    found = ParamValidator().validate(values, operation.input_shape)
    again = create_serializer("ec2", include_validation=False).serialize_to_request(values, operation)["body"]
    unknown = [name for name in form if name not in again and name not in COMMON]
    report = [found.generate_report()] if found.has_errors() else []
    return [*report, *(f"{action}: {name} is not a parameter" for name in unknown)]


def answer(action: str, body: bytes) -> list[str]:
    """Return what is wrong with a successful answer, in one sentence each."""
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - our own emulator's
    except ElementTree.ParseError as error:
        return [f"{action}: not XML: {error}"]
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    if root.tag != f"{action}Response":
        return [f"{action}: the answer is a {root.tag}"]
    shape = _model().operation_model(action).output_shape
    return [f"{action}: {text}" for text in _structure(root, shape, "")]


def _structure(element: ElementTree.Element, shape: Any, path: str) -> Iterator[str]:
    members = {} if shape is None else {
        member.serialization.get("name", name): member for name, member in shape.members.items()
    }  # fmt: skip
    for child in element:
        if child.tag in members:
            yield from _value(child, members[child.tag], f"{path}/{child.tag}")
        elif not (path == "" and child.tag in (REQUEST_ID, "return")):
            yield f"{path}/{child.tag} is not a part of the answer"


def _value(element: ElementTree.Element, shape: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure":
        yield from _structure(element, shape, path)
    elif shape.type_name == "list":
        for item in element:
            if item.tag == "item":
                yield from _value(item, shape.member, f"{path}/item")
            else:
                yield f"{path}/{item.tag} is not an item of a list"
    elif shape.type_name in ("integer", "long") and not (element.text or "").lstrip("-").isdigit():
        yield f"{path} is {element.text}, not a whole number"
    elif shape.type_name == "boolean" and element.text not in ("true", "false"):
        yield f"{path} is {element.text}, not true or false"
