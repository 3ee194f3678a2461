"""The requests to EC2 for a node, and the meaning of its answers. This module makes no call."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hart_salt.base.errors import InvalidRequest, TemporaryFailure
from hart_salt.drivers.catalog import number, required
from hart_salt.drivers.tags import DIGEST, ENDS, PROTECTED, digest_in, ends_in, is_protection, marks
from hart_salt.model import Candidate, Instance, Leftover, Node, Size

#: bytes of user-data before boto3 encodes it (EC2's reference of RunInstances)
USER_DATA_LIMIT = 16384
TAG_LIMIT, KEY_LENGTH, VALUE_LENGTH = 50, 127, 256  #: (EC2's reference of Tag)

OWNER, MINION, ROLE, BATCH = "hart-owner", "hart-minion", "hart-role", "hart-batch"
CREATED = "hart-created"  #: for groups: EC2 does not report their creation time
KEEP = "hart-keep-volumes"  #: for instances and volumes of nodes with ``keep_volumes``
OWN_TAGS = (OWNER, MINION, ROLE, BATCH, CREATED, KEEP, PROTECTED, DIGEST, ENDS)
#: the resources that get tags in the create call; for a spot instance, the spot request too
TAGGED = ("instance", "volume", "network-interface")

STATES = {
    "pending": "pending",
    "running": "running",
    "stopping": "stopped",
    "stopped": "stopped",
    "shutting-down": "gone",
    "terminated": "gone",
}


@dataclass(frozen=True)
class Plan:
    """The results of all lookups for a node before the create call."""

    image: str
    #: the device name of the image's root volume: with another name there would be a second volume
    root_device: str
    burstable: bool
    vpc: str
    subnet: str | None
    #: ids of the groups that the instance keeps
    groups: tuple[str, ...]


def run_instances(
    node: Node, plan: Plan, tags: Mapping[str, str], user_data: bytes, token: str, temporary: str | None
) -> dict[str, Any]:
    """
    Return the parameters of the one create call.

    temporary
        id of the group that lets the master in, if there is one
    token
        the result of ``client_token``: the same token with the same parameters makes one instance
    """
    options: Any = node.options
    tagged = [*TAGGED, "spot-instances-request"] if options.spot else list(TAGGED)
    request: dict[str, Any] = {
        "ClientToken": token,
        "ImageId": plan.image,
        "InstanceType": node.size,
        "MinCount": 1,
        "MaxCount": 1,
        "UserData": user_data,
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": as_tags({**tags, **marks(node)} if kind == "instance" else tags)}
            for kind in tagged
        ],
        # Only the instance itself can read its metadata, and only with a token.
        "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "BlockDeviceMappings": [{"DeviceName": plan.root_device, "Ebs": _volume(options)}],
        "NetworkInterfaces": [_interface(node, plan, temporary)],
    }
    if plan.burstable:  # the API refuses it for other sizes
        request["CreditSpecification"] = {"CpuCredits": options.cpu_credits}
    if options.instance_profile:
        kind = "Arn" if options.instance_profile.startswith("arn:") else "Name"
        request["IamInstanceProfile"] = {kind: options.instance_profile}
    if options.spot:
        spot = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        if options.spot_max_price:
            spot["MaxPrice"] = options.spot_max_price
        request["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": spot}
    return request


def _volume(options: Any) -> dict[str, Any]:
    volume = {"VolumeType": options.volume_type, "Encrypted": True, "DeleteOnTermination": True}
    optional = {"VolumeSize": options.volume_size, "Iops": options.volume_iops}
    return {**volume, **{name: value for name, value in optional.items() if value is not None}}


def _interface(node: Node, plan: Plan, temporary: str | None) -> dict[str, Any]:
    options: Any = node.options
    interface: dict[str, Any] = {
        "DeviceIndex": 0,
        "Groups": [*plan.groups, *([temporary] if temporary else [])],
        "AssociatePublicIpAddress": node.settings.public_ip,
        "DeleteOnTermination": True,
    }
    if plan.subnet:
        interface["SubnetId"] = plan.subnet
    if options.ipv6:
        interface["Ipv6AddressCount"] = 1
    return interface


def client_token(owner: str, batch: str, entry: str, minion_id: str) -> str:
    """
    Return the idempotency token of an instance: 64 ASCII characters, the same for each attempt of its create call.

    entry
        differs each time that the access of a batch is entered
    """
    return hashlib.sha256("\0".join((owner, batch, entry, minion_id)).encode()).hexdigest()


def payload(script: str) -> bytes:
    """
    Return the user-data: the script, compressed if it is too long, which cloud-init accepts.

    Raises ``InvalidRequest`` if it is still too long.
    """
    plain = script.encode()
    if len(plain) <= USER_DATA_LIMIT:
        return plain
    packed = gzip.compress(plain, mtime=0)  # deterministic
    if len(packed) <= USER_DATA_LIMIT:
        return packed
    raise InvalidRequest(
        f"the bootstrap script has {len(plain)} bytes, {len(packed)} when compressed, but EC2 accepts at most "
        f"{USER_DATA_LIMIT} bytes of user-data: salt_repo_key may be too long"
    )


# tags


def tags_of(node: Node, owner: str, batch: str) -> dict[str, str]:
    """Return all tags of an instance: ``Name``, which consoles show, the user's and hart's."""
    options: Any = node.options
    keep = {KEEP: "true"} if options.keep_volumes else {}
    own = own_tags(node.minion_id, node.role, owner)
    return {"Name": node.minion_id, **_user_tags(node), BATCH: batch, **keep, **own}


def own_tags(minion_id: str, role: str | None, owner: str) -> dict[str, str]:
    """Return the tags of every instance of hart, including imported ones."""
    return {OWNER: owner, MINION: minion_id, **({ROLE: role} if role else {})}


def _user_tags(node: Node) -> dict[str, str]:
    """Return the user's tags; tags of a list get an empty value."""
    tags = node.settings.tags
    return dict(tags) if isinstance(tags, Mapping) else dict.fromkeys(tags, "")


def as_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags in the API's form."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def from_tags(tags: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    """Return tags of the API as a dict."""
    return {tag["Key"]: tag.get("Value") or "" for tag in tags or () if tag.get("Key")}


def is_owned(facts: Mapping[str, Any], owner: str) -> bool:
    """Return whether a report has the tag of a master."""
    return from_tags(facts.get("Tags")).get(OWNER) == owner


def filters(fields: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return filters in the API's form; all of them must match."""
    return [{"Name": name, "Values": [value]} for name, value in fields.items()]


# rules


def objections(node: Node) -> list[str]:
    """Return objections of EC2's rules to a node that need no call."""
    options: Any = node.options
    tags = _user_tags(node)
    found = [text for key, value in tags.items() for text in against_tag(key, value)]
    # ``Name`` and hart's own tags count too, except those that the instance does not have.
    absent = {CREATED, *(() if options.keep_volumes else (KEEP,)), *(() if node.settings.protect else (PROTECTED,))}
    absent |= {DIGEST, ENDS} - marks(node).keys()
    if len({*tags, "Name", *OWN_TAGS} - absent) > TAG_LIMIT:
        found.append(f"an instance can have {TAG_LIMIT} tags at EC2, including hart's own; remove some of tags")
    if options.volume_type in ("st1", "sc1"):
        found.append(f"a volume of type {options.volume_type} cannot be a root volume at EC2: change volume_type")
    if options.volume_type in ("io1", "io2") and options.volume_iops is None:
        found.append(f"a volume of type {options.volume_type} needs volume_iops")
    return found


def against_tag(key: str, value: str) -> list[str]:
    """Return objections to one of the user's tags."""
    found = []
    if key.lower().startswith("aws:"):
        found.append(f"the tag {key} begins with aws:, which is reserved for Amazon")
    if key in OWN_TAGS:
        found.append(f"the tag {key} is one of hart's own")
    if len(key) > KEY_LENGTH or len(value) > VALUE_LENGTH:
        found.append(
            f"the tag {key} is too long: EC2 accepts {KEY_LENGTH} characters, and {VALUE_LENGTH} for its value"
        )
    return found


# answers


def instance(facts: Mapping[str, Any], region: str) -> Instance:
    """
    Convert a report to an ``Instance``. Every field except the id may be missing.

    Raises ``TemporaryFailure`` like ``id_of``.
    """
    tags = from_tags(facts.get("Tags"))
    state = STATES.get((facts.get("State") or {}).get("Name") or "", "pending")
    reason = facts.get("StateReason") or {}
    return Instance(
        instance_id=id_of(facts, region),
        minion_id=tags.get(MINION, ""),
        state=state,
        role=tags.get(ROLE),
        batch=tags.get(BATCH, ""),
        region=region,
        zone=(facts.get("Placement") or {}).get("AvailabilityZone"),
        size=facts.get("InstanceType"),
        public_ip=facts.get("PublicIpAddress") or None,
        private_ip=facts.get("PrivateIpAddress") or None,
        created=seconds(facts.get("LaunchTime")),
        problem=str(reason.get("Message") or reason.get("Code") or "") if state == "gone" else "",
        digest=digest_in(tags.get(DIGEST)),
        ends=ends_in(tags.get(ENDS)),
        protected=any(map(is_protection, tags)),
        spot=facts.get("InstanceLifecycle") == "spot",
    )


def id_of(facts: Mapping[str, Any], region: str) -> str:
    """
    Return the id of an instance.

    Raises ``TemporaryFailure`` if it is missing: without the error, the instance would count as gone.
    """
    if not facts.get("InstanceId"):
        raise TemporaryFailure(f"Amazon EC2 in {region} reported an instance without an id", uncertain=True)
    return str(facts["InstanceId"])


def candidate(facts: Mapping[str, Any], region: str) -> Candidate:
    """Convert a report of an instance with any owner to a ``Candidate``."""
    tags = from_tags(facts.get("Tags"))
    return Candidate(instance(facts, region), tags.get("Name", ""), tags.get(OWNER) or None)


def seconds(moment: Any) -> float | None:
    """Return a time of an answer in seconds since the epoch, or None."""
    return moment.timestamp() if isinstance(moment, datetime) else None


def size(facts: Mapping[str, Any], monthly_price: float | None, offered: bool) -> Size:
    """
    Convert a report to a ``Size``. Sizes of earlier generations are still available, and are marked.

    Raises one of ``catalog.ODD`` if the name, the memory or the CPUs are missing.
    """
    current = facts.get("CurrentGeneration") is not False
    architectures = architectures_of(facts)
    remarks = [", ".join(architectures), *([] if current else ["not of the current generation"])]
    return Size(
        name=required(facts, "InstanceType"),
        memory_mb=int(required(required(facts, "MemoryInfo"), "SizeInMiB")),
        cpus=float(required(required(facts, "VCpuInfo"), "DefaultVCpus")),
        disk_gb=number((facts.get("InstanceStorageInfo") or {}).get("TotalSizeInGB")) or None,
        monthly_price=monthly_price,
        available=offered,
        description="; ".join(filter(None, remarks)),
        arch={"x86_64": "amd64", "arm64": "arm64"}.get(architectures[0], "") if architectures else "",
    )


def architectures_of(facts: Mapping[str, Any]) -> Sequence[str]:
    """Return the architectures of a size, in EC2's names, for which hart has images."""
    named = (facts.get("ProcessorInfo") or {}).get("SupportedArchitectures") or []
    return [name for name in ("x86_64", "arm64") if name in named]


GROUP, VOLUME = "security group", "volume"


def group_left(facts: Mapping[str, Any], region: str) -> Leftover:
    """Convert a report of a temporary group to a ``Leftover``."""
    tags = from_tags(facts.get("Tags"))
    made = tags.get(CREATED, "")
    created = float(made) if made.isdecimal() else None
    return Leftover(GROUP, facts["GroupName"], facts["GroupId"], tags.get(BATCH, ""), region, created)


def volume_left(facts: Mapping[str, Any], region: str) -> Leftover:
    """Convert a report of a volume without an instance to a ``Leftover``."""
    tags, name = from_tags(facts.get("Tags")), facts["VolumeId"]
    created, keep = seconds(facts.get("CreateTime")), KEEP in tags
    return Leftover(VOLUME, name, name, tags.get(BATCH, ""), region, created, keep)


# the volumes of images


def disk_of(image: Mapping[str, Any]) -> float | None:
    """Return the size of an image's root volume in GiB, or None if it is not known."""
    root, mappings = image.get("RootDeviceName"), image.get("BlockDeviceMappings") or ()
    sizes = (number((it.get("Ebs") or {}).get("VolumeSize")) for it in mappings if it.get("DeviceName") == root)
    return next(sizes, None)


def snapshots_of(image: Mapping[str, Any]) -> list[str]:
    """Return the ids of an image's snapshots; a pending image may not have them yet."""
    volumes = [it.get("Ebs") or {} for it in image.get("BlockDeviceMappings") or ()]
    return [str(ebs["SnapshotId"]) for ebs in volumes if ebs.get("SnapshotId")]


# volumes that stay


def must_keep_volumes(facts: Mapping[str, Any]) -> bool:
    """Return whether the instance is that of a node with ``keep_volumes``."""
    return KEEP in from_tags(facts.get("Tags"))


def volumes_of(facts: Mapping[str, Any], *, going: bool) -> dict[str, str]:
    """Return an instance's volumes by device: those that are deleted with it (``going``), or those that stay."""
    volumes = {it.get("DeviceName", ""): it.get("Ebs") or {} for it in facts.get("BlockDeviceMappings") or ()}
    known = {device: ebs for device, ebs in volumes.items() if ebs.get("VolumeId")}
    return {device: ebs["VolumeId"] for device, ebs in known.items() if bool(ebs.get("DeleteOnTermination")) == going}
