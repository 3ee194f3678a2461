"""hart's names for the settings of salt-cloud's driver ``ec2``. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hart_salt.migration.salt_cloud.hiding import INSTANCE_ROLE
from hart_salt.migration.salt_cloud.terms import (
    COMMON,
    KEPT,
    Driver,
    NoCounterpartError,
    Rule,
    join,
    kept_volumes,
    matching,
    names_of,
    nothing,
    same,
)

#: the names of root devices that images have
ROOTS = ("/dev/sda1", "/dev/xvda", "/dev/sda", "xvda", "sda1")


def _key(name: str) -> Rule:
    return lambda value: {} if value == INSTANCE_ROLE else {name: value}


def _flag(value: Any) -> bool:
    return str(value).lower() not in ("false", "no", "0", "none")


# network


def _interfaces(value: Any) -> dict[str, Any]:
    """Return the settings of the first interface; hart gives a node one."""
    if not isinstance(value, list) or not all(isinstance(it, Mapping) for it in value):
        raise NoCounterpartError("it must be a list of mappings")
    first = next((it for it in value if str(it.get("DeviceIndex", 0)) == "0"), value[0])
    lost = ["further interfaces"] if len(value) > 1 else []
    known = {"SubnetId": "subnet", "SecurityGroupId": "security_groups", "AssociatePublicIpAddress": "public_ip"}
    known |= {"subnetid": "subnet", "securitygroupid": "security_groups", "Groups": "security_groups"}
    ignored = ("DeviceIndex", "DeleteOnTermination", "delete_interface_on_terminate")
    found: dict[str, Any] = {}
    for name, item in first.items():
        if name in known and item not in (None, ""):
            found[known[name]] = item
        elif name == "PrivateIpAddresses" and _is_usual(item):
            continue  # an address that Amazon chooses, which every instance has
        elif name not in ignored and item not in (None, "", False):
            lost.append(str(name))
    if "security_groups" in found:
        found["security_groups"] = names_of(found["security_groups"])
    if "public_ip" in found:
        found["public_ip"] = _flag(found["public_ip"])
    if lost:
        raise NoCounterpartError(f"{join(lost)} of it has no counterpart", found)
    return found


def _is_usual(addresses: Any) -> bool:
    return isinstance(addresses, list) and all(isinstance(it, Mapping) and set(it) <= {"Primary"} for it in addresses)


# volumes


def _volumes(value: Any) -> dict[str, Any]:
    """Return the settings of the root volume."""
    if not isinstance(value, list) or not all(isinstance(it, Mapping) for it in value):
        raise NoCounterpartError("it must be a list of mappings")
    disks = [_parts(it) for it in value]
    roots = [it for it in disks if str(it.get("DeviceName", ROOTS[0])) in ROOTS]
    others = [str(it.get("DeviceName")) for it in disks if it not in roots[:1]]
    found, lost, kept = _root(roots[0]) if roots else ({}, [], False)
    said = f"{join(lost)} of it has no counterpart. " if lost else ""
    said += f"hart supports the root volume only, not {join(others)}; states can create others. " if others else ""
    if kept:
        # a volume that is kept is more important than what else is lost
        raise NoCounterpartError(f"{KEPT}. {said}".rstrip(". "), found)
    if said:
        raise NoCounterpartError(said.rstrip(". "), found)
    return found


def _parts(mapping: Mapping[str, Any]) -> dict[str, Any]:
    parts = {str(key).removeprefix("Ebs."): item for key, item in mapping.items() if key != "Ebs"}
    inner = mapping.get("Ebs")
    return parts | (dict(inner) if isinstance(inner, Mapping) else {})


def _root(parts: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], bool]:
    """Return the settings of a root volume, the names of what is lost, and whether it is to be kept."""
    known = {"VolumeSize": "volume_size", "VolumeType": "volume_type", "Iops": "volume_iops"}
    found = {known[name]: item for name, item in parts.items() if name in known and item not in (None, "")}
    lost = [name for name in parts if name not in {*known, "DeviceName", "DeleteOnTermination", "Encrypted"}]
    if not _flag(parts.get("Encrypted", True)):
        lost.append("Encrypted: false (hart encrypts every volume)")
    if "DeleteOnTermination" in parts:
        found["keep_volumes"] = not _flag(parts["DeleteOnTermination"])
    return found, lost, bool(found.get("keep_volumes"))


# spot


def _spot(value: Any) -> dict[str, Any]:
    if value is False:
        return {"spot": False}
    parts = value if isinstance(value, Mapping) else {}
    found: dict[str, Any] = {"spot": True}
    if parts.get("spot_price") not in (None, ""):
        found["spot_max_price"] = str(parts["spot_price"])
    if lost := [str(name) for name in parts if name != "spot_price"]:
        raise NoCounterpartError(f"{join(lost)} of it has no counterpart", found)
    return found


def _tags(value: Any) -> dict[str, Any]:
    return {"tags": {str(key): str(item) for key, item in dict(value).items()}}


def _protection(value: Any) -> dict[str, Any]:
    return {"protect": True} if _flag(value) else {}


def _endpoint(value: Any) -> dict[str, Any]:
    """Return the address for the host name that salt-cloud calls by HTTPS; hart finds Amazon's own by the region."""
    if re.search(r"(^|\.)amazonaws\.com(\.cn)?/?$", str(value)):
        return {}
    return {"endpoint": value if "://" in str(value) else f"https://{value}"}


_KEYS = {"aws_access_key_id": "id", "aws_secret_access_key": "key"}


def _complete(found: dict[str, Any]) -> list[str]:
    """Take the region from the zone where none is named, and note half of an access key."""
    zone = str(found.get("zone", ""))
    if "region" not in found and re.fullmatch(r"[a-z]+(-[a-z]+)+-\d[a-z]", zone):
        found["region"] = zone[:-1]
    lacking = [name for name in _KEYS if name not in found]
    return [
        f"{_KEYS[name]} is missing: set {name}, without which hart refuses it"
        for name in lacking[:1] * (len(lacking) == 1)
    ]


def _prepare(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keep the one setting that decides whether the root volume is kept: the most specific one."""
    mappings = values.get("block_device_mappings")
    disks = [_parts(it) for it in mappings if isinstance(it, Mapping)] if isinstance(mappings, list) else []
    roots = [it for it in disks if str(it.get("DeviceName", ROOTS[0])) in ROOTS]
    gone = ["del_all_vols_on_destroy"] if values.get("del_root_vol_on_destroy") not in (None, "") else []
    if any("DeleteOnTermination" in it for it in roots[:1]):
        gone = ["del_all_vols_on_destroy", "del_root_vol_on_destroy"]
    return {name: value for name, value in values.items() if name not in gone}


_BY_ID = "security_groups takes ids, not names"
RULES: Mapping[str, Rule] = {
    **COMMON,
    "id": _key("aws_access_key_id"),
    "key": _key("aws_secret_access_key"),
    "role_arn": nothing("name a profile of the AWS configuration files that has this role, with profile"),
    "location": same("region"),
    "availability_zone": same("zone"),
    "size": matching(
        "size", r"[a-z0-9-]+\.[a-z0-9-]+", "it is not an instance type, such as t3.micro; see hart.list_sizes"
    ),
    "subnetid": same("subnet"),
    "subnetname": nothing("subnet takes its id"),
    "securitygroup": nothing(_BY_ID),
    "securitygroupname": nothing(_BY_ID),
    "securitygroupid": lambda value: {"security_groups": names_of(value)},
    "iam_profile": same("instance_profile"),
    "tag": _tags,
    "spot_config": _spot,
    "network_interfaces": _interfaces,
    "del_all_vols_on_destroy": kept_volumes,
    "del_root_vol_on_destroy": kept_volumes,
    "block_device_mappings": _volumes,
    "termination_protection": _protection,
    "ebs_optimized": nothing("current sizes are optimized for EBS by default"),
    "allocate_new_eip": nothing("an Elastic IP can be associated without hart"),
    "allocate_new_eips": nothing("an Elastic IP can be associated without hart"),
    "associate_eip": nothing("an Elastic IP can be associated without hart"),
    "endpoint": _endpoint,
    "service_url": nothing("set endpoint if it is not Amazon's own"),
}
DRIVER = Driver("ec2", RULES, "us-east-1", _prepare, _complete)
