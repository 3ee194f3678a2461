"""
Google Compute Engine, through google-cloud-compute.

Facts about the API come from Google's own description of it, which the library contains in its docstrings; comments
name any other source.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import tenacity

from hart_salt.base.errors import AuthError, DriverError, InvalidRequest, NotFound, TemporaryFailure
from hart_salt.config.schema import Provider, Schema
from hart_salt.drivers import retry, source_address
from hart_salt.drivers import tags as reports
from hart_salt.drivers.capabilities import AdoptionSupport, SpotSupport
from hart_salt.drivers.gce import instances, leftovers, protection, spot
from hart_salt.drivers.gce.catalog import Catalogue
from hart_salt.drivers.gce.inserts import REQUESTS, Inserts
from hart_salt.drivers.gce.power import GcePower, GceTags
from hart_salt.drivers.gce.refusals import AlreadyExists, Stale
from hart_salt.drivers.gce.rights import RIGHTS
from hart_salt.drivers.gce.settings import SCHEMA as SCHEMA
from hart_salt.drivers.gce.settings import Account as Account
from hart_salt.drivers.gce.settings import Options as Options
from hart_salt.drivers.images import Imaged
from hart_salt.drivers.power import Powered
from hart_salt.drivers.rights import ALWAYS
from hart_salt.drivers.sdk_driver import SdkDriver, removing
from hart_salt.drivers.tagging import Tagged
from hart_salt.model import OK, Access, Candidate, Check, Image, Instance, Leftover, MasterInfo, Node, Region, Size

if TYPE_CHECKING:
    from hart_salt.drivers.gce.client import Api
    from hart_salt.drivers.gce.snapshots import GceImages

#: attempts to terminate an instance; each can take as long as the retries of a call and the wait for an operation
TERMINATE_ATTEMPTS = 3
TERMINATE_WAIT = tenacity.wait_fixed(2.0)
#: attempts to change tags and metadata that someone else changes at the same time
SETTLE_ATTEMPTS = 5


@dataclass(frozen=True)
class _Parts:
    """The objects that need the library."""

    api: Api
    catalogue: Catalogue
    inserts: Inserts
    images: GceImages


class ComputeEngine(SdkDriver[_Parts], AdoptionSupport, Imaged, Powered, SpotSupport, Tagged):
    """One project."""

    schema: ClassVar[Schema] = SCHEMA
    needs: ClassVar[str] = "google-cloud-compute"
    stopped_costs: ClassVar[bool] = False
    images_everywhere: ClassVar[bool] = True
    no_prices: ClassVar[str] = "the API of Compute Engine has no prices"
    #: An id is never reused, but another instance can get the same name. The API accepts the id in an address wherever
    #: it accepts the name.
    id_pattern: ClassVar[re.Pattern[str]] = re.compile(r"[1-9][0-9]{0,19}")
    no_addresses: ClassVar[str] = (
        "hart cannot add addresses to instances of Compute Engine; a static address or an alias range can be set "
        "without hart"
    )

    def __init__(
        self,
        provider: Provider,
        master: MasterInfo,
        sleep: Callable[[float], None] = time.sleep,
        source: Callable[[str], str | None] = source_address.source_address,
    ) -> None:
        super().__init__(provider, master, sleep)
        self._source = source
        self._power = GcePower(lambda: self._parts, self.instance, sleep)
        self._user_tags: GceTags = GceTags(lambda: self._parts, sleep)

    def _make_parts(self) -> _Parts:
        from hart_salt.drivers.gce.client import Api
        from hart_salt.drivers.gce.snapshots import GceImages

        api = Api(self._account, self._sleep, self.outage)
        return _Parts(api, Catalogue(api), Inserts(api), GceImages(api, self.master, self._sleep))

    @property
    def _images(self) -> GceImages:
        return self._parts.images

    def check(self) -> str:
        """Get the project."""
        api = self._parts.api
        return f"project {api.get('projects').name} as {api.who()}"

    # access

    @contextmanager
    def access(self, batch: str, client_public_key: str, nodes: Sequence[Node]) -> Iterator[Access]:
        """
        Make a temporary firewall rule that allows SSH from this master only, to instances of this batch only.

        Its name contains the owner and the batch, so ``leftovers`` can find it from the moment it exists; the network
        tag that selects the instances is the same. Only the default network allows SSH without such a rule.
        """
        if not nodes:
            yield Access(batch, client_public_key)
            return
        name = self._access_name(batch)
        try:
            self._open(name, nodes[0])
        except BaseException:
            # The rule may exist if the outcome is uncertain. The first failure is the one to report.
            with contextlib.suppress(DriverError):
                self._close(name)
            raise
        try:
            yield Access(batch, client_public_key, {"firewall": name})
        finally:
            self._close(name)

    def _access_name(self, batch: str) -> str:
        return f"{self._access_prefix}{batch}"

    @property
    def _access_prefix(self) -> str:
        return instances.access_prefix(self.master.owner)

    def _open(self, name: str, node: Node) -> None:
        parts = self._parts
        rule = {
            "name": name,
            "description": f"Made by hart on {self.master.master_id} while instances boot; removed after that.",
            "network": instances.partial(parts.catalogue.subnet(node).network),
            "direction": "INGRESS",
            "allowed": [{"IPProtocol": "tcp", "ports": ["22"]}],
            "sourceRanges": [self._connecting_from(node)],
            "targetTags": [name],
        }
        request = str(uuid.uuid5(REQUESTS, name))
        with contextlib.suppress(AlreadyExists):  # the name belongs to this batch only
            parts.api.wait(
                parts.api.change("firewalls", "insert", request, firewall_resource=parts.api.body("Firewall", rule))
            )

    def _connecting_from(self, node: Node) -> str:
        options: Any = node.options
        inside = None
        if node.settings.connect_via == "private":
            inside = str(next(ipaddress.ip_network(self._parts.catalogue.subnet(node).ip_cidr_range).hosts()))
        return source_address.network(
            options.connect_from, inside=inside, service=self._account.address_service, source=self._source
        )

    def _close(self, name: str) -> None:
        api = self._parts.api
        with removing(f"firewall rule {name}"), contextlib.suppress(NotFound):
            api.wait(api.change("firewalls", "delete", firewall=name))

    # instances

    def launch(self, node: Node, user_data: str, access: Access) -> Instance:
        """
        Make one create call and do not wait for its operation: ``instances`` reports how it ends.

        The script is the metadata's ``startup-script``, because Google's Debian images have no cloud-init. The request
        id is made from batch and minion id, so the server recognises a retry. If it no longer knows the id, the unique
        name is taken, and the labels of the existing instance show whether this call made it.
        """
        parts = self._parts
        if len(user_data.encode()) > instances.USER_DATA:
            raise InvalidRequest(
                f"the bootstrap script is longer than {instances.USER_DATA} bytes, the limit of Compute Engine"
            )
        if not node.zone:
            raise InvalidRequest(self._zone_is_missing(node))
        body = instances.body(node, self.master.owner, user_data, parts.catalogue.place(node))
        instance = Instance(
            "", node.minion_id, "pending", node.role, node.batch, node.region, node.zone, node.size
        )  # fmt: skip
        request = parts.inserts.request_id(node)
        try:
            operation = parts.api.change(
                "instances", "insert", request, zone=node.zone, instance_resource=parts.api.body("Instance", body)
            )
        except AlreadyExists as error:
            return self._adopted(node, error)
        except NotFound as error:  # something that a setting names
            raise InvalidRequest(str(error)) from error
        instance = dataclasses.replace(instance, instance_id=str(operation.target_id))
        parts.inserts.add(operation.name, instance)
        return instance

    def _adopted(self, node: Node, error: DriverError) -> Instance:
        """
        Return the existing instance of that name.

        Raises ``InvalidRequest`` if this call did not make it.
        """
        parts = self._parts
        name = instances.name_of(node.minion_id)
        try:
            there = parts.api.get("instances", zone=node.zone, instance=name)
        except NotFound:  # it was deleted since
            raise error from None
        instance = instances.report(there)
        if not self._is_ours(there) or (instance.batch, instance.minion_id) != (node.batch, node.minion_id):
            raise InvalidRequest(
                f"{node.zone} already has an instance {name}, which this call did not make: {error}"
            ) from error
        parts.inserts.find(instance)
        return instance

    def _is_ours(self, thing: Any) -> bool:
        return instances.is_owned(thing, self.master.owner)

    @property
    def _ours(self) -> str:
        """The filter for resources with this master's label."""
        return instances.owned_by(self.master.owner)

    def instances(self, region: str | None = None) -> list[Instance]:
        """
        Make one list call for all zones, and check the owner here too: sweep may remove what is returned.

        While create calls of this driver object are unfinished, also list the operations in their zones. A failed
        create call sets the problem of its instance; if there is no instance, one with the state gone is returned.
        """
        return self._of_filter(region, self._ours)

    def instances_of(self, batch: str, region: str | None = None) -> list[Instance]:
        """Make the calls of ``instances`` with the batch's label as another filter."""
        return self._of_filter(region, f'({self._ours}) (labels.{instances.BATCH} = "{batch}")')

    def instances_called(self, minion_id: str) -> list[Instance]:
        """
        Make one list call for all zones, with the names that an instance with that minion id can have.

        An imported instance can have any name. Its record names it.
        """
        names = " OR ".join(f'(name = "{name}")' for name in instances.names_of(minion_id))
        found = [instances.report(one) for one in self._look_for(names, None) if self._is_ours(one)]
        return [one for one in found if one.minion_id == minion_id]

    def _of_filter(self, region: str | None, wanted: str) -> list[Instance]:
        parts = self._parts
        listed = parts.api.aggregated("instances", region, filter=wanted)
        failed = parts.inserts.failed()
        found = []
        for one in listed:
            if self._is_ours(one):
                instance = instances.report(one)
                lost = failed.pop(instance.instance_id, None)
                found.append(dataclasses.replace(instance, problem=lost.problem) if lost else instance)
        return [*found, *failed.values()]

    def instance(self, instance: Instance) -> Instance | None:
        """Make one call."""
        if not self._is_id(instance.instance_id) or not instance.zone:  # not an id, or without a zone
            return None
        try:
            found = self._parts.api.get("instances", zone=instance.zone, instance=instance.instance_id)
        except NotFound:
            return None
        return instances.report(found)

    def terminate(self, instance: Instance) -> None:
        """
        Delete the instance with its disks, except those that are kept, and wait until it is gone.

        The API refuses while another operation on the instance is in progress; hart retries.
        """
        if not self._is_id(instance.instance_id) or not instance.zone:  # not an id, or without a zone
            return
        with contextlib.suppress(NotFound):
            retry.again(
                lambda: self._delete(instance), TemporaryFailure, self._sleep, TERMINATE_ATTEMPTS, TERMINATE_WAIT
            )
        self._parts.inserts.forget(instance.instance_id)

    def _delete(self, instance: Instance) -> None:
        api = self._parts.api
        api.wait(api.change("instances", "delete", zone=instance.zone, instance=instance.instance_id))

    def settle(self, instance: Instance) -> None:
        """
        Remove the batch's network tag from the instance, and the script from its metadata.

        A startup script would run at every boot. Changes that others make at the same time stay. From now on, the boot
        disk stays when the instance is deleted, if the node has ``keep_volumes``.
        """
        self._until_fresh(lambda: self._settle_once(instance))

    def _until_fresh(self, work: Callable[[], None]) -> None:
        """Retry the work if someone else changes what it read before it writes."""
        retry.again(work, Stale, self._sleep, SETTLE_ATTEMPTS)

    def _settle_once(self, instance: Instance) -> None:
        parts = self._parts
        where: Any = {"zone": instance.zone, "instance": instance.instance_id}
        there = parts.api.get("instances", **where)
        tags = [tag for tag in there.tags.items if not tag.startswith(self._access_prefix)]
        items = [item for item in there.metadata.items if item.key != instances.SCRIPT]
        operations = []
        if len(tags) < len(there.tags.items):
            resource = {"items": tags, "fingerprint": there.tags.fingerprint}
            operations.append(parts.api.change("instances", "set_tags", tags_resource=resource, **where))
        if len(items) < len(there.metadata.items):
            metadata = {"items": items, "fingerprint": there.metadata.fingerprint}
            operations.append(parts.api.change("instances", "set_metadata", metadata_resource=metadata, **where))
        for operation in operations:
            parts.api.wait(operation)
        self._keep_disk(there, where)  # last: if anything else fails, the disk goes with the instance

    def _keep_disk(self, there: Any, where: Mapping[str, Any]) -> None:
        """Make the boot disk stay when the instance is deleted, if its labels say so."""
        api = self._parts.api
        for disk in there.disks if instances.KEEP in there.labels else ():
            if disk.boot and disk.auto_delete:
                stay: Any = {"device_name": disk.device_name, "auto_delete": False, **where}
                api.wait(api.change("instances", "set_disk_auto_delete", **stay))

    def keep_volumes(self, instance: Instance) -> None:
        """Make one call, and one more for a disk that must stay."""
        if not self._is_id(instance.instance_id) or not instance.zone:  # not an id, or without a zone
            return
        where: Any = {"zone": instance.zone, "instance": instance.instance_id}
        self._keep_disk(self._parts.api.get("instances", **where), where)

    def kept_volumes(self, instance: Instance) -> Sequence[str]:
        """Make one call."""
        if not self._is_id(instance.instance_id) or not instance.zone:  # not an id, or without a zone
            return ()
        try:
            there = self._parts.api.get("instances", zone=instance.zone, instance=instance.instance_id)
        except NotFound:
            return ()
        return [instances.last(disk.source) for disk in there.disks if disk.source and not disk.auto_delete]

    def protect(self, instance: Instance, *, on: bool) -> None:
        """Set the label and the deletion protection, or remove them; see ``protection.py``."""
        if self._is_id(instance.instance_id) and instance.zone:
            change = protection.Change(self._parts.api, instance, on)
            self._until_fresh(change.make)
        elif on:
            raise NotFound(f"Compute Engine: there is no instance {instance.instance_id}")

    def set_end(self, instance: Instance, ends: float | None) -> None:
        """Set or remove the label. Changes that others make at the same time stay."""
        self._until_fresh(lambda: self._user_tags.mark(instance, reports.ENDS, reports.end_mark(ends)))

    def interruptions(self, instances: Sequence[Instance]) -> Mapping[str, float | None]:
        """Make one list call for each zone with a stopped spot instance; see ``spot.py``."""
        return spot.interruptions(self._parts.api, instances)

    # import

    def candidates(self, minion_id: str, instance_id: str | None = None, region: str | None = None) -> list[Candidate]:
        """Search all zones by the names that ``instances.names_of`` returns, or by the id."""
        if instance_id is None:
            names = instances.names_of(minion_id)
            wanted = " OR ".join(f'(name = "{name}")' for name in names)
            found = [one for one in self._look_for(wanted, region) if one.name in names]
        elif self._is_id(instance_id):
            found = [one for one in self._look_for(f"id = {instance_id}", region) if str(one.id) == instance_id]
        else:
            found = []
        return [instances.candidate(one) for one in found]

    def _look_for(self, wanted: str, region: str | None) -> list[Any]:
        return self._parts.api.aggregated("instances", region, filter=wanted)

    def adopt(self, instance: Instance, minion_id: str, role: str | None) -> None:
        """
        Set the metadata, which holds what labels cannot, then the labels, and wait for both.

        Changes that others make at the same time stay. Raises ``NotFound`` if the instance is gone.
        """
        own = instances.own_labels(role, self.master.owner)
        self._until_fresh(lambda: self._mark(instance, minion_id, role, own))

    def release(self, instance: Instance) -> None:
        """Remove hart's metadata and labels."""
        if not self._is_id(instance.instance_id) or not instance.zone:  # not an id, or without a zone
            return
        with contextlib.suppress(NotFound):
            self._until_fresh(lambda: self._mark(instance, None, None, {}))

    def _mark(self, instance: Instance, minion_id: str | None, role: str | None, own: dict[str, str]) -> None:
        api = self._parts.api
        where: Any = {"zone": instance.zone, "instance": instance.instance_id}
        there = api.get("instances", **where)
        items = instances.adopted_metadata(there, minion_id, role)
        if items != [{"key": item.key, "value": item.value} for item in there.metadata.items]:
            metadata = {"items": items, "fingerprint": there.metadata.fingerprint}
            api.wait(api.change("instances", "set_metadata", metadata_resource=metadata, **where))
        labels = {name: value for name, value in there.labels.items() if name not in instances.ADOPTED_LABELS}
        labels |= own
        if labels != dict(there.labels):
            body = {"labels": labels, "label_fingerprint": there.label_fingerprint}
            api.wait(api.change("instances", "set_labels", instances_set_labels_request_resource=body, **where))

    # leftovers

    def leftovers(self) -> list[Leftover]:
        """Return this master's temporary firewall rules, disks that no instance uses, and half-made images."""
        parts = self._parts
        return [*leftovers.left(parts.api, self.master.owner), *parts.images.leftovers()]

    def remove(self, leftover: Leftover) -> None:
        """Delete what ``leftovers`` reported, and wait for the operation."""
        if not self._images.remove(leftover):
            leftovers.remove(self._parts.api, leftover)

    # for people, and for early refusals

    def objections(self, node: Node) -> Sequence[str]:
        """Check the names and settings, and look up zone, size, image and subnet, once each."""
        found = instances.objections(node, self.master.owner)
        if not node.zone:
            return [*found, self._zone_is_missing(node)]
        return [*found, *self._parts.catalogue.objections(node)]

    def lookups(self, node: Node) -> Mapping[str, Callable[[], str]]:
        """Look up the image for the architecture of the size, and the subnet."""
        catalogue = self._parts.catalogue
        return {
            "image": lambda: str(catalogue.image_of(node).name),
            "network": lambda: f"the subnet {catalogue.subnet(node).name}",
        }

    def check_rights(self, node: Node) -> Check:
        """Ask Google which of the permissions the credentials have in the project (``testIamPermissions``)."""
        options: Any = node.options
        needed = RIGHTS.by_purpose()
        wanted = list(needed[ALWAYS])
        for setting in ("keep_volumes", "service_account", "protect"):
            if getattr(options, setting, None) or getattr(node.settings, setting, None):
                wanted += [right for purpose, more in needed.items() if f"`{setting}`" in purpose for right in more]
        granted = self._parts.api.granted(wanted)
        lacking = [right for right in wanted if right not in granted]
        if lacking:
            said = f"the credentials lack {', '.join(lacking)} in the project"
            return Check("rights", AuthError.__name__, f"Compute Engine: {said}")
        return Check("rights", OK, f"the credentials have the {len(wanted)} permissions that nodes need")

    def check_quota(self, node: Node, count: int) -> Check:
        """Compare the region's quotas for instances, CPUs and public addresses with what is used."""
        return self._parts.catalogue.quota(node, count)

    def _zone_is_missing(self, node: Node) -> str:
        zones = ", ".join(self._parts.catalogue.zones(node.region))
        return f"Compute Engine needs a zone: set zone to one of {zones}, or to distributed"

    def regions(self) -> Sequence[Region]:
        """Return the regions with their places and available zones."""
        return self._parts.catalogue.regions()

    def sizes(self, region: str | None) -> Sequence[Size]:
        """Return the machine types, without prices, which the API lacks. Deprecated types are marked."""
        return self._parts.catalogue.sizes(region)

    def size(self, name: str, region: str) -> Size | None:
        """Call one zone after the other until one has the size, because a full list has several hundred."""
        return self._parts.catalogue.size(name, region)

    def images(self, region: str | None) -> Sequence[Image]:
        """Return the releases that the bootstrap supports, and the project's own images, which all regions share."""
        return self._parts.catalogue.images()


DRIVER = ComputeEngine
