"""
A Python package index with what hart-salt needs beyond Salt, made from the packages that the tests run with.

Each package becomes a wheel again, in a directory with its name: over HTTP, the listing of that directory is an index
page of the "simple" kind. hart-salt itself is not in the index.
"""

from __future__ import annotations

import importlib.metadata
import zipfile
from pathlib import Path

from tests.distributions import closure
from tests.machines.salt_package import files_of

#: what a master at an emulated DigitalOcean installs
WANTED = "hart-salt[do]"


def ingredients() -> str:
    """Return a text that differs between builds with different content."""
    names = sorted(f"{name}=={found.version}" for name, found in _wanted().items())
    return "\n".join([*names, Path(__file__).read_text()])


def build(place: Path) -> None:
    """Write the index to a directory."""
    for name, distribution in _wanted().items():
        directory = place / name
        directory.mkdir(parents=True)
        with zipfile.ZipFile(directory / _file_name(distribution), "w", zipfile.ZIP_DEFLATED) as wheel:
            for file in files_of(distribution):
                wheel.write(str(distribution.locate_file(file)), file)


def _wanted() -> dict[str, importlib.metadata.Distribution]:
    """Return the required packages, without hart-salt and without those that the Salt package has."""
    there = {"hart-salt", *closure("salt")}
    return {name: found for name, found in closure(WANTED).items() if name not in there}


def _file_name(distribution: importlib.metadata.Distribution) -> str:
    """
    Return the name of a wheel's file.

    The name contains a tag of the systems that can install it; any of the wheel's tags will do.
    """
    lines = (distribution.read_text("WHEEL") or "").splitlines()
    tag = next(line.removeprefix("Tag: ") for line in lines if line.startswith("Tag: "))
    return f"{distribution.name.replace('-', '_')}-{distribution.version}-{tag}.whl"
