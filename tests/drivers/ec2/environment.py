"""Amazon EC2 as the contract suite sees it."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import parse_qsl

from hart_salt.drivers.ec2 import driver as ec2
from hart_salt.model import Instance
from tests.drivers.ec2 import driver as ec2_driver
from tests.drivers.ec2.emulator import answers as ec2_answers
from tests.drivers.ec2.emulator.state import NOTICE, plain
from tests.drivers.environment import OWNER, USUAL, CloudEnvironment, Given
from tests.emulation.emulator import Call
from tests.emulation.faults import Fault


class Ec2Environment(CloudEnvironment):
    module: ClassVar[Any] = ec2_driver
    memory_mb = 1024
    user_data_limit = 16 * 1024
    places = {"eu-west-1": "eu-west-1b", "us-east-1": "us-east-1c"}
    other_size = ("t3.medium", 4096)
    larger = "t3.small"
    turn_off = {"method": "POST", "body": "Action=StopInstances"}
    stop_right = "ec2:StopInstances"
    can_ignore = True
    restart = {"method": "POST", "body": "Action=RebootInstances"}
    states = {
        "pending": "pending", "running": "running", "stopping": "stopped", "stopped": "stopped", "odd": "pending",
        "shutting-down": "gone", "terminated": "gone",
    }  # fmt: skip
    create = {"method": "POST", "body": ec2_driver.CREATE}
    destroy = {"method": "POST", "body": ec2_driver.DESTROY}
    image_create = {"method": "POST", "body": "Action=CreateImage&"}
    image_destroy = {"method": "POST", "body": "Action=DeregisterImage&"}
    image_right = "ec2:CreateImage"
    words = {
        **USUAL,
        "not there": (400, ec2_answers.error("InvalidGroup.NotFound", "The security group does not exist")),
        "conflict": (400, ec2_answers.error("IdempotentParameterMismatch", "The client token is of another request.")),
        "invalid": (400, None),
        "quota": (400, ec2_answers.error("VcpuLimitExceeded", "You have requested more vCPUs than your limit.")),
        "capacity": (500, ec2_answers.error("InsufficientInstanceCapacity", "There is not sufficient capacity.")),
    }
    narrow = {"regions": ["eu-west-1"]}
    at_once = {"check_answers": False}
    #: botocore computes its own waits
    heeds_retry_after = False

    def driver(self, owner: str = OWNER, **account: Any) -> ec2.Ec2:
        return ec2_driver.driver_of(self.cloud, self.time, self.root, owner=owner, **account)

    def ignore_filters(self) -> None:
        """Remove filters after the check of the signature, which covers all parameters."""
        asked = self.cloud._with_page

        def without_filters(action: str, form: dict[str, str]) -> dict[str, str]:
            passed: dict[str, str] = asked(
                action, {name: value for name, value in form.items() if not name.startswith("Filter.")}
            )
            return passed

        self.cloud._with_page = without_filters

    def create_call(self, instance: Instance) -> dict[str, Any]:
        (call,) = (one for one in self.cloud.calls if ec2_driver.CREATE in one.text)
        form = dict(parse_qsl(call.text))
        kind = next(name for name, value in form.items() if (name[-12:], value) == ("ResourceType", "instance"))
        prefix = kind.removesuffix("ResourceType") + "Tag."
        keys = [name for name in form if name.startswith(prefix) and name.endswith("Key")]
        tags = {form[name]: form[name.removesuffix("Key") + "Value"] for name in keys}
        return {"minion_id": tags["hart-minion"], **{it: tags[f"hart-{it}"] for it in ("owner", "role", "batch")}}

    def shown(self, instance: Instance) -> Any:
        return self.driver()._api.listed(instance.region or "", "describe_instances", "Reservations")

    def by_hand(self, name: str) -> str:
        return ec2_driver.by_hand(self.cloud, {"Name": name, "theirs": "1"})

    def labels(self, instance_id: str) -> Any:
        return ec2_driver.tags_of(self.cloud, instance_id)

    def changes(self, call: Call) -> bool:
        return not call.text.startswith("Action=Describe")

    def given(self, instance: Instance) -> Given:
        region, life = self.cloud.region(instance.region), self.cloud.world.lives[instance.instance_id]
        it = region.get_instance(instance.instance_id)
        tags = frozenset(":".join(filter(None, (tag["key"], tag["value"]))) for tag in it.get_tags())
        image, script = region.amis[it.image_id].name, life.user_data
        return Given(
            life.region, it.placement.zone, it.instance_type, image, life.addresses, tags, plain(script).decode()
        )

    def machine(self, instance: Instance) -> Any:
        return self.cloud.world.lives[instance.instance_id]

    def interrupt(self, instance: Instance) -> float:
        self.cloud.interrupt(instance.instance_id)
        return self.time.now + NOTICE

    def stop(self, instance: Instance) -> None:
        ec2_driver.boto(self.cloud, instance.region or "").stop_instances(InstanceIds=[instance.instance_id])

    def listing(self, state: str) -> Fault:
        tag = f"<item><key>hart-owner</key><value>{OWNER}</value></item>"
        facts = f"<instanceState><name>{state}</name></instanceState><tagSet>{tag}</tagSet>"
        shown = f"<item><instanceId>i-0123456789abcdef0</instanceId>{facts}</item>"
        listed = f"<reservationSet><item><instancesSet>{shown}</instancesSet></item></reservationSet>"
        answer = f'<DescribeInstancesResponse xmlns="http://x/">{listed}</DescribeInstancesResponse>'.encode()
        return Fault("POST", body=ec2_driver.LOOK, status=200, answer=answer)


ENVIRONMENT = Ec2Environment
