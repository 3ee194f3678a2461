"""Whether this master's file server has the states that a node is to apply."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hart_salt.base.text import suggestion

ROOTS = ("roots",)  #: the one backend whose files hart can see by itself
SUFFIX = ".sls"
MOST = 5000  #: files that are searched for a similar name


def unknown_states(opts: Mapping[str, Any], names: Sequence[str], saltenv: str = "base") -> list[str]:
    """
    Return a sentence for each SLS name that this master does not have; empty if it cannot be known.

    ``opts`` is the master's configuration. Only directories of ``file_roots`` are searched. Nothing is judged with
    another backend, such as gitfs, with a directory that cannot be read, or in an environment that is not configured.
    """
    roots = (opts.get("file_roots") or {}).get(saltenv)
    if not roots or any(backend not in ROOTS for backend in opts.get("fileserver_backend") or ROOTS):
        return []
    folders = [Path(str(root)) for root in roots]
    try:
        missing = [name for name in names if not _is_there(name, folders)]
        known = ["highstate", *itertools.islice(_all(folders), MOST)] if missing else []
    except OSError:
        return []
    where = ", ".join(map(str, folders))
    return [f"there is no state {name}{suggestion(name, known)}; it would be below {where}" for name in missing]


def _is_there(name: str, folders: Iterable[Path]) -> bool:
    """Return whether Salt finds the state: a dot in its name is a directory, and a directory has an ``init.sls``."""
    path = name.replace(".", "/")
    files = (f"{path}{SUFFIX}", f"{path}/init{SUFFIX}")
    return any((folder / file).is_file() for folder in folders for file in files)


def _all(folders: Iterable[Path]) -> Iterator[str]:
    """Yield the names of all states."""
    for folder in folders:
        for file in folder.rglob(f"*{SUFFIX}"):
            name = ".".join(file.relative_to(folder).with_suffix("").parts)
            yield name.removesuffix(".init")
