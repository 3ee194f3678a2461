"""
The package ``salt-master``, laid out like Salt's own, for the Salt of ``salt_package.py``.

As with Salt's package, the master runs as the user ``salt``, who owns only what the master writes to. pip is part of
it, since here only a master's machine needs ``salt-pip``; in Salt's packages, both are part of ``salt-common``.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import tempfile
from pathlib import Path

from tests.machines import debs
from tests.machines.salt_package import PREFIX, PYTHON, SCRIPT, compile_below, files_of, version

UNIT = """\
[Unit]
Description=The Salt Master Server
Documentation=man:salt-master(1) https://docs.saltproject.io/en/latest/contents.html
After=network.target

[Service]
LimitNOFILE=100000
Type=notify
NotifyAccess=all
ExecStart=/usr/bin/salt-master

[Install]
WantedBy=multi-user.target
"""

PREINST = """\
#!/bin/sh
set -e
getent passwd salt > /dev/null || useradd --system --user-group --home-dir /opt/saltstack/salt \\
    --shell /usr/sbin/nologin --comment Salt salt
"""

#: what Salt's package does, and what debhelper writes for a package with a service
POSTINST = """\
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
for file in master key; do
    [ -e "/var/log/salt/$file" ] || install -m 640 /dev/null "/var/log/salt/$file"
done
chown -R salt:salt /etc/salt/pki/master /etc/salt/master.d /var/log/salt/master /var/log/salt/key /var/cache/salt/master
deb-systemd-helper unmask salt-master.service >/dev/null || true
deb-systemd-helper enable salt-master.service >/dev/null || true
if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
    deb-systemd-invoke start salt-master.service >/dev/null || true
fi
"""

COMMANDS = {
    "salt": "salt_main", "salt-key": "salt_key", "salt-master": "salt_master", "salt-run": "salt_run",
}  # fmt: skip
#: the effect of Salt's own, which additionally sets the target directory
PIP = f'#!/bin/sh\nexec /{PREFIX}/bin/python3 -m pip "$@"\n'


def ingredients() -> str:
    """Return a text that differs between builds with different content, beyond that of ``salt_package.py``."""
    return "\n".join([importlib.metadata.version("pip"), Path(__file__).read_text()])


def build(pool: Path) -> None:
    """Build the package in a pool."""
    with tempfile.TemporaryDirectory(dir=pool.parent) as place:
        tree = Path(place) / "tree"
        _copy_pip(tree / PREFIX / "lib" / PYTHON / "site-packages")
        compile_below(tree)
        texts = {
            "lib/systemd/system/salt-master.service": UNIT, "etc/salt/master": "user: salt\n", "usr/bin/salt-pip": PIP,
            **{f"usr/bin/{name}": SCRIPT.format(prefix=PREFIX, function=it) for name, it in COMMANDS.items()},
        }  # fmt: skip
        for name, text in texts.items():
            debs.write(tree, name, text)
        for directory in ("etc/salt/master.d", "etc/salt/pki/master", "var/cache/salt/master", "var/log/salt"):
            (tree / directory).mkdir(parents=True)
        tree.chmod(0o755)
        (tree / "etc/salt/pki/master").chmod(0o700)
        package = debs.Package(
            "salt-master", version(), debs.architecture(), f"salt-common (= {version()})",
            scripts={"preinst": PREINST, "postinst": POSTINST}, conffiles=("/etc/salt/master",),
        )  # fmt: skip
        debs.build(package, tree, pool)


def _copy_pip(target: Path) -> None:
    distribution = importlib.metadata.distribution("pip")
    for file in files_of(distribution):
        copy = target / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(str(distribution.locate_file(file)), copy)
