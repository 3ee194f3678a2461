"""
hart's names for salt-cloud's settings, one table for each of salt-cloud's drivers. Pure.

The facts are from ``salt/cloud/clouds/*.py`` of Salt 3006, and their documentation.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hart_salt.base.merge import merge

Rule = Callable[[Any], dict[str, Any]]


class NoCounterpartError(ValueError):
    """A value that cannot be translated; the message is the end of a sentence about it."""


def same(name: str) -> Rule:
    """Return a rule: the setting ``name`` takes the value unchanged."""
    return lambda value: {name: value}


def nothing(why: str) -> Rule:
    """Return a rule: there is no such setting, because of ``why``."""

    def rule(value: Any) -> dict[str, Any]:
        raise NoCounterpartError(why)

    return rule


def matching(name: str, pattern: str, fault: str) -> Rule:
    """Return a rule: ``name`` takes values that match ``pattern``; ``fault`` says what is wrong with others."""

    def rule(value: Any) -> dict[str, Any]:
        if not re.fullmatch(pattern, str(value)):
            raise NoCounterpartError(fault)
        return {name: str(value)}

    return rule


def _names(value: Any) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else [str(value)]


def _literal(value: Any) -> Any:
    """Return a list or mapping, which gce accepts as text in Python's notation."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        raise NoCounterpartError("it is not a Python literal") from None


def _minion(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise NoCounterpartError("it must be a mapping")
    config = {key: item for key, item in value.items() if key not in ("master", "id", "local_master")}
    found = {"saltmaster": value["master"]} if value.get("master") else {}
    return {**found, **({"minion_config": config} if config else {})}


def _grains(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise NoCounterpartError("it must be a mapping")
    return {"minion_config": {"grains": dict(value)}}


def _start_action(value: Any) -> dict[str, Any]:
    if value not in ("state.highstate", "state.apply"):
        raise NoCounterpartError("only state.highstate and state.apply have one, apply; see apply and script")
    return {"apply": "highstate"}


def _deploy(value: Any) -> dict[str, Any]:
    if value is False:
        raise NoCounterpartError("hart makes a minion of every node")
    return {}


def _script(value: Any) -> dict[str, Any]:
    if str(value).removesuffix(".sh") != "bootstrap-salt":
        raise NoCounterpartError("hart has its own bootstrap; its setting script runs on the node afterwards")
    return {}


def _port(value: Any) -> dict[str, Any]:
    if str(value) != "22":
        raise NoCounterpartError("hart connects to port 22")
    return {}


def _interface(value: Any) -> dict[str, Any]:
    return {"connect_via": "private"} if str(value).startswith("private") else {}


#: not needed: hart makes the key, delivers the script, waits and connects by itself
UNNEEDED = re.compile(
    "private_key|keyname|ssh_(?!interface).*|ssh_key_file|ssh_key_names?|ssh_keyfile|keysize"
    "|password|sudo|sudo_password|tty|win_.*|use_winrm|winrm_.*|wait_for_.*|display_ssh_output|file_transport"
    "|known_hosts_file|hard_timeout|management_host|minimum_supported_.*|profile|size_list|rename_on_destroy"
    "|del_(root|all)_vols?_on_destroy|delete_ssh_keys|keep_tmp|deploy_command|query_interval|delete_sshkeys"
    "|use_persistent_disk|delete_boot_pd|image_url|max_instance|min_instance|owner"
)
#: settings of the file ``cloud`` that only salt-cloud uses
OWN_AFFAIRS = re.compile(
    "log_.*|pool_size|parallel|cachedir|root_dir|pki_dir|verify_env|update_cachedir|diff_cache_events|enable_hard_maps"
    "|cache_.*|event_.*|master_config|deploy_scripts_search_path|sock_dir|extension_modules|show_deploy_args|delete_.*"
)

COMMON: Mapping[str, Rule] = {
    "minion": _minion,
    "grains": _grains,
    "start_action": _start_action,
    "ssh_interface": _interface,
    "deploy": _deploy,
    "script": _script,
    "script_args": nothing("salt_version, salt_repo and salt_source select which Salt is installed, and from where"),
    "ssh_port": _port,
    "ssh_gateway": nothing("the master connects to the node itself; see connect_via, connect_from and public_ip"),
    "size": same("size"),
    "image": same("image"),
    "private_networking": same("private_networking"),
    "userdata_file": nothing("hart uses the user-data itself; use script to run commands on the node"),
    "userdata": nothing("hart uses the user-data itself; use script to run commands on the node"),
    "inline_script": nothing("move it into a file, and use script"),
    "make_master": nothing("use hart.create_master to create a salt-master"),
    "master": nothing("use hart.create_master to create a salt-master"),
    "sync_after_install": nothing("use apply, or startup_states in minion_config"),
    "requires": nothing("create the required machine first"),
}

# DigitalOcean

_CITIES = {
    "new york": "nyc", "san francisco": "sfo", "amsterdam": "ams", "singapore": "sgp", "london": "lon",
    "frankfurt": "fra", "toronto": "tor", "bangalore": "blr", "sydney": "syd", "atlanta": "atl",
}  # fmt: skip
_SLUG = re.compile(r"[a-z0-9][a-z0-9.-]*")


def _do_region(value: Any) -> dict[str, Any]:
    text = str(value).strip().lower()
    city, _, number = text.rpartition(" ")
    if city in _CITIES and number.isdigit():
        return {"region": f"{_CITIES[city]}{number}"}
    if re.fullmatch(r"[a-z]{3}[0-9]", text):
        return {"region": text}
    raise NoCounterpartError("it is not a slug, such as nyc3; see hart.list_regions")


def _slug(name: str, listed: str) -> Rule:
    def rule(value: Any) -> dict[str, Any]:
        if not _SLUG.fullmatch(str(value)):
            raise NoCounterpartError(f"it is not a slug; see hart.list_{listed}")
        return {name: str(value)}

    return rule


DIGITALOCEAN: Mapping[str, Rule] = {
    **COMMON,
    "personal_access_token": same("token"),
    "api_root": same("endpoint"),
    "location": _do_region,
    "size": _slug("size", "sizes"),
    "image": _slug("image", "images"),
    "backups_enabled": same("backups"),
    "ipv6": same("ipv6"),
    "monitoring": same("monitoring"),
    "tags": lambda value: {"tags": _names(value)},
    "create_dns_record": nothing("use a reactor on the event ready"),
    "delete_dns_record": nothing("use a reactor on the event destroyed"),
    "dns_domain": nothing("use a reactor on the event ready"),
    "dns_hostname": nothing("use a reactor on the event ready"),
}

# EC2

#: in place of a key: boto3 finds the machine's own credentials by itself
INSTANCE_ROLE = "use-instance-role-credentials"


def _ec2_key(name: str) -> Rule:
    return lambda value: {} if value == INSTANCE_ROLE else {name: value}


def _ec2_interfaces(value: Any) -> dict[str, Any]:
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], Mapping):
        raise NoCounterpartError("hart supports one interface")
    known = {
        "SubnetId": "subnet", "SecurityGroupId": "security_groups", "AssociatePublicIpAddress": "public_ip",
        "DeviceIndex": "", "DeleteOnTermination": "",
    }  # fmt: skip
    if strange := sorted(set(value[0]) - set(known)):
        raise NoCounterpartError(f"{', '.join(map(str, strange))} has none; its subnet and groups are subnet and "
                                 "security_groups in hart")  # fmt: skip
    found = {known[name]: item for name, item in value[0].items() if known[name]}
    if "security_groups" in found:
        found["security_groups"] = _names(found["security_groups"])
    return found


def _ec2_volumes(value: Any) -> dict[str, Any]:
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], Mapping):
        raise NoCounterpartError("hart supports one volume, the root volume; states can create others")
    known = {"VolumeSize": "volume_size", "VolumeType": "volume_type", "Iops": "volume_iops"}
    parts = {str(key).removeprefix("Ebs."): item for key, item in value[0].items() if key != "Ebs"}
    parts |= value[0].get("Ebs") or {}
    if parts.pop("DeviceName", "/dev/sda1") not in ("/dev/sda1", "/dev/xvda"):
        raise NoCounterpartError("it is not the root volume, which is the only one that hart supports")
    if strange := sorted(set(parts) - {*known, "DeleteOnTermination", "Encrypted"}):
        raise NoCounterpartError(f"{', '.join(map(str, strange))} has none; its size is volume_size in hart")
    return {known[name]: item for name, item in parts.items() if name in known}


EC2: Mapping[str, Rule] = {
    **COMMON,
    "id": _ec2_key("aws_access_key_id"),
    "key": _ec2_key("aws_secret_access_key"),
    "role_arn": nothing("name a profile of the AWS configuration files that has this role, with profile"),
    "location": same("region"),
    "availability_zone": same("zone"),
    "size": matching(
        "size", r"[a-z0-9-]+\.[a-z0-9-]+", "it is not an instance type, such as t3.micro; see hart.list_sizes"
    ),
    "subnetid": same("subnet"),
    "subnetname": nothing("subnet takes its id"),
    "securitygroup": nothing("security_groups takes ids, not names"),
    "securitygroupname": nothing("security_groups takes ids, not names"),
    "securitygroupid": lambda value: {"security_groups": _names(value)},
    "iam_profile": same("instance_profile"),
    "tag": lambda value: {"tags": {str(key): str(item) for key, item in dict(value).items()}},
    "spot_config": lambda value: {"spot": True},
    "network_interfaces": _ec2_interfaces,
    "block_device_mappings": _ec2_volumes,
    "endpoint": nothing("endpoint takes a whole address in hart; set it yourself if it is not a public one"),
    "service_url": nothing("set endpoint if it is not Amazon's own"),
}

# Compute Engine

_FAMILIES = (
    (r"debian-12\b.*", "bookworm"), (r"debian-13\b.*", "trixie"), (r"ubuntu-2204\b.*", "jammy"),
    (r"ubuntu-2404\b.*", "noble"),
)  # fmt: skip


def _gce_zone(value: Any) -> dict[str, Any]:
    zone = str(value)
    if not re.fullmatch(r"[a-z]+-[a-z]+[0-9]+-[a-z]", zone):
        raise NoCounterpartError("it is not a zone, such as europe-west1-b")
    return {"region": zone.rpartition("-")[0], "zone": zone}


def _gce_image(value: Any) -> dict[str, Any]:
    name = str(value)
    return {"image": next((ours for pattern, ours in _FAMILIES if re.fullmatch(pattern, name)), name)}


def _gce_key(value: Any) -> dict[str, Any]:
    return {"key_file": value} if str(value).endswith(".json") else {"key": value}


def _gce_accounts(value: Any) -> dict[str, Any]:
    accounts = _literal(value)
    if not isinstance(accounts, list) or len(accounts) != 1 or not isinstance(accounts[0], Mapping):
        raise NoCounterpartError("hart supports one service account, service_account")
    email = accounts[0].get("email")
    if not email or email == "default":
        raise NoCounterpartError("service_account takes an email address; without one a node has no account")
    return {"service_account": str(email), "scopes": _names(accounts[0].get("scopes") or [])}


def _gce_address(value: Any) -> dict[str, Any]:
    if str(value).lower() == "none":
        return {"public_ip": False}
    if str(value).lower() == "ephemeral":
        return {}
    raise NoCounterpartError("a node gets a new address in hart")


def _gce_labels(value: Any) -> dict[str, Any]:
    labels = _literal(value)
    if not isinstance(labels, Mapping):
        raise NoCounterpartError("it must be a mapping")
    return {"labels": {str(key): str(item) for key, item in labels.items()}}


GCE: Mapping[str, Rule] = {
    **COMMON,
    "project": same("project"),
    "service_account_email_address": same("user_id"),
    "service_account_private_key": _gce_key,
    "location": _gce_zone,
    "image": _gce_image,
    "network": same("network"),
    "subnetwork": lambda value: {"subnet": str(value).rpartition("/")[2]},
    "tags": lambda value: {"tags": _names(_literal(value))},
    "ex_labels": _gce_labels,
    "ex_disk_type": same("volume_type"),
    "ex_service_accounts": _gce_accounts,
    "external_ip": _gce_address,
    "preemptible": same("spot"),
    "metadata": nothing("hart uses the metadata itself; use labels, or grains in minion_config"),
}

# Vultr

#: by name, and by the numbers of Vultr's API v1, which no longer exists
_VULTR_PLACES = {
    "new jersey": "ewr", "chicago": "ord", "dallas": "dfw", "seattle": "sea", "los angeles": "lax", "atlanta": "atl",
    "amsterdam": "ams", "london": "lhr", "frankfurt": "fra", "silicon valley": "sjc", "sydney": "syd",
    "toronto": "yto", "paris": "cdg", "tokyo": "nrt", "seoul": "icn", "miami": "mia", "singapore": "sgp",
    "1": "ewr", "2": "ord", "3": "dfw", "4": "sea", "5": "lax", "6": "atl", "7": "ams", "8": "lhr", "9": "fra",
    "12": "sjc", "19": "syd", "22": "yto", "24": "cdg", "25": "nrt", "34": "icn", "39": "mia", "40": "sgp",
}  # fmt: skip


def _vultr_region(value: Any) -> dict[str, Any]:
    text = str(value).strip().lower()
    if text in _VULTR_PLACES:
        return {"region": _VULTR_PLACES[text]}
    if re.fullmatch(r"[a-z]{3}", text):
        return {"region": text}
    raise NoCounterpartError("it is not a region, such as ams; see hart.list_regions")


VULTR: Mapping[str, Rule] = {
    **COMMON,
    "api_key": same("token"),
    "location": _vultr_region,
    "size": matching(
        "size", r"[a-z]+[a-z0-9]*-[a-z0-9-]+", "the API with plan numbers no longer exists; see hart.list_sizes"
    ),
    "image": matching(
        "image", r"[0-9]+|[0-9a-f-]{36}", "image takes a code name such as trixie, or an id; see hart.list_images"
    ),
    "enable_private_network": same("private_networking"),
    "firewall_group_id": same("firewall_group"),
    "startup_script_id": nothing("use script to run commands on the node"),
}

#: by salt-cloud's name of the driver: hart's name, and its table
DRIVERS: Mapping[str, tuple[str, Mapping[str, Rule]]] = {
    "digitalocean": ("do", DIGITALOCEAN),
    "digital_ocean": ("do", DIGITALOCEAN),
    "do": ("do", DIGITALOCEAN),
    "ec2": ("ec2", EC2),
    "gce": ("gce", GCE),
    "vultr": ("vultr", VULTR),
    "vultrpy": ("vultr", VULTR),
}


def translate(values: Mapping[str, Any], rules: Mapping[str, Rule]) -> tuple[dict[str, Any], list[str]]:
    """
    Translate settings of salt-cloud to hart's.

    Returns the settings, and a note for each setting or value without a counterpart. No note contains a value.
    """
    found: dict[str, Any] = {}
    notes, unneeded = [], []
    for name, value in values.items():
        if value in (None, ""):
            continue  # an empty value sets nothing
        if name in rules:
            try:
                found = merge(found, rules[name](value))
            except NoCounterpartError as error:
                notes.append(f"{name} was left out: {error}")
            except (TypeError, ValueError, KeyError):
                notes.append(f"{name} was left out: its value is not understood")
        elif UNNEEDED.fullmatch(name):
            unneeded.append(name)
        else:
            notes.append(f"{name} was left out: it has no counterpart in hart")
    if unneeded:
        notes.append(f"not needed in hart: {_and(unneeded)}")
    return found, notes


def _and(words: Sequence[str]) -> str:
    return ", ".join(sorted(words))
