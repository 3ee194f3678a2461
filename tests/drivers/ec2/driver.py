"""What the tests of the driver ``ec2`` share: a cloud whose time passes while the driver waits."""

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
from botocore.client import ClientCreator

from hart_salt.config.schema import Provider
from hart_salt.config.settings import Settings
from hart_salt.drivers.ec2 import driver as ec2
from hart_salt.drivers.ec2 import preview
from hart_salt.model import Instance, Node
from tests.drivers.ec2.emulator import schema
from tests.drivers.ec2.emulator.state import KEY as KEY_ID
from tests.drivers.ec2.emulator.state import REGION, SECRET
from tests.drivers.ec2.emulator.state import Settings as Switches
from tests.drivers.tested import BATCH, KEY, OWNER, SCRIPT, Time, master_of, served
from tests.emulation.backend import NoMachines

if TYPE_CHECKING:
    from tests.drivers.ec2.emulator.cloud import Ec2 as Cloud  # imports moto, which is slow

CREATE, LOOK, DESTROY = "Action=RunInstances&", "Action=DescribeInstances&", "Action=TerminateInstances&"
MASTER = "203.0.113.7/32"


@functools.cache
def _loader(search_path: str | None = None) -> Any:
    return botocore.loaders.create_loader(search_path)


#: what botocore makes again for each client, and what is the same for all clients of a service
_make_class, _load_model = ClientCreator._create_client_class, ClientCreator._load_service_model
_classes: dict[str, Any] = {}
_models: dict[tuple[Any, ...], Any] = {}


def _class(creator: Any, service: str, model: Any) -> Any:
    if service not in _classes:
        _classes[service] = _make_class(creator, service, model)
    return _classes[service]


def _model(creator: Any, *service: Any) -> Any:
    if service not in _models:
        _models[service] = _load_model(creator, *service)
    return _models[service]


@contextmanager
def open_cloud(time: Time, **switches: Any) -> Iterator[Cloud]:
    """
    Open a cloud without machines, whose time advances when botocore waits; every call must match botocore's model.
    """
    from tests.drivers.ec2.emulator.cloud import Ec2

    waits = SimpleNamespace(sleep=time.sleep)
    # Each driver reads megabytes of models and makes a class with 800 methods for each client, which takes half a
    # second; drivers of one process can share them.
    with (
        served(Ec2(NoMachines(), settings=Switches(**{"active_after": 10, **switches}), clock=time)) as cloud,
        mock.patch.object(botocore.endpoint, "time", waits),
        mock.patch.object(botocore.session, "create_loader", _loader),
        mock.patch.object(ClientCreator, "_create_client_class", _class),
        mock.patch.object(ClientCreator, "_load_service_model", _model),
        mock.patch.object(preview, "AMAZON", (*preview.AMAZON, "127.0.0.1")),  # the emulator obeys DryRun
    ):
        yield cloud


def driver_of(
    cloud: Cloud, time: Time, cachedir: Path, *, owner: str = OWNER, source: Any = None, **account: Any
) -> ec2.Ec2:
    """
    Return the driver of an account.

    ``owner`` is the master's owner id; ``source`` is a function that returns the master's source address.
    """
    provider = Provider("ec2", "ec2", ec2.Account(**{**cloud.account(), **account}))
    return ec2.Ec2(provider, master_of(owner, str(cachedir)), time.sleep, time, source or (lambda towards: None))


def node(
    minion_id: str = "w1.example.com", *, options: dict[str, Any] | None = None, zone: str | None = None,
    size: str = "t3.micro", region: str = REGION, **settings: Any,
) -> Node:  # fmt: skip
    """Return a node as a role requests it."""
    return Node(
        minion_id, "db.main", "ec2", "ec2", region, zone, size, Settings(**settings),
        ec2.Options(**{"connect_from": MASTER, **(options or {})}), {}, BATCH,
    )  # fmt: skip


def launch(driver: ec2.Ec2, wanted: Node, script: str = SCRIPT) -> Instance:
    """Launch and settle the node and close the access; the instance stays."""
    with driver.access(BATCH, KEY, [wanted]) as access:
        made = driver.launch(wanted, script, access)
        driver.settle(made)
        return made


def left(cloud: Cloud) -> dict[str, list[str]]:
    """Return the resources that are left, by kind."""
    return {kind: names for kind, names in cloud.left().items() if names}


def called(cloud: Cloud, action: str) -> int:
    """Return how often this action was called."""
    return cloud.count("POST", body=f"Action={action}&")


def asked(cloud: Cloud, action: str) -> dict[str, Any]:
    """Return the parameters of the only call of this action, as botocore's model reads them."""
    (call,) = (call for call in cloud.calls if call.text.startswith(f"Action={action}&"))
    return schema.parsed(action, dict(parse_qsl(call.text, keep_blank_values=True)))


def boto(cloud: Cloud, region: str = REGION, service: str = "ec2") -> Any:
    """Return a client of the account that belongs to no driver, with which a test sets up the account."""
    return _session().client(service, region_name=region, endpoint_url=cloud.endpoint)


@functools.cache
def _session() -> boto3.session.Session:
    return boto3.session.Session(KEY_ID, SECRET)


def default_vpc(cloud: Cloud, region: str = REGION) -> str:
    """Return the id of the account's default VPC."""
    (vpc,) = [vpc for vpc in boto(cloud, region).describe_vpcs()["Vpcs"] if vpc["IsDefault"]]
    return str(vpc["VpcId"])


def make_vpc(cloud: Cloud, *zones: str) -> tuple[str, list[str]]:
    """Create a VPC with a subnet in each of the zones; return its id and the ids of the subnets."""
    client = boto(cloud)
    vpc = client.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        client.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for number, zone in enumerate(zones)
    ]
    return vpc, subnets


def make_group(cloud: Cloud, vpc: str, *rules: dict[str, Any], name: str = "role") -> str:
    """Create a security group of the account and return its id."""
    client = boto(cloud)
    group = client.create_security_group(GroupName=name, Description="a test's", VpcId=vpc)["GroupId"]
    if rules:
        client.authorize_security_group_ingress(GroupId=group, IpPermissions=list(rules))
    return str(group)


def ssh_from(**source: Any) -> dict[str, Any]:
    """Return a rule for SSH."""
    return {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **source}


def groups_of(cloud: Cloud, instance: Instance) -> list[str]:
    """Return the groups of an instance, according to the API."""
    found = boto(cloud).describe_instances(InstanceIds=[instance.instance_id])["Reservations"][0]["Instances"][0]
    assert sorted(it["GroupId"] for it in found["NetworkInterfaces"][0]["Groups"]) == sorted(
        it["GroupId"] for it in found["SecurityGroups"]
    )
    return sorted(it["GroupId"] for it in found["SecurityGroups"])


def by_hand(cloud: Cloud, tags: dict[str, str], region: str = REGION) -> str:
    """Run an instance that hart does not own, and return its id."""
    client = boto(cloud, region)
    image = client.describe_images(Owners=["136693071363"])["Images"][0]
    named = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]
    made = client.run_instances(
        ImageId=image["ImageId"], InstanceType="t3.micro", MinCount=1, MaxCount=1, TagSpecifications=named
    )
    return str(made["Instances"][0]["InstanceId"])


def tags_of(cloud: Cloud, instance_id: str, region: str = REGION) -> dict[str, str]:
    """Return the tags of an instance, according to the API."""
    found = boto(cloud, region).describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    return {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
