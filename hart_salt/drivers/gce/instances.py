"""Instances at Compute Engine: their names, their labels, the body of the create call, and their reports."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hart_salt.base.errors import TemporaryFailure
from hart_salt.drivers import limits
from hart_salt.drivers.tags import DIGEST, ENDS, PROTECTED, digest_in, ends_in, marks
from hart_salt.model import Candidate, Instance, Node

NAME_LENGTH = 63
#: the form of names of instances and of network tags
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABELS = 64  #: labels of an instance at most
TAGS = 64  #: network tags of an instance at most
USER_DATA = 262_144  #: bytes of one metadata value at most

#: for instances and disks of nodes with ``keep_volumes``
KEEP = "hart-keep-volumes"
OWN_LABELS = ("hart", "hart-owner", "hart-batch", "hart-role", KEEP, PROTECTED, DIGEST, ENDS)
#: the labels of an imported instance
ADOPTED_LABELS = ("hart", "hart-owner", "hart-role")
OWNER, BATCH = "hart-owner", "hart-batch"
#: metadata keys: the script that runs at each boot, and the exact role, which a label cannot hold
SCRIPT, ROLE = "startup-script", "hart-role"
#: metadata key: the minion id of an imported instance, if its name and its description differ from it
MINION = "hart-minion"

STATES = {
    "RUNNING": "running",
    "STOPPING": "stopped",
    "STOPPED": "stopped",
    "SUSPENDING": "stopped",
    "SUSPENDED": "stopped",
    "TERMINATED": "stopped",
    "DEPROVISIONING": "stopped",
    "PENDING_STOP": "stopped",
}
#: short names of scopes that are not the end of their address; from Google's command line and libcloud
SCOPES = {
    "compute-ro": "compute.readonly",
    "compute-rw": "compute",
    "logging-write": "logging.write",
    "monitoring-write": "monitoring.write",
    "service-control": "servicecontrol",
    "service-management": "service.management",
    "sql": "sqlservice",
    "sql-admin": "sqlservice.admin",
    "storage-full": "devstorage.full_control",
    "storage-ro": "devstorage.read_only",
    "storage-rw": "devstorage.read_write",
}
SHIELDS = ("enableSecureBoot", "enableVtpm", "enableIntegrityMonitoring")
#: the scopes of a service account without scopes: enough for metrics and logs, as in hart
DEFAULT_SCOPES = ("logging.write", "monitoring.write")


@dataclass(frozen=True)
class Place:
    """The resources that a node's settings name in the project, as links such as ``projects/…``."""

    image: str
    network: str
    subnet: str
    #: whether the image can boot with UEFI, which a shielded VM needs
    uefi: bool


def name_of(minion_id: str) -> str:
    """
    Return the instance's name: the labels of the minion id in reverse order, so that a console sorts by domain.

    ``web-1.example.com`` becomes ``hart-com-example-web-1-`` and eight digits of its hash. Two ids never have the same
    name: a changed or shortened id gets the hash, and so does an id that looks as if it had one.
    """
    words = "-".join(reversed(minion_id.lower().replace("_", "-").split(".")))
    name = f"hart-{words}"
    if words == minion_id and len(name) <= NAME_LENGTH and not re.search(r"-[0-9a-f]{8}$", name):
        return name
    digest = hashlib.sha256(minion_id.encode()).hexdigest()[:8]
    return f"{name[: NAME_LENGTH - 9].rstrip('-')}-{digest}"


def names_of(minion_id: str) -> list[str]:
    """
    Return the names that a minion's instance can have.

    They are the names that hart-salt and hart make from minion ids and, for other instances, the id or its first label.
    """
    reversed_id = "-".join(reversed(minion_id.split(".")))
    # As hart 0.22 makes it.
    harts = f"hart-{reversed_id[:47]}-{hashlib.sha256(minion_id.encode()).hexdigest()[:6]}"
    names = dict.fromkeys([name_of(minion_id), harts, minion_id, minion_id.partition(".")[0]])
    return [name for name in names if NAME.fullmatch(name)]


def access_name(owner: str, batch: str) -> str:
    """Return the name of the batch's temporary firewall rule, and of the network tag that selects its instances."""
    return f"{access_prefix(owner)}{batch}"


def access_prefix(owner: str) -> str:
    """Return the prefix of these names for all batches of a master."""
    return f"hart-{owner}-"


def labels(node: Node, owner: str) -> dict[str, str]:
    """Return the labels of the instance and its disks."""
    options: Any = node.options
    keep = {KEEP: "true"} if options.keep_volumes else {}
    return {**options.labels, BATCH: node.batch, **keep, **own_labels(node.role, owner)}


def own_labels(role: str | None, owner: str) -> dict[str, str]:
    """Return the labels of every instance, including imported ones. The role is reduced to legal characters."""
    own = {"hart": "", OWNER: owner}
    return {**own, ROLE: re.sub(r"[^a-z0-9_-]", "_", role.lower())[:63]} if role else own


def owned_by(owner: str) -> str:
    """Return the filter for resources with a master's label."""
    return f'labels.{OWNER} = "{owner}"'


def is_owned(thing: Any, owner: str) -> bool:
    """Return whether a resource has a master's label, whatever the API filters."""
    return bool(thing.labels.get(OWNER) == owner)


def body(node: Node, owner: str, user_data: str, place: Place) -> dict[str, Any]:
    """Return the body of the create call, in the API's own names."""
    options: Any = node.options
    scheduling: dict[str, Any] = {"provisioningModel": "STANDARD"}
    if options.spot:
        scheduling = {"provisioningModel": "SPOT", "instanceTerminationAction": "DELETE"}
    return {
        "name": name_of(node.minion_id),
        "description": node.minion_id,
        "machineType": f"zones/{node.zone}/machineTypes/{node.size}",
        "labels": {**labels(node, owner), **marks(node)},
        "tags": {"items": list(dict.fromkeys([*node.settings.tags, access_name(owner, node.batch)]))},
        "disks": _disks(node, owner, place),
        "networkInterfaces": [_interface(node, place)],
        "metadata": {"items": _metadata(node, user_data)},
        "serviceAccounts": _service_accounts(options),
        "shieldedInstanceConfig": dict.fromkeys(SHIELDS, place.uefi),
        "scheduling": scheduling,
    }


def _disks(node: Node, owner: str, place: Place) -> list[dict[str, Any]]:
    options: Any = node.options
    boot = {
        "sourceImage": place.image,
        "diskSizeGb": str(options.volume_size),
        "diskType": f"zones/{node.zone}/diskTypes/{options.volume_type}",
        "labels": labels(node, owner),
    }
    if options.volume_iops:
        boot["provisionedIops"] = str(options.volume_iops)
    local = {"diskType": f"zones/{node.zone}/diskTypes/local-ssd"}
    return [
        {"boot": True, "autoDelete": True, "type": "PERSISTENT", "mode": "READ_WRITE", "initializeParams": boot},
        *(
            {"autoDelete": True, "type": "SCRATCH", "interface": "NVME", "initializeParams": local}
            for _ in range(options.local_ssds)
        ),
    ]


def _interface(node: Node, place: Place) -> dict[str, Any]:
    options: Any = node.options
    interface: dict[str, Any] = {
        "network": place.network,
        "subnetwork": place.subnet,
        "stackType": "IPV4_IPV6" if options.ipv6 else "IPV4_ONLY",
    }
    if node.settings.public_ip:
        interface["accessConfigs"] = [{"type": "ONE_TO_ONE_NAT", "name": "External NAT"}]
    if options.ipv6:
        interface["ipv6AccessConfigs"] = [{"type": "DIRECT_IPV6", "name": "external-ipv6", "networkTier": "PREMIUM"}]
    return interface


def _metadata(node: Node, user_data: str) -> list[dict[str, str]]:
    """Return the metadata. SSH keys of the project are blocked: Salt states decide who can log in."""
    options: Any = node.options
    items = {
        SCRIPT: user_data,
        "block-project-ssh-keys": "TRUE",
        "enable-oslogin": "TRUE" if options.enable_oslogin else "FALSE",
        **({ROLE: node.role} if node.role else {}),
    }
    return [{"key": key, "value": value} for key, value in items.items()]


def _service_accounts(options: Any) -> list[dict[str, Any]]:
    if not options.service_account:
        return []
    scopes = [_scope(scope) for scope in options.scopes or DEFAULT_SCOPES]
    return [{"email": options.service_account, "scopes": scopes}]


def _scope(scope: str) -> str:
    return scope if "://" in scope else f"https://www.googleapis.com/auth/{SCOPES.get(scope, scope)}"


def objections(node: Node, owner: str) -> list[str]:
    """Return objections to the settings that need no call."""
    options: Any = node.options
    tags = node.settings.tags
    found = []
    if isinstance(tags, Mapping):
        found.append("tags are network tags at Compute Engine and have no values: set tags to a list, or use labels")
    else:
        found += [
            f"the tag {tag} must start with a letter at Compute Engine; it can have lowercase letters, digits and '-'"
            for tag in tags
            if not NAME.fullmatch(tag)
        ]
        found += [f"the tag {tag} is one of hart's own" for tag in tags if tag.startswith(access_prefix(owner))]
    found += [f"the label {label} is one of hart's own" for label in options.labels if label in OWN_LABELS]
    if len(tags) >= TAGS:
        found.append(f"tags can have at most {TAGS - 1} entries beside hart's own tag")
    most = LABELS - len(OWN_LABELS) + (not node.settings.protect) + len({DIGEST, ENDS} - marks(node).keys())
    if len(options.labels) > most:
        found.append(f"labels can have at most {most} entries beside hart's own labels")
    found += limits.no_private_ipv6(node, "Compute Engine")
    if options.scopes and not options.service_account:
        found.append("scopes need a service account: set service_account, or remove scopes")
    return found


def report(instance: Any) -> Instance:
    """
    Convert a report of a list to an ``Instance``. Every field except the id may be missing.

    Raises ``TemporaryFailure`` if the id is: without the error, the instance would count as gone.
    """
    metadata = {item.key: item.value for item in instance.metadata.items}
    # The instance's own link names the zone too.
    zone = last(instance.zone) or last(instance.self_link.rpartition("/instances/")[0])
    if not instance.id:
        name = instance.name or "without a name"
        raise TemporaryFailure(f"Compute Engine reported the instance {name} without its id", uncertain=True)
    interface = instance.network_interfaces[0] if instance.network_interfaces else None
    public = [access.nat_i_p for access in interface.access_configs] if interface else []
    return Instance(
        instance_id=str(instance.id),
        minion_id=metadata.get(MINION) or instance.description or instance.name,
        state=STATES.get(instance.status, "pending"),
        role=metadata.get(ROLE),
        batch=instance.labels.get(BATCH, ""),
        region=zone.rpartition("-")[0] or None,
        zone=zone or None,
        size=last(instance.machine_type) or None,
        public_ip=next((address for address in public if address), None),
        private_ip=(interface.network_i_p or None) if interface else None,
        created=seconds(instance.creation_timestamp),
        digest=digest_in(instance.labels.get(DIGEST)),
        ends=ends_in(instance.labels.get(ENDS)),
        protected=bool(instance.deletion_protection or PROTECTED in instance.labels),
        spot=instance.scheduling.provisioning_model == "SPOT" or instance.scheduling.preemptible,
    )


def candidate(instance: Any) -> Candidate:
    """Convert a report of an instance with any owner. Like hart-salt, hart puts the role into a label."""
    found = report(instance)
    role = found.role or instance.labels.get(ROLE) or None
    return Candidate(replace(found, role=role), instance.name, instance.labels.get(OWNER) or None)


def adopted_metadata(instance: Any, minion_id: str | None, role: str | None) -> list[Any]:
    """Return the metadata of an imported instance, or of a released one without a minion id. Keep all other keys."""
    items = [{"key": it.key, "value": it.value} for it in instance.metadata.items if it.key not in (MINION, ROLE)]
    if role:
        items.append({"key": ROLE, "value": role})
    if minion_id and minion_id != (instance.description or instance.name):
        items.append({"key": MINION, "value": minion_id})
    return items


def seconds(text: str) -> float | None:
    """Return a time of the API in seconds since the epoch, or None."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def last(link: str) -> str:
    """Return the name at the end of a link."""
    return link.rpartition("/")[2]


def partial(link: str) -> str:
    """Return a link without its server: ``projects/…``."""
    return link[link.index("projects/") :] if "projects/" in link else link
