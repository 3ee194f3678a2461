"""Wheels and source distributions of this checkout, and environments with one of them installed."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import hart_salt
from tests import distributions

toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
ROOT = Path(hart_salt.__file__).resolve().parent.parent
SITE = Path("lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
SCRIPT = "#!{python}\nimport sys\nfrom salt.scripts import {function}\nsys.exit({function}())\n"


def backend(place: Path) -> dict[str, str]:
    """
    Return an environment that can import the build backend; it is downloaded into ``place`` if it is not installed.
    """
    if all(importlib.util.find_spec(name) for name in ("hatchling", "hatch_fancy_pypi_readme")):
        return dict(os.environ)
    needed = toml.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", place, *needed], check=True)
    return {**os.environ, "PYTHONPATH": str(place)}


def build(kind: str, source: Path, target: Path, environment: dict[str, str]) -> Path:
    """Build a ``wheel`` or an ``sdist`` of a source tree into an empty directory."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = target.iterdir()
    return made


def pip(*arguments: str | Path, environment: dict[str, str] | None = None) -> None:
    """Without the network: the arguments must be complete."""
    command = [sys.executable, "-m", "pip", *arguments, "--no-index", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def fresh_environment(place: Path) -> Path:
    """
    Return an environment with all dependencies of the package, as links to the installed ones, but without the package.
    """
    venv.create(place, symlinks=True)
    needed = distributions.closure("hart-salt")
    del needed["hart-salt"]
    installed = Path(sysconfig.get_path("purelib"))
    tops = {file.parts[0] for found in needed.values() for file in found.files or []} - {"..", "__pycache__"}
    for top in tops:
        (place / SITE / top).symlink_to(installed / top)
    for name in ("salt-run", "salt-call"):
        script = place / "bin" / name
        script.write_text(SCRIPT.format(python=place / "bin/python", function=name.replace("-", "_")))
        script.chmod(0o755)
    return place


def package(kind: str, place: Path) -> Path:
    """Return a wheel, of the checkout itself or built by pip from a source distribution."""
    for name in ("backend", "built", "made"):
        (place / name).mkdir()
    environment = backend(place / "backend")
    built = build(kind, ROOT, place / "built", environment)
    if kind == "wheel":
        return built
    pip("wheel", built, "--no-deps", "--no-build-isolation", "-w", place / "made", environment=environment)
    (made,) = (place / "made").iterdir()
    return made


def installed(kind: str, place: Path) -> Path:
    """Return a new environment with the ``wheel`` or the ``sdist``; the checkout is not visible from there."""
    environment = fresh_environment(place / "environment")
    # pip looks for the dependencies and finds them all there.
    pip("--python", environment / "bin/python", "install", package(kind, place))
    return environment
