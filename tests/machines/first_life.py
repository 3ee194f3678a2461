"""
What a machine has of its first life, planted where it can be found, and the search for it in the machine's files.

Every planted text has ``TOKEN`` in it. Added to these are the texts and bytes that make this machine itself: its names,
its addresses, its keys, its ids.
"""

from __future__ import annotations

import gzip
import os
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from tests.machines.machines import Machine
from tests.machines.test_cloud_machines import ok

#: in every planted text
TOKEN = "first-life-5e1f"  # noqa: S105
MINION_ID = "hart-bake-app-1234abcd"
#: what the test cloud itself gives each machine before it boots, instead of firmware and DHCP
GIVEN = (
    "usr/lib/test-cloud",
    *(f"etc/systemd/network/{name}.network" for name in ("05-eth0", "05-eth1", "60-hc-eth1")),
)
SALT = "opt/saltstack"
#: a text of at least this length of a key's base64 body identifies it
KEY_TEXT = 40

OPERATORS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFHYVyQHSDqW0Bj6Ei7XWfBc8yNnBHQJbyLPCxP2G0u0 operator"
GOOGLES_KEY = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q {TOKEN}"

#: files of the first life beyond what the machine itself has by then: path → text
PLANTED = {
    "/etc/salt/minion_id": MINION_ID,
    "/etc/salt/minion.d/hart.conf": f"# hart 0123456789abcdef\nx: {TOKEN}\n",
    "/etc/salt/pki/minion/master_sign.pub": TOKEN,
    "/var/lib/hart/modules/hart_copy.py": f"# {TOKEN}",
    "/var/cache/salt/minion/pillar/cache.p": TOKEN,
    "/var/cache/salt/minion/extmods/grains/mine.py": f"# {TOKEN}",
    "/var/cache/salt/highstate.cache": TOKEN,
    "/var/log/salt/key": TOKEN,
    "/root/hart-init": f"# {TOKEN}",
    "/root/.bash_history": TOKEN,
    "/root/.python_history": TOKEN,
    "/root/.lesshst": TOKEN,
    "/root/.viminfo": TOKEN,
    "/root/.local/share/nano/search_history": TOKEN,
    "/home/deploy/.bash_history": TOKEN,
    "/home/deploy/.mysql_history": TOKEN,
    "/home/deploy/.wget-hsts": TOKEN,
    "/home/deploy/.gnupg/random_seed": TOKEN,
    "/root/.ssh/authorized_keys2": GOOGLES_KEY.replace("ssh-ed25519", "# Added by Google\nssh-ed25519"),
    "/var/log/syslog": TOKEN,
    "/var/log/auth.log.1": TOKEN,
    "/var/log/app/app.log": TOKEN,
    "/var/log/unattended-upgrades/a.log-20261130": TOKEN,
    "/var/log/wtmp": TOKEN,
    "/var/log/btmp": TOKEN,
    "/var/log/lastlog": TOKEN,
    "/var/lib/wtmpdb/wtmp.db-journal": TOKEN,
    "/var/lib/lastlog/lastlog2.db": TOKEN,
    "/var/lib/dhcp/dhclient.eth0.leases": TOKEN,
    "/var/lib/dhcpcd/eth0.lease": TOKEN,
    "/var/lib/NetworkManager/internal-1-eth0.lease": TOKEN,
    "/var/lib/NetworkManager/secret_key": TOKEN,
    "/etc/udev/rules.d/70-persistent-net.rules": f"# {TOKEN}",
    "/etc/netplan/50-cloud-init.yaml": f"# {TOKEN}",
    "/etc/network/interfaces.d/50-cloud-init": f"# {TOKEN}",
    "/etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection": f"# {TOKEN}",
    "/etc/google_instance_id": TOKEN,
    "/var/lib/amazon/ssm/Vault/Store/RegistrationKey": TOKEN,
    "/var/lib/cloud/seed/nocloud-net/meta-data": TOKEN,
    "/var/tmp/of-a-build": TOKEN,
    "/tmp/of-a-build": TOKEN,
    "/var/lib/systemd/coredump/core.1": TOKEN,
    "/var/crash/core.2": TOKEN,
    "/var/mail/root": TOKEN,
    "/var/spool/postfix/deferred/A/1": TOKEN,
    "/var/lib/apt/lists/mirror_dists": TOKEN,
    "/var/cache/apt/archives/app.deb": TOKEN,
    "/var/lib/apt/periodic/update-stamp": TOKEN,
    "/etc/iscsi/initiatorname.iscsi": "InitiatorName=iqn.1993-08.org.debian:01:5e1f5e1f5e1f\n",
}
#: what the operator's states wrote, which stays as it is: path → text
OPERATORS = {
    "/srv/app/data": "data",
    "/etc/app.conf": "configuration",
    "/etc/cron.d/app": "# a job\n",
    "/etc/salt/grains": "roles: [app]\n",
    "/etc/salt/minion.d/zz-98-own.conf": "startup_states: ''\n",
    "/etc/ssh/sshd_config.d/10-own.conf": "MaxAuthTries 3\n",
    "/etc/systemd/network/60-own.network": "[Match]\nName=eth7\n",
    "/var/lib/cloud/scripts/per-boot/own.sh": "#!/bin/sh\nexit 0\n",
    "/var/lib/app/database": "rows",
    "/home/deploy/notes": "notes",
    "/home/deploy/.bashrc": "alias a=b\n",
    "/home/deploy/.ssh/known_hosts": "[host] key\n",
    "/root/.ssh/config": "# own\n",
    "/root/.profile.own": "own",
    "/usr/local/bin/app": "#!/bin/sh\n",
}
#: writes again whatever it can when it is stopped, as services do that this image does not have
SCRIBE = """\
[Service]
ExecStart=/bin/sleep infinity
ExecStop=/bin/sh -c 'for place in /var/log/syslog /var/log/scribe /var/lib/dhcp/dhclient.leases /var/tmp/scribe \
/var/lib/systemd/random-seed /var/cache/salt/minion/late /var/log/wtmp /root/.bash_history; do \
echo first-life-"5e1f" >> $place; done'
"""
ENTRIES = (
    f"127.0.1.1 {MINION_ID}.example {MINION_ID}\n192.0.2.7 database.example database {MINION_ID}\n192.0.2.8 peer\n"
)


def plant(machine: Machine) -> dict[str, bytes]:
    """Plant tokens and the operator's files in a running minion; return what identifies its first life, by name."""
    ok(machine, "useradd -m -s /bin/sh deploy; mkdir -p /home/deploy/.ssh")
    ok(machine, "".join(_writing(path, text) for path, text in {**PLANTED, **OPERATORS}.items()))
    ok(machine, f"""
        printf '%s\\n' {shlex.quote(OPERATORS_KEY)} >> /root/.ssh/authorized_keys
        cat /root/.ssh/authorized_keys > /home/deploy/.ssh/authorized_keys
        chown -R deploy: /home/deploy; chmod 600 /root/.ssh/* /home/deploy/.ssh/*
        echo {TOKEN} | gzip > /var/log/app/app.log.2.gz
        chown deploy: /var/log/app /var/log/app/app.log
        printf %s {shlex.quote(ENTRIES)} >> /etc/hosts
        rm -f /var/lib/dbus/machine-id; cp /etc/machine-id /var/lib/dbus/machine-id
        printf %s {shlex.quote(SCRIBE)} > /etc/systemd/system/scribe.service
        systemctl daemon-reload
        systemctl start scribe.service
        logger {TOKEN}
        journalctl --flush; journalctl --sync
    """)  # fmt: skip
    return {"token": TOKEN.encode(), "minion id": MINION_ID.encode(), **identity(machine)}


def _writing(path: str, text: str) -> str:
    directory = path.rpartition("/")[0]
    return f"mkdir -p {directory}; printf '%s' {shlex.quote(text)} >> {path}\n"


def identity(machine: Machine) -> dict[str, bytes]:
    """Return what makes the machine itself: as it is now, read from it."""
    assert machine.attachment is not None
    machine_id = ok(machine, "cat /etc/machine-id").strip()
    found = {
        "host name": machine.spec.hostname.encode(),
        "instance id": machine.spec.instance_id.encode(),
        "machine-id": machine_id.encode(),
        "machine-id in bytes": bytes.fromhex(machine_id),
        "random seed": _bytes(machine, "/var/lib/systemd/random-seed")[:64],
    }
    for interface in machine.attachment.interfaces:
        found[f"address of {interface.name}"] = interface.address.encode()
        found[f"hardware address of {interface.name}"] = interface.mac.encode()
    keys = ok(machine, "ls /etc/ssh/ssh_host_*_key* /etc/salt/pki/minion/minion*"
              " /run/hart/host_key").split()  # fmt: skip
    for path in keys:
        found[path] = _key_text(ok(machine, f"cat {path}"))
    found["client key"] = _key_text(ok(machine, "cat /run/hart/authorized_keys"))
    password = ok(machine, "getent shadow root | cut -d : -f 2").strip()
    if password.startswith("$"):
        found["root's password"] = password.encode()
    return {name: value for name, value in found.items() if value}


def _bytes(machine: Machine, path: str) -> bytes:
    code, text = machine.run(f"od -An -v -tx1 {path}")
    return bytes.fromhex("".join(text.split())) if code == 0 else b""


def _key_text(text: str) -> bytes:
    """Return a part of a key that identifies it: the first lines of a private key are those of others too."""
    return str(re.findall(r"[A-Za-z0-9+/]{48,}", text)[-1][-KEY_TEXT:]).encode()


def search(place: Path, wanted: Mapping[str, bytes], left_out: Collection[str] = (*GIVEN, SALT)) -> list[str]:
    """
    Return where something of the first life is in a directory: in a file, also a packed one, in a name, or in a link.

    Each is a sentence. Files that an overlay marks as removed have no content. By default, Salt's own files are left
    out, which are most of the disk.
    """
    return sorted(
        f"{path.relative_to(place)} has the {name}"
        for path in place.rglob("*")
        if not any(path.is_relative_to(place / directory) for directory in left_out)
        for name, value in wanted.items()
        for content in _contents(path)
        if value in content
    )


def _contents(path: Path) -> Iterator[bytes]:
    yield path.name.encode()
    if path.is_symlink():
        yield os.fsencode(path.readlink())
    elif path.is_file():
        data = path.read_bytes()
        yield data
        if data.startswith(b"\x1f\x8b"):
            yield gzip.decompress(data)


def unplanted(machine: Machine) -> list[str]:
    """Return the planted files that a running machine does not have, as their text would be a part of them."""
    return [path for path, text in PLANTED.items() if not _has(machine.place.upper / path.lstrip("/"), text)
            and not path.startswith("/tmp/")]  # fmt: skip


def _has(path: Path, text: str) -> bool:
    try:
        return text in path.read_text(errors="replace")
    except OSError:
        return False


def changed(machine: Machine) -> list[str]:
    """Return the operator's files that are not as they were, in a machine that is off; no token is in these."""
    upper = machine.place.upper
    keys = [path for path in ("root", "home/deploy") if not _has(upper / path / ".ssh/authorized_keys", OPERATORS_KEY)]
    entries = [one for one in ("192.0.2.7 database.example database\n", "192.0.2.8 peer\n")
               if not _has(upper / "etc/hosts", one)]  # fmt: skip
    files = [path for path, text in OPERATORS.items() if not _has(upper / path.lstrip("/"), text)]
    log = (upper / "var/log/app/app.log").stat()
    owner = [] if log.st_uid >= 1000 and not log.st_size else ["the owner of a log"]
    return [*keys, *entries, *files, *owner]
