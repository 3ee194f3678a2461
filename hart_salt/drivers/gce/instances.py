"""What an instance of hart's is at Compute Engine: its name, its labels, the create call's body, and its report."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hart_salt.drivers import limits
from hart_salt.model import Candidate, Instance, Node

NAME_LENGTH = 63
#: of an instance and of network tags
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABELS = 64  #: that an instance may have
TAGS = 64
USER_DATA = 262_144  #: bytes of one value of the metadata

OWN_LABELS = ("hart", "hart-owner", "hart-batch", "hart-role")
#: those of them that an instance has which was taken over
ADOPTED_LABELS = ("hart", "hart-owner", "hart-role")
OWNER, BATCH = "hart-owner", "hart-batch"
#: of the metadata: what runs at each boot, and the role as it is written, which labels cannot hold
SCRIPT, ROLE = "startup-script", "hart-role"
#: of the metadata: the minion id of one that was taken over, where its name and its description say something else
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
#: short names of scopes that are not the end of the address; those of Google's command line and of libcloud
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
#: what a service account gets that is named without scopes: enough for metrics and logs, as hart has it
DEFAULT_SCOPES = ("logging.write", "monitoring.write")


@dataclass(frozen=True)
class Place:
    """What the settings of a node mean in the project: links, as ``projects/…``."""

    image: str
    network: str
    subnet: str
    #: whether the image can be started by UEFI, which a shielded machine takes
    uefi: bool


def name_of(minion_id: str) -> str:
    """
    The instance's name: the parts of the minion id from the end, so that a console sorts by what they mean.

    ``web-1.example.com`` becomes ``hart-com-example-web-1-`` and eight digits of its hash. Two ids never have one
    name: what is changed or cut carries the hash, and so does an id that looks as if it did.
    """
    words = "-".join(reversed(minion_id.lower().replace("_", "-").split(".")))
    name = f"hart-{words}"
    if words == minion_id and len(name) <= NAME_LENGTH and not re.search(r"-[0-9a-f]{8}$", name):
        return name
    digest = hashlib.sha256(minion_id.encode()).hexdigest()[:8]
    return f"{name[: NAME_LENGTH - 9].rstrip('-')}-{digest}"


def names_of(minion_id: str) -> list[str]:
    """
    What an instance may be called that is the machine of a minion: as hart-salt and hart make names of minion ids,
    and, of those that somebody made otherwise, the id itself, or its first label.
    """
    reversed_id = "-".join(reversed(minion_id.split(".")))
    # As hart 0.22 makes it.
    harts = f"hart-{reversed_id[:47]}-{hashlib.sha256(minion_id.encode()).hexdigest()[:6]}"
    names = dict.fromkeys([name_of(minion_id), harts, minion_id, minion_id.partition(".")[0]])
    return [name for name in names if NAME.fullmatch(name)]


def access_name(owner: str, batch: str) -> str:
    """The batch's temporary firewall rule, and the network tag by which it is for this batch's instances only."""
    return f"{access_prefix(owner)}{batch}"


def access_prefix(owner: str) -> str:
    """What those names begin with, of all batches of a master."""
    return f"hart-{owner}-"


def labels(node: Node, owner: str) -> dict[str, str]:
    """Of the instance and of its disks."""
    options: Any = node.options
    return {**options.labels, BATCH: node.batch, **own_labels(node.role, owner)}


def own_labels(role: str | None, owner: str) -> dict[str, str]:
    """Also of one that was taken over. The role in the characters that there are; see ``ROLE``."""
    own = {"hart": "", OWNER: owner}
    return {**own, ROLE: re.sub(r"[^a-z0-9_-]", "_", role.lower())[:63]} if role else own


def body(node: Node, owner: str, user_data: str, place: Place) -> dict[str, Any]:
    """The create call's body, in the API's own names."""
    options: Any = node.options
    scheduling: dict[str, Any] = {"provisioningModel": "STANDARD"}
    if options.spot:
        scheduling = {"provisioningModel": "SPOT", "instanceTerminationAction": "DELETE"}
    return {
        "name": name_of(node.minion_id),
        "description": node.minion_id,
        "machineType": f"zones/{node.zone}/machineTypes/{node.size}",
        "labels": labels(node, owner),
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
    """Keys of the project's metadata let nobody in: who may is the states' business."""
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
    """What can be said against the settings without asking anybody."""
    options: Any = node.options
    tags = node.settings.tags
    found = []
    if isinstance(tags, Mapping):
        found.append("tags are network tags at Compute Engine and have no values: give a list of them, or use labels")
    else:
        found += [
            f"the tag {tag} may hold only lowercase letters, digits and '-' at Compute Engine, and starts with a letter"
            for tag in tags
            if not NAME.fullmatch(tag)
        ]
        found += [f"the tag {tag} is one of hart's own" for tag in tags if tag.startswith(access_prefix(owner))]
    found += [f"the label {label} is one of hart's own" for label in options.labels if label in OWN_LABELS]
    if len(tags) >= TAGS:
        found.append(f"there may be {TAGS - 1} tags at the most beside hart's own")
    if len(options.labels) > LABELS - len(OWN_LABELS):
        found.append(f"there may be {LABELS - len(OWN_LABELS)} labels at the most beside hart's own")
    found += limits.no_private_ipv6(node, "Compute Engine")
    if options.scopes and not options.service_account:
        found.append("scopes are those of a service account: set service_account, or leave scopes out")
    return found


def report(instance: Any) -> Instance:
    """An instance as its list call shows it. Any field may be missing."""
    metadata = {item.key: item.value for item in instance.metadata.items}
    zone = last(instance.zone)
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
    )


def candidate(instance: Any) -> Candidate:
    """An instance that may be anybody's. hart, too, puts the role into a label, in letters that a label can have."""
    found = report(instance)
    role = found.role or instance.labels.get(ROLE) or None
    return Candidate(replace(found, role=role), instance.name, instance.labels.get(OWNER) or None)


def adopted_metadata(instance: Any, minion_id: str | None, role: str | None) -> list[Any]:
    """The metadata of one that is taken over, or, without a minion id, let go; what is not hart's stays."""
    items = [{"key": it.key, "value": it.value} for it in instance.metadata.items if it.key not in (MINION, ROLE)]
    if role:
        items.append({"key": ROLE, "value": role})
    if minion_id and minion_id != (instance.description or instance.name):
        items.append({"key": MINION, "value": minion_id})
    return items


def seconds(text: str) -> float | None:
    """A time of the API in seconds since the epoch."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def last(link: str) -> str:
    """The name at the end of a link."""
    return link.rpartition("/")[2]


def partial(link: str) -> str:
    """A link without its server: ``projects/…``."""
    return link[link.index("projects/") :] if "projects/" in link else link
