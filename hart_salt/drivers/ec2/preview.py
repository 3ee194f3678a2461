"""
What Amazon reports about a node before anything is created: permissions, by calls with ``DryRun``, and the vCPU quota.

With ``DryRun`` a permitted call is refused with the code ``DryRunOperation`` and changes nothing (EC2's reference).
Another server with this API can ignore ``DryRun`` and make the change, so only Amazon's own hosts get such calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from hart_salt.base.errors import AuthError, DriverError, InvalidRequest
from hart_salt.drivers.ec2 import request
from hart_salt.drivers.ec2.client import Api, code_of
from hart_salt.drivers.ec2.lookup import Lookup
from hart_salt.model import OK, PROBLEM, UNKNOWN, Check, Node

PERMITTED = "DryRunOperation"
#: the domains of Amazon's API (botocore's endpoints.json and partitions.json)
AMAZON = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws", ".api.amazonwebservices.com.cn")
#: the quota "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", in vCPUs, and its families
STANDARD_QUOTA, STANDARD = "L-1216C47A", frozenset("acdhimrtz")
#: states in which an instance counts
RUNNING = ("pending", "running")


@dataclass(frozen=True)
class Preview:
    """The checks of one account for one node."""

    api: Api
    lookup: Lookup
    owner: str

    def rights(self, node: Node) -> Check:
        """Ask for each permission that can be asked for with what the account has."""
        host = urlsplit(self.api.address(node.region)).hostname or ""
        if not host.endswith(AMAZON):
            said = f"hart does not ask {host} for permissions: a server that is not Amazon's can ignore DryRun"
            return Check("rights", UNKNOWN, said)
        asked = {call: self._asked(node.region, call, given) for call, given in self._calls(node).items()}
        lacking = [said for result, said in asked.values() if result == PROBLEM]
        if lacking:
            return Check("rights", AuthError.__name__, "; ".join(lacking))
        permitted = [call for call, (result, _) in asked.items() if result == OK]
        unclear = [f"{call} ({said})" for call, (result, said) in asked.items() if result == UNKNOWN]
        said = f"Amazon permits {', '.join(permitted) or 'nothing'}"
        if unclear:
            return Check("rights", UNKNOWN, f"{said}; it does not say whether it permits {', '.join(unclear)}")
        return Check("rights", OK, said)

    def _calls(self, node: Node) -> Mapping[str, Mapping[str, Any]]:
        """Return the calls that create and remove a node; they name only what exists."""
        plan = self.lookup.plan(node)
        tags = request.tags_of(node, self.owner, node.batch)
        token = request.client_token(self.owner, node.batch, "preview", node.minion_id)
        group = plan.groups[0] if plan.groups else ""
        rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "192.0.2.1/32"}]}
        tagged = [{"ResourceType": "security-group", "Tags": request.as_tags(tags)}]
        calls: dict[str, Mapping[str, Any]] = {
            "run_instances": request.run_instances(node, plan, tags, b"#!/bin/sh\n", token, None),
            "create_security_group": {
                "GroupName": f"hart-{self.owner}-preview", "Description": "hart", "VpcId": plan.vpc,
                "TagSpecifications": tagged,
            },
        }  # fmt: skip
        if group:
            calls["authorize_security_group_ingress"] = {"GroupId": group, "IpPermissions": [rule]}
            calls["delete_security_group"] = {"GroupId": group}
        if own := self._own(node.region):
            calls["terminate_instances"] = {"InstanceIds": [own]}
        return calls

    def _own(self, region: str) -> str:
        """Return the id of one of hart's instances, or an empty text."""
        filters = request.filters({f"tag:{request.OWNER}": self.owner, "instance-state-name": "running"})
        listed = self.api.listed(region, "describe_instances", "Reservations", Filters=filters)
        found = [facts["InstanceId"] for one in listed for facts in one.get("Instances", [])]
        return str(found[0]) if found else ""

    def _asked(self, region: str, call: str, given: Mapping[str, Any]) -> tuple[str, str]:
        """Return ``OK``, ``PROBLEM`` or ``UNKNOWN``, and a sentence."""
        try:
            self.api.call(region, call, **given, DryRun=True)
        except AuthError as error:
            return PROBLEM, str(error)
        except InvalidRequest as error:
            return (OK, "") if code_of(error) == PERMITTED else (UNKNOWN, str(error))
        except DriverError as error:
            return UNKNOWN, str(error)
        return UNKNOWN, "it ignored DryRun"

    # quota

    def quota(self, node: Node, count: int) -> Check:
        """Compare the quota of vCPUs with the running instances of all owners in the region."""
        if node.size[0] not in STANDARD or getattr(node.options, "spot", False):
            return Check("quota", UNKNOWN, f"hart does not know the quota for {node.size}; Service Quotas shows it")
        answer = self.api.call(
            node.region, "get_service_quota", field="Quota", service="service-quotas", ServiceCode="ec2",
            QuotaCode=STANDARD_QUOTA,
        )  # fmt: skip
        limit, used = float(answer["Quota"]["Value"]), self._used(node.region)
        each = self._cpus_of(node.size, node.region)
        said = f"{node.region} uses {used} of {limit:g} vCPUs"
        if used + each * count > limit:
            more = f"{count} more of the size {node.size} need {each * count}"
            return Check("quota", PROBLEM, f"{said}, and {more}: request a higher quota in Service Quotas")
        return Check("quota", OK, said)

    def _used(self, region: str) -> int:
        """Return the vCPUs of all running on-demand instances of the standard families, of any owner."""
        filters = [{"Name": "instance-state-name", "Values": list(RUNNING)}]
        listed = self.api.listed(region, "describe_instances", "Reservations", Filters=filters)
        every = [facts for one in listed for facts in one.get("Instances", []) if not facts.get("InstanceLifecycle")]
        return sum(self._cpus(facts, region) for facts in every if facts.get("InstanceType", "-")[0] in STANDARD)

    def _cpus(self, facts: Mapping[str, Any], region: str) -> int:
        options = facts.get("CpuOptions") or {}
        if not options.get("CoreCount"):
            return self._cpus_of(str(facts["InstanceType"]), region)
        return int(options["CoreCount"]) * int(options.get("ThreadsPerCore") or 1)

    def _cpus_of(self, size: str, region: str) -> int:
        facts = self.lookup.size(size, region) or {}
        return int((facts.get("VCpuInfo") or {}).get("DefaultVCpus", 1))
