"""
What a minion knows about its creation, and whether anything temporary of it is left.

This uses the standard library and Salt only: it runs on every minion, whether or not hart-salt is installed there. On
the machine of a salt-master, ``peer_keys`` also works for another master of the same nodes; that needs hart-salt.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what Salt's loader adds
    __grains__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}
    __salt__: dict[str, Any] = {}

__virtualname__ = "hart"

#: what the bootstrap creates and sealing removes, below the minion's root
TEMPORARY = (
    "run/hart", "etc/ssh/sshd_config.d/00-hart.conf", "var/log/hart-bootstrap.log",
    "etc/systemd/system/salt-minion.service.d/zzz-hart.conf", "etc/systemd/system/salt-master.service.d/zzz-hart.conf",
)  # fmt: skip
#: files that may hold a secret, each with the widest mode that it may have
PRIVATE = (
    ("etc/salt/pki/minion/minion.pem", 0o600), ("etc/salt/minion.d/zzz-hart.conf", 0o640),
    ("etc/salt/minion.d/hart.conf", 0o640),  # of a node that hart-salt 1.0.0 created
    ("root/hart-init", 0o700),
)  # fmt: skip
#: where cloud-init keeps the script that it received, and the text that identifies that script
KEPT_SCRIPTS = ("var/lib/cloud", "run/cloud-init")
SCRIPT_MARK = "<<'HART_END'"
LARGEST = 2**20  #: bytes; user-data is smaller at every provider
AUTHORIZED = ("root/.ssh/authorized_keys*", "home/*/.ssh/authorized_keys*")
#: the comment of the key that a call of hart logs in with
CLIENT_KEY = re.compile(r"\shart-[0-9a-f]{12,14}\s*$", re.MULTILINE)
#: the keys of sshd, which a machine makes at its first boot, and the seconds by which its clock may be behind then
HOST_KEYS, CLOCK_BEHIND = "etc/ssh/ssh_host_*_key", 900.0

#: where the clouds with spot instances answer about the instance itself, and the firmware's fields that name the cloud
METADATA, METADATA_PORT = "169.254.169.254", 80
FIRMWARE = Path("/sys/class/dmi/id")
METADATA_TIMEOUT = 2.0  #: seconds to connect, and between two parts of an answer
METADATA_LARGEST = 4096  #: bytes of an answer
#: paths of EC2's instance metadata, and of Compute Engine's
EC2_TOKEN = "/latest/api/token"  # noqa: S105 - where to get one
EC2_NOTICE = "/latest/meta-data/spot/instance-action"
EC2_HINT = "/latest/meta-data/events/recommendations/rebalance"
GCE_PREEMPTED = "/computeMetadata/v1/instance/preempted"
GCE_MAINTENANCE = "/computeMetadata/v1/instance/maintenance-event"
#: seconds that Compute Engine leaves an instance after it preempts it, and before it terminates it for maintenance
PREEMPTION, MAINTENANCE = 30, 60
#: the event that makes the master ask, and the seconds after which it is fired again while there is a notice
WAKE, WAKE_AGAIN = "hart/interruption", 30.0


def __virtual__() -> str:
    return __virtualname__


def info() -> dict[str, Any]:
    """
    Return what hart wrote into this minion's configuration when it created the minion.

    Returns a dictionary with ``roles``, ``provider``, ``region``, ``zone``, ``size``, ``created`` (a time, in UTC) and
    ``version`` (of the hart-salt that created it); a value that hart did not set is None.

    CLI Example:

    .. code-block:: bash

        salt -G roles:app hart.info

    .. versionadded:: 1.0.0
    """
    names = ("provider", "region", "zone", "size", "created", "version")
    found = {name: __grains__.get(f"hart.{name}") for name in names}
    return {"roles": __grains__.get("roles"), **found}


def sealed() -> bool | list[str]:
    """
    Check that this minion has nothing temporary left of its bootstrap.

    The check covers the throw-away host key and its directory, sshd's drop-in, keys that may log in, copies of the
    startup script, sshd's effective settings, files with secrets that other users may read, and host keys that are
    older than the node: other nodes of its image may have the same ones.

    Returns True if nothing is left, otherwise a list with a sentence for each finding.

    CLI Example:

    .. code-block:: bash

        salt -G roles:app hart.sealed

    .. versionadded:: 1.0.0
    """
    root = _root()
    found = [f"{root / name} still exists" for name in TEMPORARY if (root / name).exists()]
    found += _keys(root) + _scripts(root) + _readable(root) + _host_keys(root)
    if root == Path("/"):
        found += _sshd()
    return found or True


def peer_keys(
    work: str,
    keys: dict[str, str] | None = None,
    seconds: float = 60.0,
    until: float | None = None,
    sent: float | None = None,
    **published: Any,
) -> dict[str, Any]:
    """
    Work for another master of the same nodes: show this machine's salt-master, accept or delete keys of nodes there.

    hart calls this on the minions in ``hart:masters``; there is no need to call it yourself. It does nothing on a
    machine without the configuration of a salt-master, and never for another minion. It runs as the salt-master's user.

    work
        ``facts``, ``list``, ``print``, ``accept`` or ``delete``.

    keys
        A text for each minion id: the public key to accept; for ``delete``, the public key or its fingerprint.

    seconds
        How long the work may take; then it is stopped. Default: 60.

    until
        The uptime of this machine in seconds after which the work is not begun, or is stopped. Default: no limit.

    sent
        The uptime of this machine when the request was sent: no key is accepted whose id was deleted since. Default:
        unknown.

    published
        What Salt says about the job; do not set it.

    Returns a dictionary with ``keys``, or with the facts, or with ``error``; then ``late`` is True if the work took too
    long.

    The salt-master's configuration is the file ``master`` beside the minion's own. If it is another one, set its path
    in the minion's configuration, such as ``hart_master_config: /srv/salt/etc/master``.

    CLI Example:

    .. code-block:: bash

        salt m2.example.com hart.peer_keys facts

    .. versionadded:: 1.1.0
    """
    if published.get("__pub_id"):
        return {"error": "a minion asked for this with publish.publish: only a master may"}
    config = Path(str(__opts__.get("hart_master_config") or Path(__opts__["conf_file"]).parent / "master"))
    if not config.is_file():
        return {
            "error": f"this machine has no salt-master: there is no {config}; if its configuration is another file, "
            "set hart_master_config to that path in the configuration of the minion"
        }
    if importlib.util.find_spec("hart_salt") is None:
        return {
            "error": f"hart-salt is not installed in {sys.executable}, the Python of the minion on this machine: "
            "install it there, for example with salt-pip"
        }
    command = [sys.executable, "-m", "hart_salt.master.peer_work", str(config)]
    # In a process of its own, since it becomes the master's user, and Salt's loaders share what they load.
    request = {"work": work, "keys": keys or {}, "until": until, "sent": sent}
    if until is not None:
        seconds = min(seconds, max(0.0, until - time.clock_gettime(time.CLOCK_BOOTTIME)))
    try:
        done = subprocess.run(
            command, input=json.dumps(request), capture_output=True, text=True, check=False, cwd="/", timeout=seconds,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"hart did not finish on this master within {seconds:g} seconds and was stopped", "late": True}
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:]
        return {"error": f"hart failed on this master with exit code {done.returncode}: {' '.join(last)}"}
    return answer


def interruption(wake: bool = False, **published: Any) -> dict[str, Any]:
    """
    Check whether the cloud has announced that it will take this spot instance away.

    On EC2 and Compute Engine, this asks the instance's own metadata service, without a proxy. hart runs it every 5
    seconds on the spot instances that it creates; the master asks for it as well.

    wake
        Fire the event ``hart/interruption`` on the master if there is a notice, and again every 30 seconds while there
        is one. Default: False.

    published
        What Salt says about the job; do not set it.

    Returns a dictionary with ``notice``, which is True if the instance will be interrupted, and ``source``, which is
    ``ec2`` or ``gce``. With a notice, it has ``action`` (``terminate``, ``stop`` or ``hibernate``), and ``time`` (UTC)
    or ``within``, the number of seconds that are left at most. ``rebalance`` is the time at which EC2 said that an
    interruption has become more likely; that is no notice. ``error`` says why the metadata could not be read. On a
    machine of any other kind, only ``notice`` is returned.

    CLI Example:

    .. code-block:: bash

        salt -G roles:app hart.interruption

    .. versionadded:: 2.0.0
    """
    source = _cloud()
    look = {"ec2": _ec2_notice, "gce": _gce_notice}.get(source)
    if look is None:
        return {"notice": False}
    try:
        found = look()
    except (OSError, ValueError, LookupError, TypeError, RecursionError, http.client.HTTPException) as error:
        # The notice is not known to be over: what was fired stays on record.
        return {"notice": False, "source": source, "error": f"the metadata cannot be read: {type(error).__name__}"}
    if wake:
        _wake(found)
    return {**found, "source": source}


def _root() -> Path:
    """
    Return the root of the minion's files: ``/`` on its own machine, the instance's directory for a local instance.
    """
    config = Path(__opts__["conf_file"]).parent
    return config.parent.parent if config.parts[-2:] == ("etc", "salt") else Path("/")


def _keys(root: Path) -> list[str]:
    files = [path for pattern in AUTHORIZED for path in root.glob(pattern)]
    return [f"{path} accepts the key of a bootstrap" for path in files if CLIENT_KEY.search(_text(path))]


def _scripts(root: Path) -> list[str]:
    """Return findings in cloud-init's files. What it writes after sealing, when a boot fetches user-data, is none."""
    config = root / PRIVATE[1][0]
    sealed_at = config.stat().st_mtime_ns if config.exists() else float("inf")
    paths = [path for top in KEPT_SCRIPTS for path in (root / top).rglob("*") if not path.is_symlink()]
    copies = (path for path in paths if path.is_file() and SCRIPT_MARK in _text(path))
    copies = (path for path in copies if path.stat().st_mtime_ns <= sealed_at)
    return [f"{path} is a copy of the startup script" for path in copies]


def _text(path: Path) -> str:
    """Return what is in a file; nothing if it was removed in between or cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(LARGEST).decode(errors="replace")
    except OSError:
        return ""


def _readable(root: Path) -> list[str]:
    most = {root / name: mode for name, mode in PRIVATE if (root / name).exists()}
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in most}
    return [f"{path} may be read by others: its mode is {mode:o}" for path, mode in modes.items() if mode & ~most[path]]


def _host_keys(root: Path) -> list[str]:
    """Return findings in the ages of the host keys; none without the time at which hart created the node."""
    try:
        created = datetime.fromisoformat(str(__grains__.get("hart.created"))).timestamp()
    except ValueError:
        return []
    old = (path for path in root.glob(HOST_KEYS) if path.stat().st_mtime < created - CLOCK_BEHIND)
    return [f"{path} is older than this node: other nodes of its image may have the same key" for path in sorted(old)]


def _sshd() -> list[str]:
    """Return findings in sshd's effective settings, if there is an sshd; only root may query it."""
    sshd = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin")
    if sshd is None or os.geteuid() != 0:
        return []
    shown = subprocess.run([sshd, "-T"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    lines = [line for line in shown.stdout.splitlines() if "/run/hart" in line]
    return [f"sshd's settings in effect have: {line}" for line in lines]


def _cloud() -> str:
    """Return which cloud this machine is an instance of, as far as it has spot instances; empty for any other."""
    if "hart_metadata" in __opts__:
        return str(__opts__["hart_metadata"].get("cloud"))
    vendor, version, product = (_text(FIRMWARE / name) for name in ("sys_vendor", "bios_version", "product_name"))
    if vendor.startswith("Amazon EC2") or "amazon" in version:  # the second is what instances on Xen have
        return "ec2"
    return "gce" if product.startswith("Google Compute Engine") else ""


def _ec2_notice() -> dict[str, Any]:
    """Ask with a token, as version 2 of the service demands; a path without a value is not found."""
    token = _metadata("PUT", EC2_TOKEN, {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    if token is None:
        raise ValueError(EC2_TOKEN)
    header = {"X-aws-ec2-metadata-token": token}
    said, hint = (_metadata("GET", path, header) for path in (EC2_NOTICE, EC2_HINT))
    found: dict[str, Any] = {"notice": said is not None}
    if said is not None:
        notice = json.loads(said)
        found.update(action=str(notice["action"])[:32], time=str(notice["time"])[:32])
    if hint is not None:
        found["rebalance"] = str(json.loads(hint)["noticeTime"])[:32]
    return found


def _gce_notice() -> dict[str, Any]:
    """Ask for the two values that say it. Neither says when, only that it has begun."""
    header = {"Metadata-Flavor": "Google"}
    preempted, maintenance = (_metadata("GET", path, header) for path in (GCE_PREEMPTED, GCE_MAINTENANCE))
    if preempted is None:
        raise ValueError(GCE_PREEMPTED)
    if preempted.strip() == "TRUE":
        return {"notice": True, "action": "terminate", "within": PREEMPTION}
    if (maintenance or "").strip() == "TERMINATE_ON_HOST_MAINTENANCE":
        return {"notice": True, "action": "terminate", "within": MAINTENANCE}
    return {"notice": False}


def _metadata(method: str, path: str, headers: dict[str, str]) -> str | None:
    """Return a value of the metadata service, or None if it has none. Raises OSError or ValueError for any other."""
    place = __opts__.get("hart_metadata") or {}
    address, port = place.get("address", METADATA), place.get("port", METADATA_PORT)
    with contextlib.closing(http.client.HTTPConnection(address, port, timeout=METADATA_TIMEOUT)) as connection:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        text = answer.read(METADATA_LARGEST + 1)
    if answer.status == 404:
        return None
    if answer.status != 200 or len(text) > METADATA_LARGEST:
        raise ValueError(path)
    return text.decode("ascii")


def _wake(found: dict[str, Any]) -> None:
    """Fire the event if the notice is new or was fired some time ago; each check is a process of its own."""
    fired = Path(__opts__["cachedir"]) / "hart-interruption"
    notice = json.dumps({name: found.get(name) for name in ("action", "time", "within")}, sort_keys=True)
    if not found["notice"]:
        with contextlib.suppress(OSError):
            fired.unlink()
    elif not _was_fired(fired, notice) and __salt__["event.send"](WAKE, found):
        with contextlib.suppress(OSError):
            fired.write_text(notice)


def _was_fired(fired: Path, notice: str) -> bool:
    try:
        age = time.time() - fired.stat().st_mtime
    except OSError:
        return False
    return _text(fired) == notice and 0 <= age < WAKE_AGAIN
