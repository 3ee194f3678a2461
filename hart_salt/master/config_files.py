"""
The files of the master's configuration, read as Salt reads them, to find a ``hart:`` key that Salt did not show.

Salt skips a file of ``master.d`` that it cannot parse, and writes one line to its log. It merges the files of
``default_include`` with each other at every depth, but what an include yields replaces whole keys of the file that
includes it. Both can take ``hart:`` away without an error.
"""

from __future__ import annotations

import codecs
import contextlib
import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import salt.utils.dictupdate
import salt.utils.yaml

from hart_salt.base import faults
from hart_salt.base.errors import ConfigError, EnvironmentFault, Fault
from hart_salt.base.shape import copied, without_endless

#: Salt's name for the configuration of one user's client commands, which is read after the master's
USER_FILES = ("saltrc", ".saltrc")
#: suffixes of files below ``master.d`` that people write for Salt
UNREAD = (".conf", ".yaml", ".yml", ".sls")
#: files that include each other are followed this far
DEEPEST_INCLUDE = 20

#: a line that is no comment and has the key, whatever the indentation and the brackets before it
_MENTIONS = re.compile(r"^[^#\n]*(?<![\w./-])[\"']?hart[\"']?\s*:(?!/)", re.IGNORECASE | re.MULTILINE)
_INCLUDES = re.compile(r"^[\"']?include[\"']?\s*:", re.MULTILINE)
#: other spellings of the key
_MISSPELT = re.compile(r"\s*hart\s*(?:[:{.].*)?", re.IGNORECASE | re.DOTALL)

_ABSENT = object()


@dataclass(frozen=True)
class _Part:
    """The value of ``hart:`` that some files yield together; ``_ABSENT`` if they have none."""

    value: Any = field(default=_ABSENT, repr=False)
    files: tuple[str, ...] = ()


@dataclass
class ConfigFiles:
    """All files of one master's configuration, with what is wrong with ``hart:`` in them."""

    #: the value of a reference in these is not yet looked up
    raw: dict[Any, Any] = field(default_factory=dict, repr=False)
    faults: list[Fault] = field(default_factory=list)
    #: files of which nobody knows whether they have ``hart:``
    doubtful: list[Fault] = field(default_factory=list)
    #: files that this user cannot read, in sentences
    unreadable: list[str] = field(default_factory=list)
    #: the files that Salt reads
    seen: set[str] = field(default_factory=set)
    #: the files that have ``hart:``
    holders: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, opts: Mapping[str, Any]) -> ConfigFiles:
        """Read the files of the master with these ``opts``. Nothing is raised, and nothing is written."""
        files = cls()
        main, base, user = _places(opts)
        if main is None:
            return files
        data, found = files._one(main, optional=True)
        default = data.get("default_include", opts.get("default_include"))
        included = data.get("include")
        for include, explicit in ((default, False), (included, True)):
            more, part = files._include(include, base, explicit, 0)
            found = files._over(found, part)
            data.update(more)
        if user is not None:
            more, part = files._one(user, optional=True)
            found = files._over(found, part)
            data.update(more)
        files.raw, files.holders = data, list(found.files)
        if not files.holders:
            files.doubtful += files._unread(Path(main).parent / "master.d")
        return files

    def _unread(self, directory: Path) -> Iterator[Fault]:
        """Yield the files with ``hart:`` that Salt does not read: with another suffix, or in another directory."""
        for path in sorted(directory.rglob("*")):
            if path.suffix not in UNREAD or str(path) in self.seen or not path.is_file():
                continue
            with contextlib.suppress(OSError):
                if _MENTIONS.search(_text(path.read_bytes())):
                    yield Fault(
                        str(path), "has hart:, but Salt does not read this file: by default it reads only "
                        "master.d/*.conf, without directories below; rename or move it"
                    )  # fmt: skip

    def _one(self, path: str, *, optional: bool = False, depth: int = 0) -> tuple[dict[Any, Any], _Part]:
        """Return the settings of a file and of what it includes, and its part of ``hart:``."""
        data = self._parsed(path, optional)
        found = _Part(data["hart"], (path,)) if "hart" in data else _Part()
        self.faults += [
            Fault(path, f"the key {str(key)[:20]!r} is not hart: write hart: in lower case, and its settings below it")
            for key in data
            if key != "hart" and isinstance(key, str) and _MISSPELT.fullmatch(key)
        ]
        if depth and data.get("include"):  # what a file includes replaces its own keys
            more, part = self._include(data["include"], path, True, depth)
            found = self._over(found, part)
            data.update(more)
        return data, found

    def _parsed(self, path: str, optional: bool) -> dict[Any, Any]:
        self.seen.add(path)
        try:
            raw = Path(path).read_bytes()
        except FileNotFoundError:
            if not optional:
                self.doubtful.append(Fault(path, "is a link to a file that does not exist; remove it, or create that"))
            return {}
        except OSError as error:
            if error.errno in faults.FORBIDDEN:
                self.unreadable.append(faults.unreadable(path) or faults.sentence(error, path))
            else:
                self.doubtful.append(Fault(path, f"cannot be read: {error.strerror}; move it away"))
            return {}
        data, problem = _yaml(raw)
        if problem is None:
            return data
        skipped = f"Salt cannot use the file and skips it: {problem}; correct the file"
        text = _text(raw)
        if _MENTIONS.search(text):
            self.faults.append(Fault(path, f"has hart:, but {skipped}"))
        elif _INCLUDES.search(text):
            self.doubtful.append(Fault(path, f"includes other files, but {skipped}"))
        return {}

    def _include(self, include: Any, base: str, explicit: bool, depth: int) -> tuple[dict[Any, Any], _Part]:
        """
        Return what the files of an ``include`` yield, merged as Salt merges them, and their part of ``hart:``.

        ``base`` is the file that includes them. With ``explicit``, a file that does not exist is doubtful.
        """
        settings: dict[Any, Any] = {}
        found = _Part()
        for path in self._matches(include, base, explicit) if depth < DEEPEST_INCLUDE else ():
            data, part = self._one(path, depth=depth + 1)
            found = self._merged(found, part)
            salt.utils.dictupdate.update(settings, without_endless(data), recursive_update=True, merge_lists=True)
        return settings, found

    def _matches(self, include: Any, base: str, explicit: bool) -> Iterator[str]:
        patterns = [include] if isinstance(include, str) else include
        for pattern in patterns if isinstance(patterns, Sequence) else ():
            if not isinstance(pattern, str) or not pattern:
                continue
            path = os.path.join(os.path.dirname(base), os.path.expanduser(pattern))  # noqa: PTH118, PTH120, PTH111
            matches = sorted(glob.glob(path))  # noqa: PTH207 - the same function and order as Salt's
            if not matches and explicit and not glob.has_magic(path):
                self.doubtful.append(
                    Fault(base, f"includes {path}, which does not exist; create that file, or remove it from include")
                )
            yield from matches

    def _over(self, lower: _Part, upper: _Part) -> _Part:
        """Return the part that is left when whole keys are replaced; report what that takes away."""
        if upper.value is _ABSENT:
            return lower
        if lower.value is _ABSENT or _within(lower.value, upper.value):
            return upper
        self._hidden(lower, upper)
        return upper

    def _merged(self, lower: _Part, upper: _Part) -> _Part:
        """Return the part that two files of one include yield together; mappings merge at every depth."""
        if lower.value is _ABSENT or upper.value is _ABSENT:
            return lower if upper.value is _ABSENT else upper
        first, second = copied(lower.value, "hart"), copied(upper.value, "hart")
        if first[1] or second[1]:  # the loader reports it
            return upper
        clash = _clash(first[0], second[0], "hart")
        if clash is not None:
            self._hidden(lower, upper, clash)
        return _Part(_union(first[0], second[0]), (*lower.files, *upper.files))

    def _hidden(self, lower: _Part, upper: _Part, path: str = "hart") -> None:
        self.faults.append(
            Fault(
                ", ".join(lower.files),
                f"Salt lets {path}: of {', '.join(upper.files)} replace {path}: of this file, and so part of the "
                "configuration is lost; write hart: in one file only, or in files of master.d that set different "
                "names",
            )
        )


def check(opts: Mapping[str, Any], files: ConfigFiles) -> None:
    """
    Check that Salt has shown every ``hart:`` of these files.

    Raises ``ConfigError`` if a file with ``hart:`` cannot be used, hides another, or was not read by Salt.
    """
    found = list(files.faults)
    if files.holders and "hart" not in opts:
        restart = "Salt has not read hart: of this file; restart salt-master"
        found += [Fault(path, restart) for path in files.holders]
    if found:
        raise ConfigError(found)


def check_absence(files: ConfigFiles) -> None:
    """
    Check that there is no ``hart:`` anywhere: Salt has shown none.

    Raises ``ConfigError`` or ``EnvironmentFault`` if a file that could have it cannot be read.
    """
    if files.doubtful:
        raise ConfigError(files.doubtful)
    if files.unreadable:
        raise EnvironmentFault(f"hart finds no configuration, and cannot see whether it is here: {files.unreadable[0]}")


def _places(opts: Mapping[str, Any]) -> tuple[str | None, str, str | None]:
    """Return the main file, the file that includes are relative to, and the file of this user's client commands."""
    file = str(opts.get("conf_file") or "")
    directory = str(opts.get("config_dir") or "")
    inside = f"{directory}/master" if directory else file
    if not file or os.path.basename(file) in USER_FILES:  # noqa: PTH119
        return (inside or None), inside, (file or None)
    if directory and os.path.dirname(file) != directory and os.environ.get("SALT_MASTER_CONFIG") != file:  # noqa: PTH120
        return inside, inside, None
    return file, (file if os.path.dirname(file) == directory else inside), None  # noqa: PTH120


def _yaml(raw: bytes) -> tuple[dict[Any, Any], str | None]:
    """Return the data of a file with Salt's own loader, and why there is none, without quoting the file."""
    try:
        data = salt.utils.yaml.safe_load(raw.decode("utf-8")) or {}
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return {}, f"line {line} is not UTF-8 text"
    except salt.utils.yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        return {}, f"YAML error{where}{_kind(error)}"
    except RecursionError:
        return {}, "it is nested too deeply"
    except (ValueError, TypeError, AttributeError, KeyError):  # what YAML's own parts raise for odd numbers and dates
        return {}, "a number in it has too many digits, or a value does not fit its tag"
    if not isinstance(data, dict):
        return {}, f"it must be a mapping, such as hart: with its settings below it, but it is a {type(data).__name__}"
    return data, None


def _kind(error: Exception) -> str:
    """Return the words for the errors that people make most; PyYAML's own text can quote the file."""
    said = str(getattr(error, "problem", "") or "")
    words = {
        "cannot start any token": ": indent with spaces, not tabs, and quote special characters",
        "undefined alias": ": an alias (*name) without its anchor (&name); quote a text that starts with *",
        "conflicting ID": ": the same key twice",
        "unacceptable key": ": a list or a mapping cannot be a key; put it in quotes",
        "could not determine a constructor": ": an unknown tag (!name)",
        "another document": ": more than one document (---)",
        "duplicate anchor": ": the same anchor (&name) twice",
        "mapping values are not allowed": ": a colon where none can be; check the indentation, and quote the text",
    }
    return next((text for part, text in words.items() if part in said), "")


def _text(raw: bytes) -> str:
    """Return the text of a file in whatever encoding, well enough to search it."""
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if raw.startswith(mark):
            return raw.decode(encoding, errors="replace")
    return raw.replace(b"\0", b"").decode("utf-8", errors="replace").lstrip("\ufeff").replace("\r", "\n")


def _within(part: Any, whole: Any) -> bool:
    """Return whether everything in ``part`` is in ``whole``, too."""
    part, wrong = copied(part, "")
    whole, more = copied(whole, "")
    return bool(wrong or more) or _contains(whole, part)


def _contains(whole: Any, part: Any) -> bool:
    if part is None or part == {}:
        return True
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and _contains(whole[key], value) for key, value in part.items())
    return bool(part == whole)


def _clash(lower: Any, upper: Any, path: str) -> str | None:
    """Return where a mapping is replaced by something else, if anywhere."""
    if not isinstance(lower, dict) or not lower:
        return None
    if not isinstance(upper, dict):
        return path
    shared = [key for key in lower if key in upper]
    return next((at for key in shared if (at := _clash(lower[key], upper[key], f"{path}:{key}"))), None)


def _union(lower: Any, upper: Any) -> Any:
    if not isinstance(lower, dict) or not isinstance(upper, dict):
        return upper
    return {**lower, **{key: _union(lower[key], value) if key in lower else value for key, value in upper.items()}}
