"""A new salt-master on a real machine, from a machine without one; the new master creates its own minion."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import asyncssh
import pytest

from tests.drivers.do.emulator.cloud import DigitalOcean
from tests.drivers.do.emulator.state import Settings
from tests.drivers.do.in_tables import CLOUD
from tests.end_to_end import real_cloud
from tests.end_to_end.conftest import Ran, SaltMaster, idle_machine
from tests.end_to_end.real_cloud import files_with, ok
from tests.end_to_end.runs import side_by_side
from tests.end_to_end.wire import Relay
from tests.former import former_of
from tests.machines import requirements, salt_package
from tests.machines.machines import Machine, MachineHost
from tests.machines.real import RealMachines

_missing = requirements.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=f"no machines can be booted here: {'; '.join(_missing)}")

MASTER, BROKEN = "salt.example", "broken.example"
KEY = asyncssh.generate_private_key("ssh-ed25519", comment="admin@example")
#: what an admin would use script for: the new master's configuration, which the caller does not know. An API without
#: TLS is allowed only on the machine itself, so that machine relays the cloud's API at the same port as the caller
SCRIPT = """\
#!/bin/sh
set -eu
systemd-run --quiet --unit=cloud-api --socket-property=ListenStream=127.0.0.1:{port} \\
    /lib/systemd/systemd-socket-proxyd {relay}
address=$(ip -4 -oneline address show eth0 | awk '{{ split($4, part, "/"); print part[1] }}')
cat > /etc/salt/master.d/repository.asc <<'END'
{key}
END
cat > /etc/salt/master.d/hart.conf <<END
hart:
  saltmaster: $address
  image: bookworm
  security_upgrades: "off"
  salt_repo: {repository}
  salt_repo_key: /etc/salt/master.d/repository.asc
  role_naming_scheme: "{{unique_id}}.{{role}}.example"
  providers:
    do: {{token: {token}, endpoint: "{endpoint}", region: nyc3}}
  roles:
    app: {{}}
END
chown salt: /etc/salt/master.d/hart.conf
chmod 600 /etc/salt/master.d/hart.conf
"""


@dataclass
class Scene:
    """Everything that the tests check."""

    caller: SaltMaster
    backend: RealMachines
    cloud: DigitalOcean
    created: Ran
    broken: Ran

    @property
    def entry(self) -> dict[str, Any]:
        return dict(self.created.data[MASTER])

    @property
    def machine(self) -> Machine:
        return self.backend.by_name(MASTER)

    def on_master(self, command: str) -> Any:
        """Return the JSON output of a command on the new master."""
        return former_of(json.loads(ok(self.machine, f"{command} --out=json 2> /dev/null")))


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    settings = Settings(active_after=0.0)
    with MachineHost() as host, idle_machine() as caller:
        backend = RealMachines(host, CLOUD.datasource)
        with DigitalOcean(backend, settings=settings) as cloud, Relay(lambda: port, host=host.address) as relay:
            port: int = urlsplit(cloud.endpoint).port or 0
            assert port != 0
            files = {"repository.asc": host.repository_key, "script": SCRIPT.format(
                key=host.repository_key, repository=host.repository_url, port=port,
                relay=f"{host.address}:{relay.port}", **cloud.account(),
            )}  # fmt: skip
            for name, text in files.items():
                (caller.root / name).write_text(text)
            caller.config["hart"] = {
                "image": "bookworm", "salt_repo": host.repository_url, "security_upgrades": "off",
                "salt_repo_key": str(caller.root / "repository.asc"), "providers": {"do": cloud.account()},
            }  # fmt: skip
            caller.write()
            arguments = {
                "authorize_key": KEY.export_public_key().decode().strip(), "script": str(caller.root / "script"),
                "grains": '{"team": "ops"}', "minion_config": '{"log_level": "info"}',
            }  # fmt: skip
            given = [f"{name}={value}" for name, value in arguments.items()]
            created, broken = side_by_side(caller, [
                ["hart.create_master", MASTER, "region=nyc3", *given],
                ["hart.create_master", BROKEN, "region=nyc3", "hart_salt=no-such-package-of-hart"],
            ])  # fmt: skip
            assert created.code == 0, created.stdout
            yield Scene(caller, backend, cloud, created, broken)


def test_the_new_master_runs_and_its_minion_is_only_for_salt_call(scene: Scene) -> None:
    machine = scene.machine
    states = [ok(machine, f"systemctl {it} || true") for it in (
        "is-active salt-master", "is-enabled salt-master", "is-active salt-minion", "is-enabled salt-minion",
    )]  # fmt: skip
    assert states == ["active", "enabled", "inactive", "disabled"]
    assert machine.run("systemctl --failed --no-legend | grep .")[0] == 1
    assert salt_package.version() in ok(machine, "salt-master --version")
    assert ok(machine, "ps -o user= -p $(systemctl show -P MainPID salt-master)") == "salt"
    grains = scene.on_master("salt-call grains.item team hart.provider roles")["local"]
    assert grains == {"team": "ops", "hart.provider": "do", "roles": []}
    assert scene.on_master("salt-call config.get log_level")["local"] == "info"


def test_the_host_key_fingerprints_are_those_of_the_machine(scene: Scene) -> None:
    # cloud-init of Debian 12 makes a DSA key too, which no current client accepts.
    lines = ok(scene.machine, "for file in /etc/ssh/ssh_host_[!d]*_key.pub; do ssh-keygen -lf $file; done").splitlines()
    assert scene.entry["ssh_host_key_fingers"] == [line.split()[1] for line in lines]


def test_nothing_of_the_bootstrap_is_left_except_the_authorized_key(scene: Scene) -> None:
    assert files_with(scene.machine, real_cloud.secrets_of(scene.cloud.user_data()[MASTER])) == []
    assert scene.on_master("salt-call hart.sealed")["local"] is True
    line = KEY.export_public_key().decode().strip()
    assert ok(scene.machine, "cat /root/.ssh/authorized_keys") == line


def test_the_admin_can_log_in_with_that_key(scene: Scene) -> None:
    async def log_in() -> str:
        keys = [asyncssh.import_public_key(line) for line in scene.entry["ssh_host_keys"]]
        async with asyncssh.connect(
            scene.entry["public_ip"], username="root", client_keys=[KEY], config=None, agent_path=None,
            known_hosts=(keys, [], [], [], [], [], []),
        ) as connection:  # fmt: skip
            done = await connection.run("salt-run --out=json hart.version", check=True)
            return str(done.stdout)

    versions = json.loads(asyncio.run(log_in()))["versions"]
    assert versions["runner"].startswith("/opt/saltstack/salt/")


def test_a_hart_salt_that_cannot_be_installed_fails_and_leaves_nothing(scene: Scene) -> None:
    entry = scene.broken.data[BROKEN]
    assert scene.broken.code == 1
    assert "hart-salt could not be installed: salt-pip ended with exit code 1" in entry["error"]
    assert "no-such-package-of-hart" in "\n".join(entry["output"])
    assert scene.cloud.settle(60)
    assert CLOUD.left(scene.cloud) == {"instances": [MASTER]}
    assert scene.backend.hostnames() == [MASTER]


def test_the_new_master_creates_its_own_minion_and_destroy_removes_everything(scene: Scene) -> None:
    # A minion that gets another fingerprint than its master's ends.
    config = json.dumps({"master_finger": scene.entry["master_key_finger"]})
    made = scene.on_master(f"salt-run hart.create_role app minion_config={shlex.quote(config)}")
    ((minion_id, entry),) = made.items()
    assert entry["result"] is True, made
    assert scene.on_master("salt '*' test.ping --static") == {minion_id: True}
    minion = scene.backend.by_name(minion_id)
    assert salt_package.version() in ok(minion, "salt-call --version")
    assert scene.entry["master_key_finger"] in ok(minion, "cat /etc/salt/minion.d/zzz-hart.conf")
    assert scene.on_master(f"salt-run hart.destroy {minion_id}")[minion_id]["result"] is True
    ran = scene.caller.run("hart.destroy", MASTER)
    assert (ran.code, ran.data[MASTER]["result"]) == (0, True), ran
    assert scene.cloud.settle(60)
    assert CLOUD.left(scene.cloud) == {}
    assert scene.backend.hostnames() == []
    assert (scene.cloud.defects, scene.cloud.machines.failures) == ([], [])
