"""
The images that people have, each booted at a cloud and made a minion, and compared with what it was before.

By default each image boots at one cloud, and each cloud boots at least one image; ``./test --all`` boots every image at
every cloud. The table of images and clouds is printed when the last one is done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from saltfactories.manager import FactoriesManager

from tests import scope
from tests.end_to_end import real_cloud
from tests.end_to_end.clouds import all_clouds
from tests.end_to_end.real_cloud import RealCloud, files_with, ok
from tests.machines import image, requirements
from tests.machines.machines import Machine
from tests.machines.mirrors import Mirrors
from tests.machines.overlay import Overlay
from tests.machines.real import Changes
from tests.machines.variants import VARIANTS, Around, apt, clock, record, salt, ssh
from tests.parts import print_lines

_missing = requirements.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=f"no machines can be booted here: {'; '.join(_missing)}")
CLOUDS = all_clouds()


@dataclass(frozen=True)
class Image:
    """An image with several variants, all in one machine."""

    name: str
    variants: tuple[str, ...]
    #: where it boots if not every image boots everywhere
    cloud: str
    #: of the node; ``{…}`` is filled in from ``around``
    settings: Mapping[str, str] = field(default_factory=dict)
    minion_id: str = "web-1.example"


LONG, LONG_ID = "hostname of 100 characters", f"{'n' * 63}.{'m' * 36}"
FRESH = {"salt_repo": "{fresh_url}", "salt_repo_key": "{fresh_key}"}
IMAGES = (
    Image("Ubuntu's ssh", ("socket of Ubuntu", "50-cloud-init.conf", "locked root", "noexec /tmp"), "vultr"),
    Image("busy apt", ("socket", "apt's locks"), "gce"),
    Image("old Debian", ("no Include", "forced command", "failing sources"), "hetzner"),
    Image("clock behind", ("clock 10 minutes behind", "proxy"), "ec2", FRESH),
    Image("former Salt", ("minion.conf of another", "former source", "dead source", LONG), "do", minion_id=LONG_ID),
    Image("Salt in it", ("Salt in it", "minion.conf of another"), "do", {"salt_source": "none"}),
)
CASES = [(it, cloud) for it in IMAGES for cloud in CLOUDS if scope.whole or cloud == it.cloud]

#: variant → the notes of its node, in any order
NOTES: Mapping[str, tuple[str, ...]] = {
    "failing sources": tuple(
        f"hart does not need: http://[^ ]*{which} stable:" for which in ("missing", ":1", "unsigned")
    ),
    "former source": tuple(f"kept that file as {path}.disabled" for path in (salt.FORMER_SOURCE, salt.FORMER_PIN)),
    "dead source": (f"kept that file as {salt.DEAD_SOURCE}.disabled",),
}
#: files that a node has changed, at every cloud and by variant; all others must be as the image has them
CHANGED = (
    r"/etc/salt/.+",
    r"/etc/apt/(keyrings/salt-archive-keyring\.asc|preferences\.d/salt-pin|sources\.list\.d/salt\.sources)",
    r"/etc/systemd/system/multi-user\.target\.wants/salt-minion\.service",
)  # fmt: skip
CHANGED_BY: Mapping[str, tuple[str, ...]] = {
    "former source": tuple(rf"{re.escape(path)}(\.disabled)?" for path in (salt.FORMER_SOURCE, salt.FORMER_PIN)),
    "dead source": (rf"{re.escape(salt.DEAD_SOURCE)}(\.disabled)?",),
}
#: what the providers' own programs change while the startup script runs
CHANGED_AT: Mapping[str, tuple[str, ...]] = {
    # The files with the key of the account, which hart removes there.
    "do": (r"/(root|home/debian)/\.ssh/authorized_keys",),
    "hetzner": (r"/root/\.ssh/authorized_keys",),
    # The guest agent makes its groups, with lock files.
    "gce": (r"/etc/(\.pwd\.lock|g(roup|shadow).*|sudoers\.d/google_sudoers|default/instance_configs\.cfg)",),
    # The script of the vendor-data lets sshd listen. hart turns passwords off, if need be by a line.
    "vultr": (r"/etc/ssh/sshd_config(\.d/(60-vultr|00-hart-passwords)\.conf)?",),
}


#: image and cloud → how it went
Outcomes = dict[tuple[str, str], str]


@dataclass
class Booted:
    """An image that became a minion."""

    cloud: RealCloud
    machine: Machine
    entry: Mapping[str, Any]
    mirrors: Mirrors
    #: paths that were requested from the repositories
    asked: list[str]


@pytest.fixture(scope="module")
def clouds(factories: FactoriesManager) -> Iterator[dict[str, RealCloud]]:
    wanted = {cloud for _, cloud in CASES}
    with real_cloud.opened_all(factories, [kind for name, kind in CLOUDS.items() if name in wanted]) as opened:
        yield opened


@pytest.fixture(scope="module")
def mirrors(clouds: dict[str, RealCloud]) -> Iterator[Mirrors]:
    host = next(iter(clouds.values())).host
    opened = Mirrors()
    opened.open(host.address, host.repository.root, host.directory / "mirrors")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def around(clouds: dict[str, RealCloud], mirrors: Mirrors) -> Around:
    """Return what variants need. apt gives up an address that refuses it once, so that one serves nothing else."""
    cloud = next(iter(clouds.values()))
    host = cloud.host
    return Around(
        master=host.address, master_port=cloud.master.config["ret_port"],
        publish_port=cloud.master.config["publish_port"], salt_url=host.repository_url, salt_key=host.repository_key,
        base=image.base("debian-12"), repositories=host.repository.root, missing_url=mirrors.missing,
        unsigned_url=mirrors.unsigned,
        refused_url=f"http://{host.network.public_host}:1", proxy_url=mirrors.url, fresh_url=mirrors.fresh,
        fresh_key=mirrors.fresh_key,
    )  # fmt: skip


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    """Collect the outcomes, and print them as a table at the end."""
    outcomes: Outcomes = {}
    yield outcomes
    width = max(len(it.name) for it in IMAGES)
    lines = [" " * width + "".join(f"  {cloud:8}" for cloud in CLOUDS) + "  variants"]
    for it in IMAGES:
        cells = "".join(f"  {outcomes.get((it.name, cloud), '-'):8}" for cloud in CLOUDS)
        lines.append(f"{it.name:{width}}{cells}  {', '.join(it.variants)}")
    print_lines(request.config, ["", *lines])


@pytest.mark.parametrize(("it", "at"), CASES, ids=[f"{it.name} at {cloud}" for it, cloud in CASES])
def test_an_image_becomes_a_minion_and_stays_as_it_was_otherwise(
    clouds: dict[str, RealCloud],
    around: Around,
    mirrors: Mirrors,
    table: dict[tuple[str, str], str],
    it: Image,
    at: str,
) -> None:
    table[it.name, at] = "FAILED"
    cloud = clouds[at]
    try:
        booted = _boot(cloud, around, mirrors, it)
        _check_minion(booted, it)
        _check_sealed(booted, it)
        for name in it.variants:
            if name in CHECKS:
                CHECKS[name](booted)
        cloud.destroy(it.minion_id)
        assert cloud.left() == {}
    except BaseException:
        _print_journals(cloud)
        raise
    finally:
        _clear(cloud, it.minion_id)
    table[it.name, at] = "ready"


def test_by_default_every_variant_and_every_cloud_are_booted() -> None:
    assert {name for it in IMAGES for name in it.variants} == {*VARIANTS}
    assert {it.cloud for it in IMAGES} == {*CLOUDS}


def _boot(cloud: RealCloud, around: Around, mirrors: Mirrors, it: Image) -> Booted:
    variants = [VARIANTS[name] for name in it.variants]

    def prepare(root: Overlay) -> None:
        for variant in variants:
            variant.prepare(root, around)
        record.prepare(root)

    layers = tuple(layer for variant in variants for layer in variant.layers(around))
    cloud.backend.variants[cloud.kind.hostname(it.minion_id)] = Changes(prepare, layers)
    cloud.host.repository.asked.clear()
    mirrors.forwarded.clear()
    settings = {name: value.format(**vars(around)) for name, value in it.settings.items()}
    ran = cloud.create(it.minion_id, boot_timeout=120, ready_timeout=120, bootstrap_timeout=300, **settings)
    assert ran.code == 0, ran.stdout
    machine = cloud.machine(it.minion_id)
    machine.wait(cloud.kind.booted)
    return Booted(cloud, machine, ran.data[it.minion_id], mirrors, list(cloud.host.repository.asked))


def _print_journals(cloud: RealCloud) -> None:
    """Print what the machines of a failed test say; pytest shows it."""
    for machine in cloud.backend.machines.values():
        print(machine.console()[-2000:])
        print(machine.run("journalctl -b -o cat -u ssh.service -u ssh.socket -u salt-minion")[1][-5000:])
        print(machine.run("cat /var/log/hart-bootstrap.log /run/hart/result.json")[1][-5000:])


def _clear(cloud: RealCloud, node: str) -> None:
    """Remove what a failed test left, for the next one."""
    if cloud.left():
        cloud.master.run("hart.destroy", node)
        for minion_id in {minion_id for ids in cloud.master.keys().values() for minion_id in ids}:
            cloud.master.delete_key(minion_id)


def _check_minion(booted: Booted, it: Image) -> None:
    """Check that the node is ready under its own id, and that its notes say what is not as before."""
    assert booted.entry["result"] is True
    assert booted.cloud.pings(it.minion_id)
    keys = {state: ids for state, ids in booted.cloud.master.keys().items() if ids}
    assert keys == {"minions": [it.minion_id]}
    assert ok(booted.machine, "systemctl is-enabled salt-minion") == "enabled"
    assert ok(booted.machine, "systemctl is-active salt-minion") == "active"
    assert ok(booted.machine, "systemctl --failed --no-legend --plain") == ""
    expected = [words for name in it.variants for words in NOTES.get(name, ())]
    expected += ["SSH logins by password"] * bool(booted.cloud.kind.sshd_changes)
    notes = list(booted.entry.get("notes", []))
    for words in expected:
        found = [note for note in notes if re.search(words, note)]
        assert found, (words, notes)
        notes = [note for note in notes if note not in found]
    assert notes == []


def _check_sealed(booted: Booted, it: Image) -> None:
    """Check that sshd and all files are as in the image, but those of Salt, and that no secret is left."""
    cloud, machine = booted.cloud, booted.machine
    user_data = cloud.user_data(it.minion_id)
    assert [path for path in real_cloud.BOOTSTRAP_PATHS if machine.run(f"test -e {path}")[0] == 0] == []
    assert files_with(machine, real_cloud.secrets_of(user_data)) == []
    assert ok(machine, real_cloud.CLOUD_INITS_COPIES) == ""
    # At Vultr sshd listens on every address only when a script of the vendor-data has run.
    assert {**record.sshd_changed(machine), "listenaddress": ""} == {**cloud.kind.sshd_changes, "listenaddress": ""}
    forced = ssh.FORCED if "forced command" in it.variants else ""
    assert ok(machine, f"cat {ssh.AUTHORIZED_KEYS} 2> /dev/null || true") == forced
    allowed = [*CHANGED, *CHANGED_AT.get(cloud.kind.name, ())]
    allowed += [pattern for name in it.variants for pattern in CHANGED_BY.get(name, ())]
    changed = record.changed(machine)
    assert {path: now for path, now in changed.items() if not re.fullmatch("|".join(allowed), path)} == {}


def _socket(booted: Booted) -> None:
    """sshd still starts at the first connection, and not at boot."""
    assert booted.machine.run("systemctl is-enabled ssh.service")[1].strip() == "disabled"
    assert ok(booted.machine, "systemctl is-active ssh.socket") == "active"
    assert real_cloud.host_key_at(booted.entry["public_ip"])


def _locks(booted: Booted) -> None:
    """Each lock was held when apt wanted it."""
    assert ok(booted.machine, f"cat {apt.SEEN}/held").split() == [*apt.LOCKS]


def _proxy(booted: Booted) -> None:
    assert [url for url in booted.mirrors.forwarded if "/pool/salt-minion" in url]


def _clock(booted: Booted) -> None:
    """The minion sees the earlier time, and has answered."""
    pid = ok(booted.machine, "systemctl show --property=MainPID --value salt-minion")
    assert f"FAKETIME=-{clock.BEHIND}s" in ok(booted.machine, f"tr '\\0' '\\n' < /proc/{pid}/environ")


def _former_configuration(booted: Booted) -> None:
    """The other minion's file is still there, and its grains do not hide the node's role."""
    assert salt.FORMER_CONFIG not in record.changed(booted.machine)
    (roles,) = booted.cloud.master.salt("*", "grains.get", "roles").data.values()
    assert roles == ["app"]


def _in_image(booted: Booted) -> None:
    assert [path for path in booted.asked if "salt" in path] == []


CHECKS: Mapping[str, Callable[[Booted], None]] = {
    "socket": _socket, "socket of Ubuntu": _socket, "apt's locks": _locks, "proxy": _proxy, "Salt in it": _in_image,
    "clock 10 minutes behind": _clock, "minion.conf of another": _former_configuration,
}  # fmt: skip
