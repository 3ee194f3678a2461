"""
Checks of requests and answers against a vendor's own description of its API.

The descriptions are not part of the checkout. Without them, ``find`` returns None and nothing is checked.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema

from tests.emulation.http import Answer, Request
from tests.emulation.routing import Route

#: beside the checkout
DIRECTORY = Path(__file__).resolve().parents[2].parent / "shared" / "specs"
KEYWORDS_OF_MAPS = ("properties", "patternProperties")
_VALIDATORS: dict[int, tuple[Mapping[str, Any], jsonschema.Draft202012Validator]] = {}


@functools.cache
def find(name: str) -> Description | None:
    """Return the description in that file, or None if it is absent."""
    paths = paths_of(name)
    return None if paths is None else Description(paths)


def paths_of(name: str) -> dict[str, Any] | None:
    """Return the paths of the description in that file, or None if it is absent."""
    path = DIRECTORY / name
    paths: dict[str, Any] | None = json.loads(path.read_text())["paths"] if path.is_file() else None
    return paths


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    template: str
    pattern: re.Pattern[str]
    data: Mapping[str, Any] = field(repr=False)


class Description:
    """The JSON bodies and parameters of an OpenAPI 3.0 description without references."""

    def __init__(self, paths: Mapping[str, Mapping[str, Any]]) -> None:
        self.operations = [
            Operation(method.upper(), template, _pattern(template), data)
            for template, methods in paths.items()
            for method, data in methods.items()
        ]

    def operation(self, method: str, path: str) -> Operation | None:
        """Return the operation of a call, or None if the description does not have it."""
        for operation in self.operations:
            if operation.method == method and operation.pattern.fullmatch(path):
                return operation
        return None

    def request(self, method: str, path: str, query: Mapping[str, list[str]], body: Any) -> list[str]:
        """Return a sentence for each problem of a request; none for a call without a description."""
        operation = self.operation(method, path)
        if operation is None:
            return []
        return [*_parameters(operation, query), *_body(operation, body)]

    def unknown_fields(self, method: str, path: str, body: Any) -> list[str]:
        """
        Return the top-level fields of a request that the description does not know.

        Vendors ignore unknown fields, so they never report a misspelt one.
        """
        operation = self.operation(method, path)
        schema = _request_schema(operation) if operation else None
        if schema is None or not isinstance(body, dict):
            return []
        known = _property_names(schema)
        return [f"{name}: not a field of {method} {path}" for name in body if name not in known]

    def answer(self, method: str, path: str, status: int, headers: Mapping[str, str], body: Any) -> list[str]:
        """Return the problems of an answer."""
        operation = self.operation(method, path)
        if operation is None:
            return []
        responses = operation.data["responses"]
        response = responses.get(str(status))
        if response is None:
            # A success without a description is wrong; errors have a common form.
            if status < 400:
                return [f"status {status} is not an answer of {method} {operation.template}"]
            response = responses.get("default")
        if response is None:
            return []
        schema = _json_schema(response)
        problems = [*_headers(response, headers)]
        if schema is None:
            return problems + (["a body where none is described"] if body is not None else [])
        return problems + _problems(schema, body, "answer")


def _pattern(template: str) -> re.Pattern[str]:
    pieces = re.split(r"\{[^}]*\}", template)
    return re.compile("[^/]+".join(re.escape(piece) for piece in pieces))


def _json_schema(holder: Mapping[str, Any]) -> Mapping[str, Any] | None:
    content = holder.get("content", {}).get("application/json", {})
    schema: Mapping[str, Any] | None = content.get("schema")
    return schema


def _request_schema(operation: Operation) -> Mapping[str, Any] | None:
    return _json_schema(operation.data.get("requestBody", {}))


def _body(operation: Operation, body: Any) -> list[str]:
    schema = _request_schema(operation)
    if schema is None:
        return []
    if body is None:
        return ["body: missing"]
    return _problems(schema, body, "body")


def _parameters(operation: Operation, query: Mapping[str, list[str]]) -> list[str]:
    """Return the problems of the query. The path needs no check: a wrong id has its own answer."""
    problems: list[str] = []
    for parameter in operation.data.get("parameters", []):
        if parameter["in"] != "query":
            continue
        name, schema = parameter["name"], parameter["schema"]
        values = query.get(name, [])
        if parameter.get("required") and not values:
            problems.append(f"{name}: missing")
        for value in values:
            problems += _problems(schema, _typed(value, schema), name)
    return problems


def _typed(value: str, schema: Mapping[str, Any]) -> Any:
    """Convert the text of a parameter to the type of its schema."""
    if schema.get("type") == "integer" and re.fullmatch(r"-?\d+", value):
        return int(value)
    if schema.get("type") == "boolean" and value in ("true", "false"):
        return value == "true"
    return value


def _headers(response: Mapping[str, Any], headers: Mapping[str, str]) -> list[str]:
    given = {name.lower(): value for name, value in headers.items()}
    problems: list[str] = []
    for name, header in response.get("headers", {}).items():
        value = given.get(name.lower())
        if value is not None:
            problems += _problems(header["schema"], _typed(value, header["schema"]), name)
        elif name.startswith("ratelimit-"):
            problems.append(f"header {name}: missing")
    return problems


def _problems(schema: Mapping[str, Any], value: Any, where: str) -> list[str]:
    found = (leaf for error in _validator(schema).iter_errors(value) for leaf in _leaves(error))
    return [f"{where}{_place(error)}: {error.message[:300]}" for error in found]


def _leaves(error: jsonschema.ValidationError) -> list[jsonschema.ValidationError]:
    """Return the errors of the intended alternative: it matches at its top level, and has the fewest errors below."""
    if not error.context:
        return [error]
    branches: dict[Any, list[jsonschema.ValidationError]] = {}
    for inner in error.context:
        branches.setdefault(inner.schema_path[0], []).append(inner)
    meant = min(branches.values(), key=lambda errors: (sum(not inner.path for inner in errors), len(errors)))
    return [leaf for inner in meant for leaf in _leaves(inner)]


def _validator(schema: Mapping[str, Any]) -> jsonschema.Draft202012Validator:
    """Return the validator of a schema, made once. It keeps the schema, so the schema's id stays unique."""
    if id(schema) not in _VALIDATORS:
        validator = jsonschema.Draft202012Validator(
            translate(schema), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        _VALIDATORS[id(schema)] = (schema, validator)
    return _VALIDATORS[id(schema)][1]


def _place(error: jsonschema.ValidationError) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)


def translate(schema: Any, *, map_of_schemas: bool = False) -> Any:
    """
    Convert a schema from OpenAPI 3.0 to JSON Schema: ``nullable``, and ``off`` that a YAML parser made False.

    With ``map_of_schemas``, ``nullable`` and ``enum`` are names of properties.
    """
    if isinstance(schema, list):
        return [translate(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    if map_of_schemas:
        return {name: translate(entry) for name, entry in schema.items()}
    result = {
        name: entry
        if name in ("enum", "default", "required", "example")
        else translate(entry, map_of_schemas=name in KEYWORDS_OF_MAPS)
        for name, entry in schema.items()
        if name != "nullable"
    }
    if result.get("type") == "string" and "enum" in result:
        # YAML 1.1 parses a bare ``off`` as False.
        result["enum"] = ["off" if entry is False else entry for entry in result["enum"]]
    return _nullable(result) if schema.get("nullable") else result


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _property_names(schema: Any) -> set[str]:
    if not isinstance(schema, dict):
        return set()
    names = set(schema.get("properties", {}))
    for keyword in ("allOf", "anyOf", "oneOf"):
        for entry in schema.get(keyword, []):
            names |= _property_names(entry)
    return names


def without_route(description: Description, routes: Iterable[Route]) -> list[str]:
    """Return the calls of a description that have no route."""
    known = list(routes)
    missing = []
    for operation in description.operations:
        path = operation.template.replace("{", "").replace("}", "")
        if not any(it.method == operation.method and it.pattern.fullmatch(path) for it in known):
            missing.append(f"{operation.method} {operation.template}")
    return missing


def against(
    description: Description | None, request: Request, change: Callable[[dict[str, Any]], Any] | None = None
) -> list[str]:
    """Return the problems of a request; ``change`` removes allowed exceptions from its body."""
    if description is None:
        return []
    try:
        body = request.json()
    except ValueError:
        return ["body: not JSON"]
    if change and isinstance(body, dict):
        body = change(body)
    return description.request(request.method, request.path, request.query, body)


def against_answer(description: Description, request: Request, answer: Answer) -> list[str]:
    """Return the problems of an answer."""
    said = description.answer(request.method, request.path, answer.status, answer.headers, answer.body)
    return [f"answer {answer.status}: {text}" for text in said]
