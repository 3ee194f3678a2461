"""A salt-master with the user, the owners and the modes of Salt's own packages, in its own directory."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml
from pytestshellutils.utils.ports import get_unused_localhost_port

from tests.end_to_end.conftest import SaltMaster
from tests.end_to_end.private_mounts import SALT, SALT_ID, Mounts, private_mounts
from tests.end_to_end.processes import MARK, end_leftovers, end_processes, make_root, processes_of, remove
from tests.end_to_end.tools import until

#: what belongs to ``salt``, by its path below the root; everything else belongs to root
OWNED = {
    "etc/salt/pki/master": 0o700, "var/cache/salt/master": 0o755, "var/run/salt/master": 0o755, "tmp": 0o1777,
}  # fmt: skip
LOGS = ("master", "key")


@dataclass
class PackagedMaster:
    """The master for commands of root; ``as_salt`` is the same for commands of its own user."""

    master: SaltMaster
    as_salt: SaltMaster
    mounts: Mounts

    @property
    def root(self) -> Path:
        return self.master.root

    @property
    def socket(self) -> Path:
        return self.root / "var/run/salt/master/master_event_pull.ipc"

    def start(self) -> None:
        """Start the daemon as root, from which it changes to its user, and wait for its event bus."""
        subprocess.Popen(
            [self.master.bin / "salt-master", "-c", self.root / "etc"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.master.environment, start_new_session=True,
        )  # fmt: skip
        until(self.socket.exists, "the master is up")

    def stop(self) -> None:
        """Kill the daemon with all of its processes; minions and salt-run continue."""
        for process in processes_of(self.root):
            with contextlib.suppress(psutil.Error):
                if "salt-master" in " ".join(process.cmdline()):
                    process.kill()
        self.socket.unlink(missing_ok=True)

    def forget(self) -> None:
        """Clean up after a test: remove nodes, records and logs; the master keeps running."""
        self.master.hart.clear()
        self.master.hart["roles"] = {"app": {}}
        self.master.write()


def _layout(root: Path) -> None:
    for part in ("etc", "srv/salt", "srv/pillar", "var/log/salt", *OWNED):
        (root / part).mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)
    for part, mode in OWNED.items():
        (root / part).chmod(mode)
        os.chown(root / part, SALT_ID, SALT_ID)
    for name in LOGS:
        (root / "var/log/salt" / name).touch(0o640)
        os.chown(root / "var/log/salt" / name, SALT_ID, SALT_ID)


def _config(root: Path) -> dict[str, object]:
    return {
        "id": root.name, "user": SALT, "root_dir": str(root), "interface": "127.0.0.1",
        "publish_port": get_unused_localhost_port(), "ret_port": get_unused_localhost_port(),
        "file_roots": {"base": [str(root / "srv/salt")]}, "pillar_roots": {"base": [str(root / "srv/pillar")]},
        "worker_threads": 3, "hart": {"roles": {"app": {}}},
    }  # fmt: skip


@contextlib.contextmanager
def packaged_master() -> Iterator[PackagedMaster]:
    """Make and start it; everything that ran for it is killed after the block."""
    root = make_root()
    try:
        _layout(root)
        with private_mounts(root / "mounts") as mounts:
            mounts.add_user()
            mounts.let_through()
            environment = {key: value for key, value in os.environ.items() if not key.startswith("HART_")}
            environment |= {MARK: str(root), "TMPDIR": str(root / "tmp"), "HOME": "/root"}
            config = _config(root)
            (root / "etc/master").write_text(yaml.safe_dump(config))
            as_root, as_salt = (
                SaltMaster(root, config, environment, bin=mounts.programs(name, user))
                for name, user in (("as-root", None), ("as-salt", SALT))
            )
            packaged = PackagedMaster(as_root, as_salt, mounts)
            packaged.start()
            yield packaged
            end_processes(root, keep={mounts.pid})
    finally:
        remove(root)


@pytest.fixture(scope="module")
def packaged() -> Iterator[PackagedMaster]:
    end_leftovers()
    with packaged_master() as made:
        yield made
