"""Build a wheel of the installed hart-salt, for machines that cannot install it from a package index."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import hart_salt
from hart_salt.base.errors import Refused

DISTRIBUTION = "hart-salt"
#: metadata files of this installation, which are not copied
ITS_OWN = frozenset({"INSTALLER", "RECORD", "REQUESTED", "WHEEL", "direct_url.json"})
WHEEL = "Wheel-Version: 1.0\nGenerator: hart-salt\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def file_name() -> str:
    """
    Return the file name of the wheel, from which pip takes its name and version.

    Raises ``Refused`` like ``build``.
    """
    return f"hart_salt-{_distribution().version}-py3-none-any.whl"


def extras() -> frozenset[str]:
    """
    Return the names of the package's extras.

    Raises ``Refused`` like ``build``.
    """
    return frozenset(_distribution().metadata.get_all("Provides-Extra") or ())


def build() -> bytes:
    """
    Return the wheel, with the files as they are here, even in an editable installation.

    Raises ``Refused`` if hart-salt is not installed as a package.
    """
    info = f"hart_salt-{_distribution().version}.dist-info"
    content = {**dict(_modules()), **dict(_metadata(info)), f"{info}/WHEEL": WHEEL.encode()}
    lines = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in content.items()]
    content[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return made.getvalue()


def _distribution() -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise Refused(
            f"{DISTRIBUTION} is not installed as a package here: set what to install, as in hart_salt={DISTRIBUTION}"
        ) from None


def _modules() -> Iterator[tuple[str, bytes]]:
    """Yield every file of the package with its name in a wheel; a symbolic link becomes the file that it points to."""
    package = Path(hart_salt.__file__).parent
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"hart_salt/{path.relative_to(package).as_posix()}", path.read_bytes()


def _metadata(info: str) -> Iterator[tuple[str, bytes]]:
    """Yield the metadata of the installed package: requirements, entry points, licence."""
    for file in _distribution().files or ():
        if file.parts[0] == info and file.name not in ITS_OWN:
            yield str(file), Path(str(file.locate())).read_bytes()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
