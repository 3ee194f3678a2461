"""
Instances from the create call to the end: real machines behind a cloud's emulated API, and a real master.

By default, the clouds of ``BY_DEFAULT`` boot; ``test_images.py`` boots every cloud, and checks there what its providers
and images differ in.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from saltfactories.manager import FactoriesManager

from tests import scope
from tests.emulation.faults import MachineFault
from tests.end_to_end import real_cloud, tools
from tests.end_to_end.clouds import all_clouds
from tests.end_to_end.conftest import Event, Ran
from tests.end_to_end.real_cloud import BOOTSTRAP_PATHS, RealCloud, apt_steps, behind, files_with, ok
from tests.end_to_end.runs import side_by_side, write_sls
from tests.machines import image, requirements, salt_package
from tests.machines.machines import Machine
from tests.machines.overlay import Overlay
from tests.machines.real import Changes
from tests.machines.variants.base import before_script

_missing = requirements.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=f"no machines can be booted here: {'; '.join(_missing)}")

MINION = "web-1.example"
SNAPSHOT_AT = "do"
SSHD = "mkdir -p /run/sshd; sshd -T"
#: where a machine keeps what that said before its startup script ran
SSHD_BEFORE = "/usr/lib/test-cloud/sshd-before"
#: names of a release and of a package that do not exist
NO_RELEASE = f"{salt_package.version().split('.')[0]}.77"
UPGRADED = {"behind-security": "1.0-1+fix1", "behind-updates": "1.0-1"}
AS_BOOTED = {"behind-security": "1.0-1", "behind-updates": "1.0-1"}


@dataclass
class Created:
    """The instance that several tests check, with the result of the call that created it."""

    machine: Machine
    ran: Ran
    events: list[Event]
    user_data: str
    sshd_before: str


CLOUDS = all_clouds()
#: those for which there is a test of their own below
BY_DEFAULT = tuple(CLOUDS) if scope.whole else ("do", "ec2", "gce", "vultr")
#: In an image that was made of a minion, that minion and the startup script start at the same time. To test what
#: happens to its key, the minion must have submitted it before the script stops it.
SCRIPT_AFTER_MINION = """
mkdir -p /etc/systemd/system/{unit}.d
cat > /etc/systemd/system/{unit}.d/after-minion.conf <<'END'
[Service]
ExecStartPre=-/usr/bin/timeout 30 sh -c \\
    'until journalctl -b -u salt-minion | grep -q "has cached the public key"; do sleep 0.1; done'
END
"""


@pytest.fixture(scope="module")
def clouds(factories: FactoriesManager) -> Iterator[dict[str, RealCloud]]:
    with real_cloud.opened_all(factories, [CLOUDS[name] for name in BY_DEFAULT]) as opened:
        yield opened


@pytest.fixture(scope="module", params=BY_DEFAULT)
def cloud(clouds: dict[str, RealCloud], request: pytest.FixtureRequest) -> Iterator[RealCloud]:
    """Return one of them; the next one finds a master without nodes, also after a failure."""
    cloud = clouds[request.param]
    yield cloud
    if cloud.left():
        cloud.master.run("hart.destroy", *cloud.cloud.left().get("instances", []))
        cloud.master.clear()


def _record_sshd(root: Overlay) -> None:
    before_script(root, "record-sshd", f"#!/bin/sh\n[ -e {SSHD_BEFORE} ] || ({SSHD}) > {SSHD_BEFORE}\n")


@pytest.fixture(scope="module")
def created(cloud: RealCloud) -> Created:
    # Vultr's sshd is complete only when a script of the vendor-data has run, so a second machine shows it.
    bare = cloud.bare() if cloud.kind.sshd_changes else None
    if bare is None:
        cloud.backend.variants[cloud.kind.hostname(MINION)] = Changes(_record_sshd)
    with cloud.master.events() as events:
        ran = cloud.create(MINION)
    assert ran.code == 0, ran
    machine = cloud.machine(MINION)
    machine.wait(cloud.kind.booted)
    before = bare.wait(SSHD).strip() if bare else ok(machine, f"cat {SSHD_BEFORE}")
    if bare:
        bare.kill()
    return Created(machine, ran, events, cloud.user_data(MINION), before)


@pytest.fixture(scope="module")
def refused(cloud: RealCloud, created: Created) -> dict[str, Ran]:
    """Three concurrent calls that fail, and what they downloaded from the repositories."""
    cloud.cloud.faults.add(MachineFault(hostname="impostor", impostor=True))
    commands = {
        "version": cloud.creation("no-version.example", salt_version=f"'{NO_RELEASE}'"),
        "key": cloud.creation("wrong-key.example", salt_repo_key=cloud.master.root / "wrong.asc"),
        "impostor": cloud.creation("impostor.example", boot_timeout=60, keep_failed=True),
    }
    cloud.host.repository.asked.clear()
    return dict(zip(commands, side_by_side(cloud.master, list(commands.values())), strict=True))


def test_a_minion_keeps_its_one_connection(cloud: RealCloud, created: Created) -> None:
    """The master's ports are not Salt's usual ones; a minion that checks those considers its master dead."""
    with cloud.master.events() as events:
        time.sleep(5)
    assert tools.of(events, "salt/auth") == []
    assert len(tools.of(created.events, f"salt/minion/{MINION}/start")) == 1


def test_an_instance_boots_and_becomes_a_minion_that_answers_and_applies_states(
    cloud: RealCloud, created: Created
) -> None:
    entry = created.ran.data[MINION]
    assert entry["result"] is True
    assert cloud.pings(MINION)
    write_sls(cloud.master, "note", "/root/applied: {file.managed: [contents: yes]}\n")
    (states,) = cloud.master.salt(MINION, "state.apply", "note").data.values()
    assert [state["result"] for state in states.values()] == [True]
    assert ok(created.machine, "cat /root/applied")
    assert cloud.master.keys()["minions"] == [MINION]
    assert cloud.master.salt(MINION, "test.version").data == {MINION: salt_package.version()}
    assert (cloud.cloud.defects, cloud.cloud.machines.failures) == ([], [])


def test_afterwards_sshd_is_as_in_the_image_except_for_reported_changes(cloud: RealCloud, created: Created) -> None:
    """Password logins are off even if the image allows them, and the result says so; nothing else differs."""
    entry = created.ran.data[MINION]
    before, after = created.sshd_before.splitlines(), ok(created.machine, SSHD).splitlines()
    changes = cloud.kind.sshd_changes
    assert dict(line.split(None, 1) for line in sorted({*after} - {*before})) == changes
    assert [name for name in changes if f"{name} yes" not in before] == []
    assert len(before) == len(after)
    assert ["SSH logins by password" in note for note in entry["notes"]] == [True] * bool(changes), entry["notes"]
    assert real_cloud.asks_for_password(entry["public_ip"]) is ("passwordauthentication yes" in after)
    shown = real_cloud.host_key_at(entry["public_ip"])
    assert shown.split()[1] in [line.split()[1] for line in entry["ssh_host_keys"]]


def test_nothing_of_the_bootstrap_is_left_on_the_node(created: Created) -> None:
    present = [path for path in BOOTSTRAP_PATHS if created.machine.run(f"test -e {path}")[0] == 0]
    assert present == []
    # cloud-init makes an empty one if the provider has no key, and that stays.
    assert created.machine.run("test -s /root/.ssh/authorized_keys")[0] == 1
    assert "BEGIN OPENSSH PRIVATE KEY" in created.user_data
    assert files_with(created.machine, real_cloud.secrets_of(created.user_data)) == []
    assert ok(created.machine, real_cloud.CLOUD_INITS_COPIES) == ""
    assert created.machine.run("pgrep -f '[t]ail -n|/run/[h]art'")[0] == 1


def test_the_minion_itself_finds_no_leftovers(cloud: RealCloud, created: Created) -> None:
    """The execution module comes from the file server, as on any master."""
    assert cloud.master.salt(MINION, "saltutil.sync_modules").code == 0
    # The minion's process finds new modules a moment later.
    functions = (MINION, "sys.list_functions", "hart")
    tools.until(lambda: cloud.master.salt(*functions).data.get(MINION), "the module is loaded")
    ran = cloud.master.run("hart.check_seal", MINION)
    assert (ran.code, ran.data) == (0, {MINION: {"result": True}}), ran
    # The check works: it finds a bootstrap's key that can log in.
    line = "ssh-ed25519 AAAA hart-0123456789abcd"
    ok(created.machine, f"mkdir -p /root/.ssh && echo '{line}' >> /root/.ssh/authorized_keys")
    found = cloud.master.run("hart.check_seal", MINION)
    ok(created.machine, "sed -i '/ hart-0123456789abcd$/d' /root/.ssh/authorized_keys")
    ok(created.machine, "[ -s /root/.ssh/authorized_keys ] || rm /root/.ssh/authorized_keys")
    assert found.code == 1
    assert "accepts the key of a bootstrap" in found.data[MINION]["error"]


def test_salt_minion_is_enabled_and_was_started_once(created: Created) -> None:
    assert ok(created.machine, "systemctl is-enabled salt-minion") == "enabled"
    assert ok(created.machine, "systemctl is-active salt-minion") == "active"
    assert ok(created.machine, "journalctl -u salt-minion -o cat | grep -c '^Starting salt-minion'") == "1"
    assert created.machine.run("systemctl --failed --no-legend | grep .")[0] == 1


def test_only_security_upgrades_came_before_salt_from_sources_in_stanzas(created: Created) -> None:
    assert behind(created.machine) == UPGRADED
    assert apt_steps(created.machine) == ["upgrade", "install"]


@pytest.mark.on_clouds("do")
def test_a_salt_version_that_the_repository_lacks_fails_with_that_message_and_no_other_is_installed(
    cloud: RealCloud, refused: dict[str, Ran]
) -> None:
    ran = refused["version"]
    entry = ran.data["no-version.example"]
    assert ran.code == 1
    assert "failed in step install" in entry["error"]
    output = "\n".join(entry["output"])
    assert f"salt-minion {NO_RELEASE} is not in the repository {cloud.host.repository_url}, which has:" in output
    assert salt_package.version() in output
    assert [path for path in cloud.host.repository.asked if "salt-" in path and path.endswith(".deb")] == []


@pytest.mark.on_clouds("do")
def test_a_repository_with_another_signature_fails_the_bootstrap(refused: dict[str, Ran]) -> None:
    ran = refused["key"]
    entry = ran.data["wrong-key.example"]
    assert ran.code == 1
    assert "failed in step install" in entry["error"]
    assert "NO_PUBKEY" in "\n".join(entry["output"])


@pytest.mark.on_clouds("do")
def test_another_machine_at_the_address_is_detected_and_never_logged_in_to(
    cloud: RealCloud, refused: dict[str, Ran]
) -> None:
    ran = refused["impostor"]
    assert ran.code == 1
    assert "another machine answers at that address" in ran.data["impostor.example"]["error"]
    machine = cloud.machine("impostor.example")
    # If the account has the temporary key, it is there as on any instance, and a login would succeed.
    knows_key = machine.run("grep -qs ssh-ed25519 /root/.ssh/authorized_keys")[0] == 0
    assert knows_key is cloud.kind.knows_key
    assert machine.run("journalctl -u ssh | grep -E 'Accepted|Failed|Postponed'")[0] == 1
    assert cloud.master.keys()["minions"] == [MINION]
    cloud.destroy("impostor.example")


@pytest.mark.on_clouds("do")
def test_failed_calls_leave_nothing(cloud: RealCloud, refused: dict[str, Ran]) -> None:
    assert cloud.cloud.settle(60)
    assert cloud.left() == {
        "instances": [MINION], "machines": [cloud.kind.hostname(MINION)], "keys": [MINION],
        "records": [f"{MINION}.node"],
    }  # fmt: skip


@pytest.mark.on_clouds("ec2", "gce", "vultr")
def test_after_a_reboot_a_node_is_a_minion_again_and_the_user_data_does_not_run_again(
    cloud: RealCloud, created: Created
) -> None:
    machine = created.machine
    sealed = ok(machine, SSHD)
    cloud.kind.before_reboot(cloud.cloud, MINION)
    machine.stop()
    machine.start()
    machine.wait(cloud.kind.booted)
    machine.wait(cloud.kind.reran)
    tools.until(lambda: cloud.pings(MINION), "the minion answers after the reboot")
    assert [path for path in BOOTSTRAP_PATHS[:3] if machine.run(f"test -e {path}")[0] == 0] == []
    assert ok(machine, SSHD) == sealed
    assert ok(machine, "journalctl -b -u salt-minion -o cat | grep -c '^Starting salt-minion'") == "1"


@pytest.mark.on_clouds("ec2", "gce", "vultr")
def test_after_a_reboot_the_node_is_sealed_and_cloud_init_knows_its_datasource(
    cloud: RealCloud, created: Created
) -> None:
    """Where cloud-init fetches user-data again, its new copies are worthless, and ``hart.sealed`` says so."""
    copies = files_with(created.machine, real_cloud.secrets_of(created.user_data))
    assert bool(copies) is cloud.kind.fetches_again, copies
    ok(created.machine, cloud.kind.restored)
    assert cloud.master.run("hart.check_seal", MINION).data == {MINION: {"result": True}}


@pytest.fixture(scope="module")
def snapshot(cloud: RealCloud, created: Created) -> str:
    """Return an image of the instance, if a test of this cloud needs it; the instance itself is destroyed."""
    image = ""
    if scope.whole or cloud.kind.name == SNAPSHOT_AT:
        ok(created.machine, SCRIPT_AFTER_MINION.format(unit=cloud.kind.script_unit))
        image = str(cloud.cloud.add_snapshot(cloud.host.snapshot(created.machine)))
    cloud.destroy(MINION)
    return image


def test_destroy_removes_everything(cloud: RealCloud, snapshot: str) -> None:
    assert cloud.left() == {}


@pytest.mark.on_clouds(SNAPSHOT_AT)
def test_a_snapshot_with_salt_becomes_a_minion_without_the_repository(
    cloud: RealCloud, created: Created, snapshot: str
) -> None:
    """
    The image was made of one of hart's minions without preparation: it starts as that minion, until the script stops
    it.
    """
    key = created.ran.data[MINION]["minion_key_finger"]
    cloud.host.repository.asked.clear()
    ran = cloud.create("copy.example", image=snapshot, salt_source="none", security_upgrades="off")
    assert ran.code == 0, ran
    assert cloud.pings("copy.example")
    assert ran.data["copy.example"]["minion_key_finger"] != key
    (note,) = ran.data["copy.example"]["notes"]
    assert f"is pending as {MINION}: disable salt-minion in the image" in note
    assert cloud.host.repository.asked == []
    assert cloud.master.keys() == {
        "minions": ["copy.example"], "minions_pre": [MINION], "minions_denied": [], "minions_rejected": [],
    }  # fmt: skip
    assert ok(cloud.machine("copy.example"), "systemctl is-enabled salt-minion") == "enabled"
    cloud.master.delete_key(MINION)  # as the note says
    cloud.destroy("copy.example")
    assert cloud.left() == {}


@pytest.mark.on_clouds("ec2")
def test_of_three_at_once_one_fails_and_the_others_become_minions_and_upgrade_after_that(cloud: RealCloud) -> None:
    cloud.backend.apt_sources = "one-line"
    cloud.cloud.faults.add(MachineFault(hostname="two", fail_at="install"))
    # Without public addresses, as below.
    inside = {"public_ip": False, **cloud.kind.inside(cloud.cloud)}
    ran = cloud.create("one.example,two.example,three.example", security_upgrades="after", **inside)
    assert ran.code == 1
    results = [ran.data[name]["result"] for name in ("one.example", "two.example", "three.example")]
    assert results == [True, False, True], ran
    assert "failed in step install" in ran.data["two.example"]["error"]
    assert "the test cloud fails this step" in "\n".join(ran.data["two.example"]["output"])
    assert cloud.pings("one.example", "three.example")
    assert cloud.cloud.left()["instances"] == ["one.example", "three.example"]
    for name in ("one.example", "three.example"):
        assert behind(cloud.machine(name)) == UPGRADED
        assert apt_steps(cloud.machine(name)) == ["install", "upgrade"]
        _check_is_inside(cloud, ran, name)
    cloud.destroy("one.example", "three.example")
    assert cloud.left() == {}


def _check_is_inside(cloud: RealCloud, ran: Ran, name: str) -> None:
    """Check that hart has connected to a private address, the only one of the machine."""
    entry, machine = ran.data[name], cloud.machine(name)
    assert (entry["public_ip"], entry["private_ip"]) == (None, machine.spec.private_ip)
    assert ok(machine, "ip -4 -oneline address show scope global | awk '{ print $2 }'") == "eth1"


@pytest.mark.on_clouds("vultr")
def test_hart_connects_to_an_instance_without_a_public_address_at_its_private_one(cloud: RealCloud) -> None:
    cloud.backend.apt_sources = "one-line"
    ran = cloud.create("inside.example", public_ip=False, **cloud.kind.inside(cloud.cloud))
    assert ran.code == 0, ran
    machine = cloud.machine("inside.example")
    _check_is_inside(cloud, ran, "inside.example")
    assert cloud.pings("inside.example")
    # Its sources are lines, and the upgrades come before Salt.
    assert (behind(machine), apt_steps(machine)) == (UPGRADED, ["upgrade", "install"])
    cloud.destroy("inside.example")
    assert cloud.left() == {}


@pytest.mark.on_clouds("gce")
def test_debian_13_becomes_a_minion_and_without_upgrades_stays_outdated(cloud: RealCloud) -> None:
    cloud.backend.apt_sources = "deb822"
    image.base("debian-13")  # not within the timeout of a call: its first build takes minutes
    ran = cloud.create("newer.example", image="trixie", security_upgrades="off")
    assert ran.code == 0, ran
    machine = cloud.machine("newer.example")
    assert ok(machine, "cat /etc/debian_version").startswith("13")
    assert cloud.pings("newer.example")
    assert behind(machine) == AS_BOOTED
    assert apt_steps(machine) == ["install"]
    cloud.destroy("newer.example")
    assert cloud.left() == {}
