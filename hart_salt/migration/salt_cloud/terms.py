"""
hart's names for salt-cloud's settings: the rules, and the settings that all of salt-cloud's drivers have. Pure.

The facts are from ``salt/cloud/clouds/*.py`` of Salt 3006, and their documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hart_salt.base.merge import merge
from hart_salt.planning import releases

Rule = Callable[[Any], dict[str, Any]]

#: values that set nothing
EMPTY: tuple[Any, ...] = (None, "", [], {})
#: notes that begin with it come first
IMPORTANT = "IMPORTANT: "


@dataclass(frozen=True)
class Driver:
    """One of salt-cloud's drivers: hart's name, its settings, and what Salt takes if none names a region."""

    name: str
    rules: Mapping[str, Rule]
    default_region: str | None = None
    #: removes settings that others overrule
    prepare: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda values: values
    #: completes the settings of a provider or of a role, of which one alone cannot decide; returns notes
    complete: Callable[[dict[str, Any]], list[str]] = lambda found: []


class NoCounterpartError(ValueError):
    """
    A value that cannot be translated; the message is the end of a sentence about it.

    ``found`` holds the parts of it that can.
    """

    def __init__(self, why: str, found: Mapping[str, Any] | None = None) -> None:
        super().__init__(why)
        self.found = dict(found or {})


def same(name: str) -> Rule:
    """Return a rule: the setting ``name`` takes the value unchanged."""
    return lambda value: {name: value}


def nothing(why: str) -> Rule:
    """Return a rule: there is no such setting, because of ``why``. A value that is false asks for nothing."""

    def rule(value: Any) -> dict[str, Any]:
        if value is False:
            return {}
        raise NoCounterpartError(why)

    return rule


def matching(name: str, pattern: str, fault: str) -> Rule:
    """Return a rule: ``name`` takes values that match ``pattern``; ``fault`` says what is wrong with others."""

    def rule(value: Any) -> dict[str, Any]:
        if not re.fullmatch(pattern, str(value)):
            raise NoCounterpartError(fault)
        return {name: str(value)}

    return rule


def names_of(value: Any) -> list[str]:
    """Return a list of texts."""
    return [str(name) for name in value] if isinstance(value, list | tuple) else [str(value)]


def kept_volumes(value: Any) -> dict[str, Any]:
    """Return the settings for a flag that says whether volumes are deleted; keeping them gets a note."""
    if str(value).lower() not in ("false", "no", "0"):
        return {"keep_volumes": False}
    raise NoCounterpartError(KEPT, {"keep_volumes": True})


KEPT = (
    f"{IMPORTANT}the volume was not to be deleted with its machine. keep_volumes: true does that: hart.destroy and "
    "hart.sweep leave the root volume of each node at the provider, where it costs money until you delete it"
)

#: images by what people call them, as hart's code names; older releases are not listed, because hart cannot boot them
_RELEASES = (
    (r"debian[ /-]*(gnu/linux )?(12\b|bookworm)|bookworm", "bookworm"),
    (r"debian[ /-]*(gnu/linux )?(13\b|trixie)|trixie", "trixie"),
    (r"ubuntu[ /-]*(22\.?04|jammy)|22\.04|jammy", "jammy"),
    (r"ubuntu[ /-]*(24\.?04|noble)|24\.04|noble", "noble"),
    (r"ubuntu[ /-]*(26\.?04|resolute)|26\.04|resolute", "resolute"),
)


def old_image(image: Any) -> list[str]:
    """Return a note if an image's name is that of a release that hart cannot boot."""
    if not releases.cannot_boot(str(image)):
        return []
    return ["image: hart cannot boot this release: choose one of hart.list_images, such as trixie"]


def code_name(text: str) -> str | None:
    """Return the code name of the release that an image's name begins with, if hart can boot it."""
    low = text.strip().lower()
    return next((ours for pattern, ours in _RELEASES if re.match(f"({pattern})\\b", low)), None)


#: what the bootstrap of hart sets itself
_OURS = ("id", "local_master")


def _minion(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise NoCounterpartError("it must be a mapping")
    config = {key: item for key, item in value.items() if key not in ("master", *_OURS)}
    found: dict[str, Any] = {"saltmaster": value["master"]} if value.get("master") else {}
    found |= {"minion_config": config} if config else {}
    if gone := [name for name in _OURS if value.get(name)]:
        raise NoCounterpartError(
            f"{join(gone)} of it has no counterpart: hart makes the minion id, and a minion", found
        )
    return found


def _grains(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise NoCounterpartError("it must be a mapping")
    return {"minion_config": {"grains": dict(value)}}


def _start_action(value: Any) -> dict[str, Any]:
    if value is False:
        return {"apply": None}
    if value not in ("state.highstate", "state.apply"):
        raise NoCounterpartError("only state.highstate and state.apply have one, apply; see apply and script")
    return {"apply": "highstate"}


def _deploy(value: Any) -> dict[str, Any]:
    if str(value).lower() in ("false", "no"):
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
    return {"connect_via": "private" if str(value).startswith("private") else "public"}


#: not needed: hart makes the key, delivers the script, waits and connects by itself
UNNEEDED = re.compile(
    "private_key|keyname|ssh_(?!interface).*|ssh_key_file|ssh_key_names?|ssh_keyfile|keysize"
    "|password|sudo|sudo_password|tty|win_.*|use_winrm|winrm_.*|wait_for_.*|display_ssh_output|file_transport"
    "|known_hosts_file|hard_timeout|minimum_supported_.*|profile|name|size_list|rename_on_destroy"
    "|delete_ssh_keys|keep_tmp|deploy_command|query_interval|delete_sshkeys"
    "|use_persistent_disk|image_url|max_instance|min_instance|owner|os"
)
#: settings of the file ``cloud`` that only salt-cloud uses
OWN_AFFAIRS = re.compile(
    "log_.*|pool_size|parallel|cachedir|root_dir|pki_dir|verify_env|update_cachedir|diff_cache_events|enable_hard_maps"
    "|cache_.*|event_.*|master_config|deploy_scripts_search_path|sock_dir|extension_modules|show_deploy_args|delete_.*"
)
_USERDATA = "hart uses the user-data itself; use script to run commands on the node"
_SYNC = (
    "a minion syncs its modules when it applies its states: use apply: highstate, or startup_states in minion_config"
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
    "userdata_file": nothing(_USERDATA),
    "userdata": nothing(_USERDATA),
    "userdata_template": nothing(_USERDATA),
    "inline_script": nothing("move it into a file, and use script"),
    "file_map": nothing("a state or script can put files onto the node"),
    "make_master": nothing("use hart.create_master to create a salt-master"),
    "make_syndic": nothing("hart creates minions and salt-masters"),
    "make_minion": nothing("hart makes a minion of every node"),
    "master": nothing("use hart.create_master to create a salt-master"),
    "sync_after_install": nothing(_SYNC),
    "preseed_minion_keys": nothing("each node makes its own key, which never travels"),
    "requires": nothing("create the required machine first"),
    "volumes": nothing("hart creates the root volume only; states can attach others"),
}


def translate(values: Mapping[str, Any], rules: Mapping[str, Rule]) -> tuple[dict[str, Any], list[str]]:
    """
    Translate settings of salt-cloud to hart's.

    Returns the settings, and a note for each setting or value without a counterpart. No note contains a value.
    """
    found: dict[str, Any] = {}
    notes, unneeded, empty = [], [], []
    for name, value in values.items():
        if value in EMPTY:
            empty.append(name)
        elif name in rules:
            got, note = _applied(name, value, rules[name])
            found = merge(found, got)
            notes += note
        elif UNNEEDED.fullmatch(name):
            unneeded.append(name)
        else:
            notes.append(f"{name} was left out: it has no counterpart in hart")
    if unneeded:
        notes.append(f"not needed in hart: {join(unneeded)}")
    if empty:
        notes.append(f"empty, and so left out: {join(empty)}")
    return found, notes


def _applied(name: str, value: Any, rule: Rule) -> tuple[dict[str, Any], list[str]]:
    """Return the settings that a rule makes of a value, and a note if something of it is lost."""
    try:
        return rule(value), []
    except NoCounterpartError as error:
        if not error.found:
            return {}, [f"{name} was left out: {error}"]
        important = str(error).startswith(IMPORTANT)
        said = str(error).removeprefix(IMPORTANT)
        return error.found, [f"{IMPORTANT if important else ''}{name}: {said}"]
    except (TypeError, ValueError, KeyError, AttributeError):
        return {}, [f"{name} was left out: its value is not understood"]


def join(words: Sequence[str]) -> str:
    """Return words in alphabetical order, with commas."""
    return ", ".join(sorted(words))
