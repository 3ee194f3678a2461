"""Build Debian packages without the usual packaging tools."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.machines import cache


@dataclass(frozen=True)
class Package:
    """The fields of the control file, and the other files of ``DEBIAN``."""

    name: str
    version: str
    architecture: str = "all"
    depends: str = ""
    description: str = "a package of the test cloud"
    #: maintainer scripts by name, such as ``postinst``
    scripts: Mapping[str, str] = field(default_factory=dict)
    #: paths of the files that an upgrade must not overwrite
    conffiles: tuple[str, ...] = ()
    section: str = "admin"

    @property
    def file_name(self) -> str:
        """The name of the package's file in a pool."""
        return f"{self.name}_{self.version}_{self.architecture}.deb"

    def control(self, kilobytes: int) -> str:
        """Return the control file's text."""
        fields = {
            "Package": self.name,
            "Version": self.version,
            "Architecture": self.architecture,
            "Maintainer": "Test cloud <nobody@example.invalid>",
            "Installed-Size": str(kilobytes),
            "Depends": self.depends,
            "Section": self.section,
            "Priority": "optional",
            "Description": self.description,
        }
        return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)


def architecture() -> str:
    """Return this host's architecture by its Debian name."""
    return cache.run("dpkg", "--print-architecture").strip()


def build(package: Package, tree: Path, pool: Path) -> Path:
    """Build a package from a directory tree and return its file. ``DEBIAN`` is created in the tree and removed."""
    size = sum(file.lstat().st_size for file in tree.rglob("*") if not file.is_dir()) // 1024
    control = tree / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(package.control(size))
    if package.conffiles:
        (control / "conffiles").write_text("".join(f"{path}\n" for path in package.conffiles))
    for name, text in package.scripts.items():
        (control / name).write_text(text)
        (control / name).chmod(0o755)
    pool.mkdir(parents=True, exist_ok=True)
    deb = pool / package.file_name
    # Every machine unpacks 250 MB of Salt: 0.3 s of a CPU with zstd, 3 s with xz, which Debian's own packages use.
    cache.run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", tree, deb)
    shutil.rmtree(control)
    return deb


def build_small(package: Package, files: Mapping[str, str], pool: Path) -> Path:
    """Build a package from a few text files; those in ``bin`` are executable."""
    pool.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=pool.parent) as place:
        tree = Path(place) / "tree"
        tree.mkdir()
        tree.chmod(0o755)
        for name, text in files.items():
            write(tree, name, text)
        return build(package, tree, pool)


def write(tree: Path, name: str, text: str) -> None:
    """Write one file of a package; a file in ``bin`` is executable."""
    file = tree / name.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755 if "bin" in file.parts else 0o644)
