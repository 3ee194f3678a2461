"""
A Python package index of what hart-salt needs beyond Salt, made of the packages that the tests run with.

Each becomes a wheel again, in a directory by its name: over HTTP, the listing of that is the index page of the
"simple" kind. hart-salt itself is not in it.
"""

from __future__ import annotations

import importlib.metadata
import zipfile
from pathlib import Path

from tests.distributions import closure
from tests.machines.salt_package import files_of

#: what a master at a cloud of the test cloud gets
WANTED = "hart-salt[do]"


def ingredients() -> str:
    """Return what makes one build differ from another."""
    names = sorted(f"{name}=={found.version}" for name, found in _wanted().items())
    return "\n".join([*names, Path(__file__).read_text()])


def build(place: Path) -> None:
    """Fill a directory with the index."""
    for name, distribution in _wanted().items():
        directory = place / name
        directory.mkdir(parents=True)
        with zipfile.ZipFile(directory / _file_name(distribution), "w", zipfile.ZIP_DEFLATED) as wheel:
            for file in files_of(distribution):
                wheel.write(str(distribution.locate_file(file)), file)


def _wanted() -> dict[str, importlib.metadata.Distribution]:
    """Without hart-salt, and without what the Salt package has."""
    there = {"hart-salt", *closure("salt")}
    return {name: found for name, found in closure(WANTED).items() if name not in there}


def _file_name(distribution: importlib.metadata.Distribution) -> str:
    """A wheel's name says where it can be installed; any one of its tags will do."""
    lines = (distribution.read_text("WHEEL") or "").splitlines()
    tag = next(line.removeprefix("Tag: ") for line in lines if line.startswith("Tag: "))
    return f"{distribution.name.replace('-', '_')}-{distribution.version}-{tag}.whl"
