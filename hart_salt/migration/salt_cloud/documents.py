"""
One YAML file of salt-cloud, read as Salt reads it, but a fault in it is reported and the rest is kept.

As in Salt's own loader, dates are text and a leading zero of a number means nothing. Salt refuses a file with a
duplicate key and ignores all of it; here the last one counts, as in its sdb driver ``yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from hart_salt.base.errors import Refused

#: nodes of a file after its aliases are replaced; a real configuration has a few thousand
LIMIT = 100_000
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """A loader with Salt's rules for numbers and dates."""


def _integer(loader: _Loader, node: Any) -> Any:
    text = node.value
    if text.startswith("0") and not text.startswith(("0b", "0x")):
        node.value = text.lstrip("0") or "0"
    return yaml.SafeLoader.construct_yaml_int(loader, node)


def _text(loader: _Loader, node: Any) -> str:
    return str(loader.construct_scalar(node))


_Loader.add_constructor(f"{_TAG}int", _integer)
_Loader.add_constructor(f"{_TAG}timestamp", _text)


def read(path: Path) -> tuple[dict[str, Any], list[str]]:
    """
    Return the mapping in a file, with the text of its names, and notes on what is wrong with it.

    Raises ``Refused`` if the file cannot be used at all. No error quotes the file, because it may contain a secret.
    """
    notes: list[str] = []
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        if root is None:
            return {}, []
        notes += [f"{path}: {said}" for said in dict.fromkeys(_prepared(root))]
        data = loader.construct_document(root)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refused(f"{path} is not UTF-8 text") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = "" if line is None else f", line {line + 1}"
        raise Refused(f"{path} is not YAML{place}: fix it, or move it out of the directory") from None
    if data is None:
        return {}, notes
    if not isinstance(data, dict):
        raise Refused(f"{path}: must be a mapping")
    try:
        plain: dict[str, Any] = _Plain(path, notes).of(data)
    except RecursionError:
        raise Refused(f"{path} is nested too deeply: fix it, or move it out of the directory") from None
    return plain, notes


def _prepared(root: Any) -> Iterator[str]:
    """Make the names of all mappings text, as they are written, and yield a sentence for each name that is repeated."""
    waiting, seen = [root], {0}
    while waiting:
        node = waiting.pop()
        if id(node) in seen or isinstance(node, yaml.ScalarNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
            continue
        lines: dict[str, int] = {}
        for key, value in node.value:
            waiting.append(value)
            if not isinstance(key, yaml.ScalarNode) or key.tag == f"{_TAG}merge":
                continue
            key.tag = f"{_TAG}str"
            line = key.start_mark.line + 1
            if key.value in lines:
                yield (
                    f"{key.value} is there twice, in lines {lines[key.value]} and {line}: Salt refuses such a file; "
                    "the last one was taken, so remove the other one"
                )
            lines[key.value] = line


class _Plain:
    """The copy of a file's data without anchors that contain themselves."""

    def __init__(self, path: Path, notes: list[str]) -> None:
        self._path, self._notes, self._count = path, notes, 0

    def of(self, data: Any, above: tuple[int, ...] = (), name: str = "") -> Any:
        self._count += 1
        if self._count > LIMIT:
            raise Refused(f"{self._path} has more than {LIMIT} values: its anchors may multiply each other")
        if isinstance(data, dict):
            inside = (*above, id(data))
            kept = {str(key): item for key, item in data.items() if not self._is_circular(item, inside, str(key))}
            return {key: self.of(item, inside, key) for key, item in kept.items()}
        if isinstance(data, list):
            inside = (*above, id(data))
            return [self.of(item, inside, name) for item in data if not self._is_circular(item, inside, name)]
        return data

    def _is_circular(self, item: Any, above: tuple[int, ...], name: str) -> bool:
        circular = isinstance(item, dict | list) and id(item) in above
        if circular:
            self._notes.append(f"{self._path}: {name} contains itself; it was left out")
        return circular
