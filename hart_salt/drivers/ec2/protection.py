"""Protection of instances: a tag, which lists show, and EC2's own termination protection, which they do not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hart_salt.base.errors import NotFound
from hart_salt.drivers.ec2 import request
from hart_salt.drivers.tags import PROTECTED, is_protection

if TYPE_CHECKING:
    from hart_salt.drivers.ec2.client import Api


def change(api: Api, region: str, name: str, found: Sequence[Mapping[str, Any]], *, on: bool) -> None:
    """
    Protect an instance, or remove every protection from it.

    ``found`` are EC2's reports of the instance ``name``. A spot instance gets the tag only, because EC2 refuses to
    protect it (cloud-custodian/cloud-custodian#2083). Stop protection goes, too: it also prevents a termination
    (cloud-custodian/cloud-custodian#7597).

    Raises ``NotFound`` if it is to be protected and does not exist.
    """
    there = [facts for facts in found if request.instance(facts, region).state != "gone"]
    if on and not there:
        raise NotFound(f"Amazon EC2 in {region} has no instance {name}")
    for facts in there:
        if on:
            _protect(api, region, name, facts)
        else:
            with suppress(NotFound):
                _unprotect(api, region, name, facts)


def _protect(api: Api, region: str, name: str, facts: Mapping[str, Any]) -> None:
    api.call(region, "create_tags", Resources=[name], Tags=request.as_tags({PROTECTED: "true"}))
    if not _is_spot(facts):
        api.call(region, "modify_instance_attribute", InstanceId=name, DisableApiTermination={"Value": True})


def _unprotect(api: Api, region: str, name: str, facts: Mapping[str, Any]) -> None:
    if not _is_spot(facts):
        api.call(region, "modify_instance_attribute", InstanceId=name, DisableApiTermination={"Value": False})
        # hart never turns it on, because it also keeps people from stopping the instance.
        api.call(region, "modify_instance_attribute", InstanceId=name, DisableApiStop={"Value": False})
    marks = [key for key in request.from_tags(facts.get("Tags")) if is_protection(key)]
    api.call(region, "delete_tags", Resources=[name], Tags=[{"Key": key} for key in marks or [PROTECTED]])


def _is_spot(facts: Mapping[str, Any]) -> bool:
    return facts.get("InstanceLifecycle") == "spot"
