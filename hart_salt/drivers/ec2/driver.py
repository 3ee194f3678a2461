"""
Amazon EC2, through boto3.

One provider is one account in all its regions. Facts about the API come from EC2's own reference, which boto3
contains as its models; comments name any other source.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import secrets as randomness
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import tenacity

from hart_salt.base.errors import InvalidRequest, NotFound, TemporaryFailure
from hart_salt.config.schema import Provider, Schema
from hart_salt.drivers import retry, source_address
from hart_salt.drivers.capabilities import AdoptionSupport
from hart_salt.drivers.catalog import readable
from hart_salt.drivers.ec2 import leftovers, protection, request
from hart_salt.drivers.ec2.power import Ec2Power, Ec2Tags
from hart_salt.drivers.ec2.settings import SCHEMA as SCHEMA
from hart_salt.drivers.ec2.settings import Account as Account
from hart_salt.drivers.ec2.settings import Options as Options
from hart_salt.drivers.ec2.spot import SpotRequests
from hart_salt.drivers.images import RegionallyImaged
from hart_salt.drivers.power import Powered
from hart_salt.drivers.retry import StillThere
from hart_salt.drivers.sdk_driver import SdkDriver, removing
from hart_salt.drivers.tagging import Tagged
from hart_salt.model import Access, Candidate, Check, Image, Instance, Leftover, MasterInfo, Node, Price, Region, Size

if TYPE_CHECKING:
    from hart_salt.drivers.ec2.client import Api
    from hart_salt.drivers.ec2.lookup import Lookup
    from hart_salt.drivers.ec2.network import Networks, Place
    from hart_salt.drivers.ec2.preview import Preview
    from hart_salt.drivers.ec2.prices import Prices
    from hart_salt.drivers.ec2.snapshots import Ec2Images

#: seconds in which "no such instance" may mean that EC2 does not know it everywhere yet (boto/boto3#2556);
#: ``retry.until_gone`` retries for at least as long
YOUNG = 180.0
#: looks for an instance whose volumes must stay, and the wait between two of them
KEEP_ATTEMPTS, KEEP_WAIT = 4, tenacity.wait_fixed(2.0)


class _Unseen(TemporaryFailure):
    """EC2 does not show an instance whose volumes must stay, or its volumes."""


@dataclass(frozen=True)
class _Parts:
    """The objects that need the SDK."""

    api: Api
    networks: Networks
    lookup: Lookup
    prices: Prices
    images: Ec2Images


class Ec2(SdkDriver[_Parts], AdoptionSupport, Powered, RegionallyImaged, SpotRequests, Tagged):
    """One account at Amazon."""

    schema: ClassVar[Schema] = SCHEMA
    boothooks: ClassVar[bool] = True
    needs: ClassVar[str] = "boto3"
    stopped_costs: ClassVar[bool] = False
    id_pattern: ClassVar[re.Pattern[str]] = re.compile(r"i-[0-9a-f]{8}([0-9a-f]{9})?")
    no_addresses: ClassVar[str] = (
        "hart cannot add addresses to EC2 instances; an Elastic IP can be associated without hart, and needs no "
        "change on the node"
    )

    def __init__(
        self,
        provider: Provider,
        master: MasterInfo,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        source: Callable[[str], str | None] = source_address.source_address,
    ) -> None:
        super().__init__(provider, master, sleep)
        self._clock, self._source = clock, source
        self._power = Ec2Power(lambda: self._parts, self._facts, self.instance, sleep)
        self._user_tags: Ec2Tags = Ec2Tags(lambda: self._parts, self._facts)
        #: instances that this object launched and did not terminate, with the time
        self._launched: dict[str, float] = {}
        #: those of them that are in a temporary group, and the groups that they keep
        self._let_in: dict[str, tuple[str, ...]] = {}
        #: and those of nodes with ``keep_volumes``
        self._keeping: set[str] = set()

    def _make_parts(self) -> _Parts:
        from hart_salt.drivers.ec2 import client, lookup, network, prices, snapshots

        api = client.Api(self._account, self._sleep, self.outage)
        networks = network.Networks(api, self._sleep)
        known = prices.Prices(api, Path(self.master.cachedir) / "hart/ec2-prices", self._clock)
        looks = lookup.Lookup(api, networks, self._account.regions)
        images = snapshots.Ec2Images(api, looks, known, self.master.owner, self._sleep, self._clock)
        return _Parts(api, networks, looks, known, images)

    @property
    def _images(self) -> Ec2Images:
        return self._parts.images

    @property
    def _api(self) -> Api:
        return self._parts.api

    def check(self) -> str:
        """Get the owner of the credentials, and the regions, which needs a permission of EC2."""
        who = self._api.call(self._api.default_region, "get_caller_identity", field="Account", service="sts")
        usable = [region.name for region in self.regions() if region.available]
        return f"account {who['Account']}, {who.get('Arn')}, {len(usable)} regions"

    # access

    @contextmanager
    def access(self, batch: str, client_public_key: str, nodes: Sequence[Node]) -> Iterator[Access]:
        """
        Make a temporary security group for each VPC of the nodes, which allows SSH from the master only.

        There is no key: the user-data contains it. There is no group if the master connects to private addresses and
        the groups that the nodes keep already let it in.
        """
        groups: dict[str, str | None] = {}
        # If the access of a batch is entered again, its nodes must become new instances.
        entry = randomness.token_hex(8)
        with ExitStack() as stack:
            for node in nodes:
                place = self._parts.lookup.place(node)
                if place.vpc not in groups:
                    groups[place.vpc] = stack.enter_context(self._group(batch, node, place))
            yield Access(batch, client_public_key, {"groups": groups, "entry": entry})

    @contextmanager
    def _group(self, batch: str, node: Node, place: Place) -> Iterator[str | None]:
        networks, options = self._parts.networks, _options(node)
        private = node.settings.connect_via == "private" or not node.settings.public_ip
        network = source_address.network(
            options.connect_from,
            inside=str(ipaddress.ip_network(place.networks[0])[1]) if private else None,
            service=self._account.address_service,
            source=self._source,
        )
        kept = self._parts.lookup.groups(node)
        if private and networks.lets_in(node.region, place.vpc, kept, network):
            yield None
            return
        name = f"hart-{self.master.owner}-{batch}"
        tags = {request.OWNER: self.master.owner, request.BATCH: batch, request.CREATED: str(int(self._clock()))}
        group = networks.make_group(node.region, place.vpc, name, tags, network)
        try:
            yield group
        finally:
            with removing(f"security group {name}"):
                networks.remove_group(node.region, group)

    def settle(self, instance: Instance) -> None:
        """Remove the instance from the temporary group, and make its volume stay if the node has ``keep_volumes``."""
        kept = self._let_in.get(instance.instance_id)
        if kept is not None:
            region, name = self._region(instance), instance.instance_id
            self._parts.networks.when_known(
                lambda: self._api.call(region, "modify_instance_attribute", InstanceId=name, Groups=list(kept))
            )
            self._let_in.pop(instance.instance_id, None)
        if instance.instance_id in self._keeping or instance.instance_id not in self._launched:
            self.keep_volumes(instance)

    def keep_volumes(self, instance: Instance) -> None:
        """
        Make the volumes of an instance stay when it is terminated, if its tags say so.

        Not in the create call: until the node is a minion, its volume holds nothing, and a rollback removes it.

        Raises ``TemporaryFailure`` if EC2 does not show the instance or its volumes yet: they would go with it.
        """
        if self._is_id(instance.instance_id):
            retry.again(lambda: self._keep_once(instance), _Unseen, self._sleep, KEEP_ATTEMPTS, KEEP_WAIT)

    def _keep_once(self, instance: Instance) -> None:
        region, name = self._region(instance), instance.instance_id
        found = self._described(region, {"instance-id": name})
        if not found:
            missing = _Unseen if name in self._keeping or self._is_young(instance) else NotFound
            raise missing(f"Amazon EC2 in {region} does not show {name}, so its volumes cannot be kept")
        for facts in found:
            if name in self._keeping or request.must_keep_volumes(facts):
                self._keep(region, name, facts)

    def _keep(self, region: str, name: str, facts: Mapping[str, Any]) -> None:
        if request.instance(facts, region).state == "gone":
            raise NotFound(f"{name} is terminated already, so its volumes cannot be kept")
        going = request.volumes_of(facts, going=True)
        if not going and not request.volumes_of(facts, going=False):
            raise _Unseen(f"Amazon EC2 in {region} does not show the volumes of {name}, so they cannot be kept")
        stay = [{"DeviceName": device, "Ebs": {"DeleteOnTermination": False}} for device in going]
        if stay:
            self._api.call(region, "modify_instance_attribute", InstanceId=name, BlockDeviceMappings=stay)

    def _is_young(self, instance: Instance) -> bool:
        """Return whether EC2 may not know the instance everywhere yet."""
        made = max(self._launched.get(instance.instance_id, 0.0), instance.created or 0.0)
        return self._clock() - made < YOUNG

    def kept_volumes(self, instance: Instance) -> Sequence[str]:
        """Make one list call, with the id."""
        if not self._is_id(instance.instance_id):
            return ()
        found = self._described(self._region(instance), {"instance-id": instance.instance_id})
        return [volume for facts in found for volume in request.volumes_of(facts, going=False).values()]

    # instances

    def launch(self, node: Node, user_data: str, access: Access) -> Instance:
        """
        Make one create call, with a token that is unique for the node in this batch.

        The SDK retries it if the outcome is uncertain: the same token and the same parameters never make a second
        instance. hart also retries it while the temporary group is so new that EC2 may not know it everywhere.
        """
        plan = self._parts.lookup.plan(node)
        temporary = access.handle["groups"].get(plan.vpc)
        owner, batch = self.master.owner, access.batch
        parameters = request.run_instances(
            node, plan, request.tags_of(node, owner, batch), request.payload(user_data),
            request.client_token(owner, batch, access.handle["entry"], node.minion_id), temporary,
        )  # fmt: skip
        try:
            answer = self._run(node.region, parameters)
        except NotFound as error:
            raise InvalidRequest(str(error)) from error
        made = request.instance(answer["Instances"][0], node.region)
        self._launched[made.instance_id] = self._clock()
        if _options(node).keep_volumes:
            self._keeping.add(made.instance_id)
        if temporary:
            self._let_in[made.instance_id] = plan.groups
        return made

    def _run(self, region: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Make the create call; make it again with another token if the instance of the first was terminated since."""

        def run(token: str) -> dict[str, Any]:
            more = {**parameters, "ClientToken": token}
            answer: dict[str, Any] = self._parts.networks.when_known(
                lambda: self._api.call(region, "run_instances", field="Instances", **more)
            )
            return answer

        from hart_salt.drivers.ec2 import client

        try:
            return run(parameters["ClientToken"])
        except InvalidRequest as error:
            if client.code_of(error) != client.TERMINATED:
                raise
        return run(randomness.token_hex(32))

    def instances(self, region: str | None = None) -> list[Instance]:
        """
        Make one list call for each region, side by side, with the owner's tag as the filter.

        The owner is checked here as well: what is listed may be swept. EC2 shows instances for an hour after they
        ended: only one that this object launched and did not end is reported, as gone and with the reason.
        """
        return self._everywhere(region, {})

    def instances_of(self, batch: str, region: str | None = None) -> list[Instance]:
        """Make the calls of ``instances`` with the batch's tag as another filter."""
        return self._everywhere(region, {f"tag:{request.BATCH}": batch})

    def instances_called(self, minion_id: str) -> list[Instance]:
        """Make the calls of ``instances`` with the minion id's tag as another filter."""
        found = self._everywhere(None, {f"tag:{request.MINION}": minion_id})
        return [one for one in found if one.minion_id == minion_id]

    def _everywhere(self, region: str | None, fields: Mapping[str, str]) -> list[Instance]:
        if region is not None:
            return self._instances_in(region, fields)
        listed = self._parts.lookup.everywhere(lambda where: self._instances_in(where, fields))
        return [instance for found in listed for instance in found]

    def _instances_in(self, region: str, fields: Mapping[str, str]) -> list[Instance]:
        listed = self._described(region, {**self._ours, **fields})
        found = [request.instance(facts, region) for facts in listed if self._is_ours(facts)]
        return [it for it in found if it.state != "gone" or it.instance_id in self._launched]

    @property
    def _ours(self) -> dict[str, str]:
        """The filter for what carries this master's tag."""
        return {f"tag:{request.OWNER}": self.master.owner}

    def _is_ours(self, facts: Mapping[str, Any]) -> bool:
        return request.is_owned(facts, self.master.owner)

    def instance(self, instance: Instance) -> Instance | None:
        """Make one list call, with the id. A terminated instance counts only if this object launched it."""
        if not self._is_id(instance.instance_id):
            return None
        region = self._region(instance)
        found = [request.instance(it, region) for it in self._described(region, {"instance-id": instance.instance_id})]
        return next((it for it in found if it.state != "gone" or it.instance_id in self._launched), None)

    def _facts(self, instance: Instance) -> Mapping[str, Any] | None:
        found = self._described(self._region(instance), {"instance-id": instance.instance_id})
        return found[0] if found else None

    def _described(self, region: str, fields: Mapping[str, str]) -> list[dict[str, Any]]:
        filters = request.filters(fields)
        reservations = self._api.listed(region, "describe_instances", "Reservations", Filters=filters)
        listed = [facts for reservation in reservations for facts in reservation.get("Instances") or []]
        return self._parts.lookup.with_tags(region, listed)

    def candidates(self, minion_id: str, instance_id: str | None = None, region: str | None = None) -> list[Candidate]:
        """Search by the tag ``Name``, which hart and salt-cloud set to the minion id, or by the id."""
        fields = {"tag:Name": minion_id} if instance_id is None else {"instance-id": instance_id}

        def look(where: str) -> list[Candidate]:
            listed = self._described(where, fields)
            return [request.candidate(facts, where) for facts in listed]

        found = [look(region)] if region else self._parts.lookup.everywhere(look)
        key = instance_id or minion_id
        return [
            it
            for one in found
            for it in one
            if it.instance.state != "gone" and key == (it.instance.instance_id if instance_id else it.name)
        ]

    def adopt(self, instance: Instance, minion_id: str, role: str | None) -> None:
        """Make one call, and before it one that removes an old role. Keep ``Name``."""
        if not role:
            self._untag(instance, (request.ROLE,))
        tags = request.own_tags(minion_id, role, self.master.owner)
        self._api.call(
            self._region(instance), "create_tags", Resources=[instance.instance_id], Tags=request.as_tags(tags)
        )

    def release(self, instance: Instance) -> None:
        """Make one call."""
        if not self._is_id(instance.instance_id):
            return
        with contextlib.suppress(NotFound):
            self._untag(instance, (request.OWNER, request.MINION, request.ROLE))

    def protect(self, instance: Instance, *, on: bool) -> None:
        """Set the tag and the termination protection, or remove them; see ``protection.py``."""
        region, name = self._region(instance), instance.instance_id
        found = self._described(region, {"instance-id": name}) if self._is_id(name) else []
        protection.change(self._api, region, name, found, on=on)

    def set_end(self, instance: Instance, ends: float | None) -> None:
        """Make one call, and one that replaces or removes the tag."""
        if not self._is_id(instance.instance_id):
            raise NotFound(f"the instance {instance.instance_id} is gone")
        self._user_tags.set_end(instance, ends)

    def _untag(self, instance: Instance, keys: Sequence[str]) -> None:
        tags = [{"Key": key} for key in keys]
        self._api.call(self._region(instance), "delete_tags", Resources=[instance.instance_id], Tags=tags)

    def terminate(self, instance: Instance) -> None:
        """
        Terminate the instance until EC2 confirms it; its interface goes with it, and its volume unless it is kept.

        "No such instance" is a success, unless the instance is so young that EC2 may not know it yet.
        """
        if not self._is_id(instance.instance_id):
            return
        retry.until_gone(lambda: self._terminate_once(instance), self._sleep)
        self._launched.pop(instance.instance_id, None)
        self._let_in.pop(instance.instance_id, None)
        self._keeping.discard(instance.instance_id)

    def _terminate_once(self, instance: Instance) -> None:
        try:
            answer = self._api.call(
                self._region(instance), "terminate_instances", field="TerminatingInstances",
                InstanceIds=[instance.instance_id],
            )  # fmt: skip
        except NotFound as error:
            if self._is_young(instance):
                raise StillThere(str(error)) from error
            return
        except TemporaryFailure as error:
            if error.uncertain:  # already retried by the SDK, and not caused by the instance's state
                raise
            raise StillThere(str(error)) from error
        states = [it.get("CurrentState", {}).get("Name", "") for it in answer["TerminatingInstances"]]
        if [request.STATES.get(state) for state in states] != ["gone"]:
            raise StillThere(f"{instance.instance_id} is {' '.join(states) or 'still there'} after it was terminated")

    def _region(self, instance: Instance) -> str:
        return instance.region or self._api.default_region

    def objections(self, node: Node) -> Sequence[str]:
        """Check EC2's rules, and what EC2 has: a few calls for all nodes with the same settings."""
        lookup = self._parts.lookup
        found = request.objections(node)
        if lookup.size(node.size, node.region) is None:
            return found  # the caller checks that, and reports it
        looks: tuple[Callable[[Node], Any], ...] = (lookup.image, lookup.room, lookup.groups, lookup.zone_has_size)
        for look in looks:
            try:
                look(node)
            except (InvalidRequest, NotFound) as error:
                found.append(str(error))
        return found

    def lookups(self, node: Node) -> Mapping[str, Callable[[], str]]:
        """Look up the image for the architecture of the size, and the subnet."""
        lookup = self._parts.lookup
        return {
            "image": lambda: str(lookup.image(node).get("Name") or lookup.image(node)["ImageId"]),
            "network": lambda: lookup.place(node).subnet or f"a default subnet of {lookup.place(node).vpc}",
        }

    def check_rights(self, node: Node) -> Check:
        """Ask Amazon with calls that change nothing; see ``preview.py``."""
        return self._preview().rights(node)

    def check_quota(self, node: Node, count: int) -> Check:
        """Ask Service Quotas for the region's vCPUs; see ``preview.py``."""
        return self._preview().quota(node, count)

    def _preview(self) -> Preview:
        from hart_salt.drivers.ec2 import preview

        return preview.Preview(self._api, self._parts.lookup, self.master.owner)

    # leftovers

    def leftovers(self) -> list[Leftover]:
        """Return this master's temporary groups, its volumes without an instance, and its half-made images."""
        parts, owner = self._parts, self.master.owner
        listed = parts.lookup.everywhere(lambda region: leftovers.left_in(parts.networks, region, owner))
        return [*(one for found in listed for one in found), *parts.images.leftovers()]

    def remove(self, leftover: Leftover) -> None:
        """Delete what ``leftovers`` reported."""
        if not self._images.remove(leftover):
            leftovers.remove(self._parts.networks, leftover)

    # for people

    def regions(self) -> Sequence[Region]:
        """Return the regions with their zones. Regions that the account has not enabled are marked."""
        return self._parts.lookup.regions()

    def sizes(self, region: str | None) -> Sequence[Size]:
        """Return the sizes of a region, with monthly prices (default: the first region set, or the SDK's default)."""
        here = region or self._api.default_region
        prices = self._parts.prices.all(here)
        listed = self._parts.lookup.sizes(here)
        return readable(listed, lambda it: request.size(it[0], prices.get(it[0].get("InstanceType")), it[1]))

    def size(self, name: str, region: str) -> Size | None:
        """Look up one size. Raises ``InvalidRequest`` if the account has not enabled the region."""
        if region not in self._parts.lookup.enabled():
            raise InvalidRequest(f"{self.provider.name}: the region {region} is not enabled in this account")
        facts = self._parts.lookup.size(name, region)
        found = [] if facts is None else [facts]
        return next(iter(readable(found, lambda it: request.size(it, self._parts.prices.of(region, name), True))), None)

    def prices(self, wanted: Mapping[str, Collection[str]]) -> Mapping[tuple[str, str], Price]:
        """Ask the pricing API for what is not on disk; see ``prices.py``."""
        return self._parts.prices.some(wanted)

    def images(self, region: str | None) -> Sequence[Image]:
        """Return the releases that the bootstrap supports, by code name, and the account's own images."""
        api = self._api
        from hart_salt.drivers.ec2 import images

        return images.offered(api, region or api.default_region)


DRIVER = Ec2


def _options(node: Node) -> Any:
    return node.options
