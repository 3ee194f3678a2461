"""What an earlier Salt left in an image, and an image with Salt in it."""

from __future__ import annotations

from pathlib import Path

from tests.machines import cache, salt_package
from tests.machines.overlay import Overlay
from tests.machines.variants.base import Around, Variant

SOURCES, PREFERENCES = "/etc/apt/sources.list.d", "/etc/apt/preferences.d"
FORMER_SOURCE, FORMER_PIN = f"{SOURCES}/salt.list", f"{PREFERENCES}/salt-pin-1001"
DEAD_SOURCE = f"{SOURCES}/saltstack.list"
FORMER_ID = "former.example"
FORMER_CONFIG = "/etc/salt/minion.d/minion.conf"
#: where Salt's repository was until 2024
FORMER_URL = "http://repo.saltproject.io/salt/py3/debian/12/amd64/latest"
KEYRING = "/usr/share/keyrings/salt-archive-keyring.asc"
#: as Salt's own instructions have it, for a series that is newer than the master
PIN = "Package: salt-*\nPin: version {}.*\nPin-Priority: 1001\n"
# Positional parameters: the base, the directory of the layer, two packages. It runs in its own mount namespace.
INSTALL = """
mkdir -p "$2/root" "$2/work" "$2/merged"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/root,workdir=$2/work" "$2/merged"
mount --rbind /proc "$2/merged/proc"
mkdir "$2/merged/tmp/pool"
cp "$3" "$4" "$2/merged/tmp/pool"
chroot "$2/merged" sh -c 'dpkg --install --force-unsafe-io /tmp/pool/*.deb && rm -r /tmp/pool'
chroot "$2/merged" systemctl disable salt-minion.service
"""


def _old_configuration(root: Overlay, around: Around) -> None:
    """Leave the configuration, the id and the keys of a minion of this master, or of another one."""
    master = f"master: {around.master}\nmaster_port: {around.master_port}\npublish_port: {around.publish_port}\n"
    root.write(FORMER_CONFIG, f"id: {FORMER_ID}\n{master}log_level: info\n")
    root.write("/etc/salt/minion_id", FORMER_ID)
    root.write("/etc/salt/pki/minion/minion_master.pub", around.salt_key)  # no master's key at all
    root.write("/etc/salt/grains", "roles: [former]\n")


def _former_source(root: Overlay, around: Around) -> None:
    root.write(KEYRING, around.salt_key)
    root.write(FORMER_SOURCE, f"deb [signed-by={KEYRING}] {around.salt_url} stable main\n")
    newer = int(salt_package.version().split(".")[0]) + 1
    root.write(FORMER_PIN, PIN.format(newer))


def _dead_source(root: Overlay, around: Around) -> None:
    root.write(DEAD_SOURCE, f"deb {FORMER_URL} bookworm main\n")


def _nothing(root: Overlay, around: Around) -> None:
    """Do nothing: the layer is enough."""


def _with_salt(around: Around) -> tuple[Path, ...]:
    name = cache.key(around.base.name, salt_package.ingredients(), Path(__file__).read_bytes())
    return (cache.built(f"with-salt-{name}", lambda place: _install(place, around)) / "root",)


def _install(place: Path, around: Around) -> None:
    pool = around.repositories / "saltproject-deb/pool"
    debs = [next(pool.glob(f"{name}_{salt_package.version()}_*.deb")) for name in ("salt-common", "salt-minion")]
    cache.run("unshare", "--mount", "sh", "-euc", INSTALL, "install", around.base, place, *debs)


VARIANTS = (
    Variant("minion.conf of another", _old_configuration),
    Variant("former source", _former_source),
    Variant("dead source", _dead_source),
    Variant("Salt in it", _nothing, _with_salt),
)
