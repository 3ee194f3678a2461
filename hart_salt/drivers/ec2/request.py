"""What is sent to EC2 for a node, and what its reports of instances mean: no call is made here."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hart_salt.base.errors import InvalidRequest
from hart_salt.model import Candidate, Instance, Leftover, Node, Size

#: bytes of user-data before it is encoded for the request, which boto3 does (EC2's reference of RunInstances)
USER_DATA_LIMIT = 16384
TAG_LIMIT, KEY_LENGTH, VALUE_LENGTH = 50, 127, 256  #: (EC2's reference of Tag)

OWNER, MINION, ROLE, BATCH = "hart-owner", "hart-minion", "hart-role", "hart-batch"
CREATED = "hart-created"  #: on groups, of which EC2 does not tell it
OWN_TAGS = (OWNER, MINION, ROLE, BATCH, CREATED)
#: what is tagged in the create call; spot requests only where there is one
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
    """What EC2 has for a node: everything that is looked up before the create call."""

    image: str
    #: the name of the image's root volume: with another name there would be a second one
    root_device: str
    burstable: bool
    vpc: str
    subnet: str | None
    #: the groups that the instance keeps
    groups: tuple[str, ...]


def run_instances(
    node: Node, plan: Plan, tags: Mapping[str, str], user_data: bytes, token: str, temporary: str | None
) -> dict[str, Any]:
    """
    Return the parameters of the one create call.

    temporary
        the group that lets the master in, if there is one
    token
        as ``client_token`` makes it: with the same token and the same parameters there is one instance
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
        "TagSpecifications": [{"ResourceType": kind, "Tags": as_tags(tags)} for kind in tagged],
        # Only the instance itself may ask for its metadata, and only with a token.
        "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "BlockDeviceMappings": [{"DeviceName": plan.root_device, "Ebs": _volume(options)}],
        "NetworkInterfaces": [_interface(node, plan, temporary)],
    }
    if plan.burstable:  # the API refuses it for any other size
        request["CreditSpecification"] = {"CpuCredits": options.cpu_credits}
    if options.instance_profile:
        kind = "Arn" if options.instance_profile.startswith("arn:") else "Name"
        request["IamInstanceProfile"] = {kind: options.instance_profile}
    if options.spot:
        spot = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
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
    What names the intended instance: the same for each try of its create call, 64 ASCII characters.

    entry
        tells apart the times that the access of a batch was entered
    """
    return hashlib.sha256("\0".join((owner, batch, entry, minion_id)).encode()).hexdigest()


def payload(script: str) -> bytes:
    """The user-data: the script as it is, or compressed where it is too long, which cloud-init takes as well."""
    plain = script.encode()
    if len(plain) <= USER_DATA_LIMIT:
        return plain
    packed = gzip.compress(plain, mtime=0)  # the same bytes each time
    if len(packed) <= USER_DATA_LIMIT:
        return packed
    raise InvalidRequest(
        f"the bootstrap script has {len(plain)} bytes, {len(packed)} when compressed, and EC2 takes user-data of up "
        f"to {USER_DATA_LIMIT} bytes: salt_repo_key may be too long"
    )


# tags


def tags_of(node: Node, owner: str, batch: str) -> dict[str, str]:
    """All tags of an instance: ``Name``, which consoles show, the user's, and hart's."""
    return {"Name": node.minion_id, **_user_tags(node), BATCH: batch, **own_tags(node.minion_id, node.role, owner)}


def own_tags(minion_id: str, role: str | None, owner: str) -> dict[str, str]:
    """What every instance of hart's has, also one that was taken over."""
    return {OWNER: owner, MINION: minion_id, **({ROLE: role} if role else {})}


def _user_tags(node: Node) -> dict[str, str]:
    """Those of a list have no value here."""
    tags = node.settings.tags
    return dict(tags) if isinstance(tags, Mapping) else dict.fromkeys(tags, "")


def as_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """The API's form of tags."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def from_tags(tags: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    """The same the other way."""
    return {tag["Key"]: tag.get("Value", "") for tag in tags or ()}


def filters(fields: Mapping[str, str]) -> list[dict[str, Any]]:
    """The API's form of filters that all have to hold."""
    return [{"Name": name, "Values": [value]} for name, value in fields.items()]


# rules


def objections(node: Node) -> list[str]:
    """What EC2's rules say against a node, as far as they can be known without a call."""
    options: Any = node.options
    tags = _user_tags(node)
    found = [text for key, value in tags.items() for text in _against_tag(key, value)]
    # ``Name`` and hart's own come on top, except the one that only groups have.
    if len({*tags, "Name", *OWN_TAGS}) - 1 > TAG_LIMIT:
        found.append(f"an instance can have {TAG_LIMIT} tags at EC2, and with hart's own these are more")
    if options.volume_type in ("st1", "sc1"):
        found.append(f"a volume of type {options.volume_type} cannot be a root volume at EC2")
    if options.volume_type in ("io1", "io2") and options.volume_iops is None:
        found.append(f"a volume of type {options.volume_type} needs volume_iops")
    return found


def _against_tag(key: str, value: str) -> list[str]:
    found = []
    if key.lower().startswith("aws:"):
        found.append(f"the tag {key} begins with aws:, which is Amazon's own")
    if key in OWN_TAGS:
        found.append(f"the tag {key} is one of hart's own")
    if len(key) > KEY_LENGTH or len(value) > VALUE_LENGTH:
        found.append(f"the tag {key} is too long: EC2 takes {KEY_LENGTH} characters, and {VALUE_LENGTH} of its value")
    return found


# answers


def instance(facts: Mapping[str, Any], region: str) -> Instance:
    """What a report of an instance says. Every field but the id may be missing."""
    tags = from_tags(facts.get("Tags"))
    state = STATES.get((facts.get("State") or {}).get("Name", ""), "pending")
    reason = facts.get("StateReason") or {}
    return Instance(
        instance_id=facts["InstanceId"],
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
    )


def candidate(facts: Mapping[str, Any], region: str) -> Candidate:
    """A report of an instance that may be anybody's."""
    tags = from_tags(facts.get("Tags"))
    return Candidate(instance(facts, region), tags.get("Name", ""), tags.get(OWNER) or None)


def seconds(moment: Any) -> float | None:
    """A time of an answer since the epoch."""
    return moment.timestamp() if isinstance(moment, datetime) else None


def size(facts: Mapping[str, Any], monthly_price: float | None, offered: bool) -> Size:
    """A size. One of an earlier generation can still be had, and is marked."""
    current = bool(facts.get("CurrentGeneration", True))
    architectures = architectures_of(facts)
    storage = (facts.get("InstanceStorageInfo") or {}).get("TotalSizeInGB")
    remarks = [", ".join(architectures), *([] if current else ["not of the current generation"])]
    return Size(
        name=facts["InstanceType"],
        memory_mb=int((facts.get("MemoryInfo") or {}).get("SizeInMiB", 0)),
        cpus=float((facts.get("VCpuInfo") or {}).get("DefaultVCpus", 0)),
        disk_gb=float(storage) if storage else None,
        monthly_price=monthly_price,
        available=offered,
        description="; ".join(filter(None, remarks)),
    )


def architectures_of(facts: Mapping[str, Any]) -> Sequence[str]:
    """Those of a size, in EC2's words, without the ones that no image of ours is for."""
    named = (facts.get("ProcessorInfo") or {}).get("SupportedArchitectures") or []
    return [name for name in ("x86_64", "arm64") if name in named]


GROUP, VOLUME = "security group", "volume"


def group_left(facts: Mapping[str, Any], region: str) -> Leftover:
    """A temporary group that is still there."""
    tags = from_tags(facts.get("Tags"))
    made = tags.get(CREATED, "")
    created = float(made) if made.isdecimal() else None
    return Leftover(GROUP, facts["GroupName"], facts["GroupId"], tags.get(BATCH, ""), region, created)


def volume_left(facts: Mapping[str, Any], region: str) -> Leftover:
    """A volume that outlived its instance."""
    tags, name = from_tags(facts.get("Tags")), facts["VolumeId"]
    return Leftover(VOLUME, name, name, tags.get(BATCH, ""), region, seconds(facts.get("CreateTime")))
