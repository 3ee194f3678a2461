"""What the tests of the driver ``ec2`` share: a cloud whose time passes when the driver waits."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import parse_qsl

import boto3.session
import botocore.endpoint
import botocore.loaders
import botocore.session

from hart_salt.config.schema import Provider
from hart_salt.config.settings import Settings
from hart_salt.drivers.ec2 import driver as ec2
from hart_salt.model import Instance, Node
from tests.drivers.ec2.emulator import schema
from tests.drivers.ec2.emulator.state import KEY as KEY_ID
from tests.drivers.ec2.emulator.state import REGION, SECRET
from tests.drivers.ec2.emulator.state import Settings as Switches
from tests.drivers.tested import BATCH, KEY, OWNER, SCRIPT, Time, master_of, served
from tests.emulation.backend import NoMachines

if TYPE_CHECKING:
    from tests.drivers.ec2.emulator.cloud import Ec2 as Cloud  # imports moto, which takes its time

CREATE, LOOK, DESTROY = "Action=RunInstances&", "Action=DescribeInstances&", "Action=TerminateInstances&"
MASTER = "203.0.113.7/32"


@functools.cache
def _loader(search_path: str | None = None) -> Any:
    return botocore.loaders.create_loader(search_path)


@contextmanager
def open_cloud(time: Time, **switches: Any) -> Iterator[Cloud]:
    """A cloud without machines, whose time botocore's waits move on; all calls have to be as botocore has them."""
    from tests.drivers.ec2.emulator.cloud import Ec2

    waits = SimpleNamespace(sleep=time.sleep)
    # Each driver reads megabytes of models, which takes half a second; those of one process may share them.
    with (
        served(Ec2(NoMachines(), settings=Switches(**{"active_after": 10, **switches}), clock=time)) as cloud,
        mock.patch.object(botocore.endpoint, "time", waits),
        mock.patch.object(botocore.session, "create_loader", _loader),
    ):
        yield cloud


def driver_of(
    cloud: Cloud, time: Time, cachedir: Path, *, owner: str = OWNER, source: Any = None, **account: Any
) -> ec2.Ec2:
    """Return the driver of an account. ``owner`` is the master's; ``source`` returns its source address."""
    provider = Provider("ec2", "ec2", ec2.Account(**{**cloud.account(), **account}))
    return ec2.Ec2(provider, master_of(owner, str(cachedir)), time.sleep, time, source or (lambda towards: None))


def node(
    minion_id: str = "w1.example.com", *, options: dict[str, Any] | None = None, zone: str | None = None,
    size: str = "t3.micro", region: str = REGION, **settings: Any,
) -> Node:  # fmt: skip
    """A node as it is wanted."""
    return Node(
        minion_id, "db.main", "ec2", "ec2", region, zone, size, Settings(**settings),
        ec2.Options(**{"connect_from": MASTER, **(options or {})}), {}, BATCH,
    )  # fmt: skip


def launch(driver: ec2.Ec2, wanted: Node, script: str = SCRIPT) -> Instance:
    """Launch, settle and leave; the instance stays."""
    with driver.access(BATCH, KEY, [wanted]) as access:
        made = driver.launch(wanted, script, access)
        driver.settle(made)
        return made


def left(cloud: Cloud) -> dict[str, list[str]]:
    """What is left."""
    return {kind: names for kind, names in cloud.left().items() if names}


def called(cloud: Cloud, action: str) -> int:
    """How many calls of that name there were."""
    return cloud.count("POST", body=f"Action={action}&")


def asked(cloud: Cloud, action: str) -> dict[str, Any]:
    """The parameters of the only call of that name, as botocore's model reads them."""
    (call,) = (call for call in cloud.calls if call.text.startswith(f"Action={action}&"))
    return schema.parsed(action, dict(parse_qsl(call.text, keep_blank_values=True)))


def boto(cloud: Cloud, region: str = REGION, service: str = "ec2") -> Any:
    """A client of the account that is nobody's driver, with which a test makes what the account is to have."""
    return _session().client(service, region_name=region, endpoint_url=cloud.endpoint)


@functools.cache
def _session() -> boto3.session.Session:
    return boto3.session.Session(KEY_ID, SECRET)


def default_vpc(cloud: Cloud, region: str = REGION) -> str:
    """The id of the account's default VPC."""
    (vpc,) = [vpc for vpc in boto(cloud, region).describe_vpcs()["Vpcs"] if vpc["IsDefault"]]
    return str(vpc["VpcId"])


def make_vpc(cloud: Cloud, *zones: str) -> tuple[str, list[str]]:
    """A VPC of the account's own with a subnet in each of the zones; its id and theirs."""
    client = boto(cloud)
    vpc = client.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        client.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for number, zone in enumerate(zones)
    ]
    return vpc, subnets


def make_group(cloud: Cloud, vpc: str, *rules: dict[str, Any], name: str = "role") -> str:
    """A group of the account's own."""
    client = boto(cloud)
    group = client.create_security_group(GroupName=name, Description="a test's", VpcId=vpc)["GroupId"]
    if rules:
        client.authorize_security_group_ingress(GroupId=group, IpPermissions=list(rules))
    return str(group)


def ssh_from(**source: Any) -> dict[str, Any]:
    """A rule for SSH."""
    return {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **source}


def groups_of(cloud: Cloud, instance: Instance) -> list[str]:
    """The groups that an instance is in, by the API."""
    found = boto(cloud).describe_instances(InstanceIds=[instance.instance_id])["Reservations"][0]["Instances"][0]
    assert sorted(it["GroupId"] for it in found["NetworkInterfaces"][0]["Groups"]) == sorted(
        it["GroupId"] for it in found["SecurityGroups"]
    )
    return sorted(it["GroupId"] for it in found["SecurityGroups"])


def by_hand(cloud: Cloud, tags: dict[str, str], region: str = REGION) -> str:
    """Run an instance that is nobody's in hart's eyes, and return its id."""
    client = boto(cloud, region)
    image = client.describe_images(Owners=["136693071363"])["Images"][0]
    named = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]
    made = client.run_instances(
        ImageId=image["ImageId"], InstanceType="t3.micro", MinCount=1, MaxCount=1, TagSpecifications=named
    )
    return str(made["Instances"][0]["InstanceId"])


def tags_of(cloud: Cloud, instance_id: str, region: str = REGION) -> dict[str, str]:
    """The tags of an instance, by the API."""
    found = boto(cloud, region).describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    return {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
