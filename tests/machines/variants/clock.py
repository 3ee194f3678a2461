"""A clock that is behind when the machine boots."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.machines import cache, image
from tests.machines.overlay import Overlay
from tests.machines.variants.base import SCRIPT_UNITS, Around, Variant

BEHIND = 600  #: seconds
#: the clock of what a unit runs; a machine shares its kernel's clock with the host
UNIT = """\
[Service]
Environment=LD_PRELOAD={library} FAKETIME=-{behind}s FAKETIME_DONT_FAKE_MONOTONIC=1
"""


def _clock(root: Overlay, around: Around) -> None:
    """
    Let the startup script and the minion see an earlier time.

    That is before Salt's repository was signed if the node installs from the one at ``fresh`` of ``mirrors.py``.
    """
    (layer,) = _layers(around)
    (library,) = layer.rglob("libfaketime.so.1")
    for unit in (*SCRIPT_UNITS, "salt-minion.service"):
        text = UNIT.format(library=f"/{library.relative_to(layer)}", behind=BEHIND)
        root.write(f"/etc/systemd/system/{unit}.d/clock.conf", text)


def _layers(around: Around) -> tuple[Path, ...]:
    name = cache.key(around.base.name, Path(__file__).read_bytes())
    return (cache.built(f"faketime-{name}", _extract) / "root",)


def _extract(place: Path) -> None:
    """Download the library from Debian: in the image itself, each machine would have it."""
    options = [f"--aptopt={option}" for option in image.BUILD_OPTIONS]
    cache.run(
        "mmdebstrap", "--mode=root", "--variant=extract", "--format=directory", "--include=libfaketime", *options,
        image.RELEASES["debian-12"], place / "debian",
    )  # fmt: skip
    (library,) = place.rglob("faketime/libfaketime.so.1")
    target = place / "root" / library.relative_to(place / "debian")
    target.parent.mkdir(parents=True)
    shutil.copy2(library, target)
    cache.run("chmod", "-R", "u=rwX,go=rX", place / "root")
    cache.remove(place / "debian")


VARIANTS = (Variant("clock 10 minutes behind", _clock, _layers),)
