"""Wheels and source distributions of this checkout."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import hart_salt

ROOT = Path(hart_salt.__file__).resolve().parent.parent


def backend(place: Path) -> dict[str, str]:
    """An environment in which the build backend can be imported; fetched into ``place`` if it is not installed."""
    if importlib.util.find_spec("hatchling"):
        return dict(os.environ)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", place, "hatchling"], check=True)
    return {**os.environ, "PYTHONPATH": str(place)}


def build(kind: str, source: Path, target: Path, environment: dict[str, str]) -> Path:
    """Build a ``wheel`` or an ``sdist`` of a source tree into an empty directory."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = target.iterdir()
    return made
