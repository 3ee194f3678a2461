"""
The driver contract.

A driver is our code for one cloud. Its methods block, as cloud SDKs do. They are called from threads, and several
threads can use one driver object at the same time. Every call has its own timeout. Errors are the ``DriverError``
classes of ``hart_salt.base.errors``; one table per driver maps the vendor's codes to them. One contract suite,
``tests/drivers/test_contract*.py``, runs over every driver.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from hart_salt.base.errors import InvalidRequest, Refused
from hart_salt.config.schema import Provider, Schema
from hart_salt.drivers.image_verbs import ImageVerbs
from hart_salt.drivers.outage import BEGINNING as BEGINNING
from hart_salt.drivers.outage import READING as READING
from hart_salt.drivers.outage import Outage
from hart_salt.model import (
    Access,
    AddressRequest,
    Candidate,
    Check,
    Image,
    Instance,
    IpAddress,
    Leftover,
    MasterInfo,
    Node,
    Price,
    Region,
    Size,
)


class Driver(ImageVerbs, abc.ABC):
    """One provider during one call of hart."""

    schema: ClassVar[Schema]
    #: the bootstrap templates that its instances need
    platform: ClassVar[str] = "debian"
    #: whether the provider's images accept passwords over SSH; if so, the bootstrap turns them off permanently
    password_logins: ClassVar[bool] = False
    #: whether cloud-init runs the user-data in the provider's images, so that ``#cloud-boothook`` works in it
    boothooks: ClassVar[bool] = False
    #: whether ``size`` finds a size only in a region that exists and has no zones: then the regions need not be listed
    sizes_know_regions: ClassVar[bool] = False
    #: seconds between two list calls while hart waits for instances
    poll_interval: ClassVar[float] = 3.0
    #: whether an instance costs the price of its size while it is stopped
    stopped_costs: ClassVar[bool] = True
    #: why no price is known, in a sentence; empty: the API has prices
    no_prices: ClassVar[str] = ""
    #: when hart makes its first list calls if it does not know yet how long such instances take to run: seconds after
    #: the first create call, in order; further lists follow after ``poll_interval``
    first_looks: ClassVar[Sequence[float]] = (0.0,)
    #: the reason for refusing further addresses, in one sentence; a driver that supports them overrides the four verbs
    no_addresses: ClassVar[str] = "its driver cannot add addresses to a running node"
    #: the same for turning instances on and off, for other sizes, and for the user's tags
    no_power: ClassVar[str] = "its driver cannot turn instances on and off"
    no_resize: ClassVar[str] = "its driver cannot change the size of an instance"
    no_tags: ClassVar[str] = "its driver cannot change the tags of an instance"
    #: why ``resize`` cannot go back to the old size, so that hart cannot roll it back; empty if it can
    no_way_back: ClassVar[str] = ""

    def __init__(self, provider: Provider, master: MasterInfo) -> None:
        """Store the arguments. Make no call and import no SDK before the first verb."""
        self.provider = provider
        self.master = master
        #: how long to wait for a server that cannot be reached; the caller sets its ``limit``
        self.outage = Outage(provider.name)

    def ask_again(self) -> None:
        """Forget the answers that were kept from earlier calls of hart: what follows asks the provider."""

    @abc.abstractmethod
    def check(self) -> str:
        """Verify the credentials with a call that changes nothing, and return the account that they belong to."""

    @abc.abstractmethod
    def access(self, batch: str, client_public_key: str, nodes: Sequence[Node]) -> AbstractContextManager[Access]:
        """
        Provide what a batch needs while it boots: a temporary key, a temporary firewall.

        The driver puts ``batch`` into the name or a tag of each resource, at the latest in the create call, and removes
        the resource on exit, even if instances of the batch failed. ``nodes`` are the nodes that will be launched with
        it. They have the same region and the same settings, but can be in several zones.
        """

    @abc.abstractmethod
    def launch(self, node: Node, user_data: str, access: Access) -> Instance:
        """
        Create one instance and return its first report, usually before it has an address.

        The driver makes one create call. It contains the tags that mark the instance as hart's and name its owner, its
        minion id, its role and its batch, and those of ``tags.marks``: what it is made from, and when it ends. The call
        is never retried blindly: if the API has no idempotency token and the outcome is uncertain, the driver first
        looks for the tags.

        Raises ``InvalidRequest`` if the provider refuses the settings, ``QuotaExceeded`` or ``NoCapacity``.
        ``TemporaryFailure`` with ``uncertain`` set means that an instance may exist.
        """

    @abc.abstractmethod
    def instances(self, region: str | None = None) -> list[Instance]:
        """
        Return every instance that this master owns, from all pages of the list. A page that fails is an error.

        Sweep may remove what is returned: the driver checks the owner itself, whatever filter the API applies.

        region
            list this region only (default: all regions); an API that lists all regions at once may return the rest too
        """

    def instances_of(self, batch: str, region: str | None = None) -> list[Instance]:
        """
        Return the instances of one batch of this master, which may be few of thousands: hart waits for them.

        More instances may be returned: the default implementation returns ``instances``. A driver whose API can select
        by the batch's tag overrides it.
        """
        return self.instances(region)

    def instances_called(self, minion_id: str) -> list[Instance]:
        """
        Return this master's instances with a minion id. By default, search ``instances``.

        A driver whose API can select by name or tag overrides it.
        """
        return [one for one in self.instances() if one.minion_id == minion_id]

    def instance(self, instance: Instance) -> Instance | None:
        """
        Return one instance as the provider reports it now, whatever its tags, or None if no instance has its id.

        hart calls this to show one node, and after several lists have missed an instance, never to decide about a node
        instead of a list. It uses ``instance_id``, ``region`` and ``zone`` only. The default implementation searches
        ``instances``; a driver whose API can look up an id overrides it.
        """
        listed = self.instances(instance.region)
        return next((one for one in listed if one.instance_id == instance.instance_id), None)

    @abc.abstractmethod
    def terminate(self, instance: Instance) -> None:
        """
        Terminate an instance and remove everything that belongs to it, except volumes that the user's settings keep.

        Idempotent: an absent instance is a success.
        It uses ``instance_id``, ``region`` and ``zone`` only: the other fields may come from an old record.

        Raises ``Protected`` if the provider's own deletion protection is on. The caller checks hart's mark.
        """

    def protect(self, instance: Instance, *, on: bool) -> None:
        """
        Mark an instance as protected, or remove every protection from it. Idempotent.

        The mark is a tag that ``instances`` reports as ``protected``; a driver whose provider has a deletion protection
        of its own turns that on as well. With ``on`` the mark is set first, otherwise it is removed last: an instance
        whose change was interrupted counts as protected. All other tags stay. It uses ``instance_id``, ``region`` and
        ``zone`` only. By default, do nothing: then only the record protects the node.

        Raises ``NotFound`` if the instance is gone; without ``on`` that is a success.
        """

    def set_end(self, instance: Instance, ends: float | None) -> None:
        """
        Write into the tag ``hart-ends`` when the node is due to be destroyed; None removes the tag. Idempotent.

        ``ends`` is in whole seconds since the epoch. ``instances`` reports it as ``ends``. All other tags stay. It uses
        ``instance_id``, ``region`` and ``zone`` only. By default, do nothing: then only the record says it.

        Raises ``NotFound`` if the instance is gone.
        """

    def kept_volumes(self, instance: Instance) -> Sequence[str]:
        """
        Return the names of the volumes that stay at the provider when the instance is terminated. Change nothing.

        It uses ``instance_id``, ``region`` and ``zone`` only. An absent instance has none. By default, none stays.
        """
        return ()

    def keep_volumes(self, instance: Instance) -> None:
        """
        Make the volumes stay that the node's settings keep, as ``settle`` does. Idempotent.

        hart calls it before it terminates a minion that was never sealed. It uses ``instance_id``, ``region``, ``zone``
        and ``created`` only. Raises ``NotFound`` if the instance is gone.
        """

    @abc.abstractmethod
    def regions(self) -> Sequence[Region]:
        """Return the regions that a node can name, for people and for checks."""

    @abc.abstractmethod
    def sizes(self, region: str | None) -> Sequence[Size]:
        """Return the available sizes, in ``region`` if given, with monthly prices if known."""

    @abc.abstractmethod
    def images(self, region: str | None) -> Sequence[Image]:
        """Return the images that the setting ``image`` can name."""

    def size(self, name: str, region: str) -> Size | None:
        """
        Return one size, or None if it does not exist. By default, search all sizes.

        A size can be as an earlier call of hart found it, up to a day ago; see ``ask_again``. None is always new.
        """
        return next((size for size in self.sizes(region) if size.name == name), None)

    def prices(self, wanted: Mapping[str, Collection[str]]) -> Mapping[tuple[str, str], Price]:
        """
        Return the list prices of sizes, by region and size; a price that is not known is absent.

        ``wanted`` has the sizes in each region: those of existing nodes, which the provider may no longer offer. The
        number of calls does not grow with the number of sizes. By default, list the sizes of each region.
        """
        return (
            {}
            if self.no_prices
            else {
                (region, one.name): Price(one.monthly_price, one.currency)
                for region, names in wanted.items()
                for one in self.sizes(region)
                if one.name in names and one.monthly_price is not None
            }
        )

    def objections(self, node: Node) -> Sequence[str]:
        """Return one sentence for each of the provider's own rules that the node breaks, without a create call."""
        return ()

    def lookups(self, node: Node) -> Mapping[str, Callable[[], str]]:
        """
        Return lookups of what the node names besides region and size, by kind, such as ``image``, for ``hart.check``.

        Each returns what it found, in a few words. It makes no change, and raises ``DriverError`` if the node cannot
        have what it names.
        """
        return {}

    def check_rights(self, node: Node) -> Check | None:
        """
        Find out whether the credentials have the rights that the node needs, without a change and free of charge.

        The result is ``UNKNOWN`` as far as the provider does not report it. Return None if there is nothing to find
        out, which is the default.
        """
        return None

    def check_quota(self, node: Node, count: int) -> Check | None:
        """Find out whether the account's limits allow ``count`` more such nodes; as for ``check_rights``."""
        return None

    def settle(self, instance: Instance) -> None:
        """Do the driver's part of sealing: detach what ``access`` attached to this instance."""

    def leftovers(self) -> list[Leftover]:
        """
        Return every temporary resource with this master's tag: what ``access`` makes, and disks without an instance.

        A driver cannot know which batches are alive: the caller excludes those. The driver checks the owner itself,
        whatever filter the API applies.
        """
        return []

    def remove(self, leftover: Leftover) -> None:
        """Remove one of ``leftovers``. Idempotent: an absent resource is a success."""

    def addresses(self, instance: Instance) -> Sequence[IpAddress]:
        """Return the further addresses that the instance has now."""
        return ()

    def find_address(self, instance: Instance, request: AddressRequest) -> IpAddress:
        """
        Return the requested address, as the instance has it (``there``) or as it would get it. Change nothing.

        Raises ``InvalidRequest``, which says what to do instead, if the instance cannot get it, for example because the
        address is in another region or belongs to another instance.
        """
        raise InvalidRequest(f"{self.provider.name}: {self.no_addresses}")

    def add_address(self, instance: Instance, address: IpAddress) -> IpAddress:
        """
        Add an address that ``find_address`` reported as not there, and return it with its new state.

        Return once the provider reports that the instance has it. The call is never retried blindly: if the outcome is
        uncertain, the driver looks first. ``TemporaryFailure`` with ``uncertain`` set means that the instance may still
        get the address.
        """
        raise InvalidRequest(f"{self.provider.name}: {self.no_addresses}")

    def remove_address(self, instance: Instance, address: IpAddress) -> None:
        """
        Remove an address from the instance. Idempotent: an absent address is a success.

        The account keeps a reserved address. It uses ``kind``, ``ip`` and ``handle`` only. A reserved address that
        another instance has by now stays there.
        """
        raise InvalidRequest(f"{self.provider.name}: {self.no_addresses}")

    def power_on(self, instance: Instance) -> None:
        """
        Start a stopped instance, and return once the provider reports it as running. A running one is a success.

        The wait is bounded. A refusal because of another action in progress is retried. This verb and the next four
        use ``instance_id``, ``region`` and ``zone`` only, and never look at the owner: the caller does.

        Raises ``NotFound`` if the instance is gone, ``NoCapacity`` or ``QuotaExceeded`` if there is no room for it.
        ``TemporaryFailure`` with ``uncertain`` set means that it may still start.
        """
        raise InvalidRequest(f"{self.provider.name}: {self.no_power}")

    def power_off(self, instance: Instance, *, force: bool = False) -> None:
        """
        Stop an instance, and return once the provider reports that it has stopped. A stopped one is a success.

        Its operating system shuts down first, where the API can ask it to; a system that ignores that is cut off after
        a while. Disks stay; addresses may change until the next start. Waits and errors are as for ``power_on``.

        force
            cut the power at once, where the API can (default: False)
        """
        raise InvalidRequest(f"{self.provider.name}: {self.no_power}")

    def reboot(self, instance: Instance, *, force: bool = False) -> None:
        """
        Restart a running instance, and return once the provider has done what it does for that.

        The operating system may still be shutting down then. The call is never retried blindly. Errors and ``force``
        are as for ``power_off``.
        """
        raise InvalidRequest(f"{self.provider.name}: {self.no_power}")

    def resize_objections(self, instance: Instance, size: Size) -> Sequence[str]:
        """
        Return one sentence for each of the provider's own rules that an instance of that size would break.

        ``instance`` is a report of now. The caller compares the disks. Changes nothing.
        """
        return [self.no_resize]

    def resize(self, instance: Instance, size: str) -> None:
        """
        Change the size of a stopped instance, and return once the provider reports the new size. The disk stays as it
        is, unless the API can only grow it (``no_way_back``). An instance of that size is a success.

        Waits and errors are as for ``power_on``; the instance can be running afterwards.
        """
        raise InvalidRequest(f"{self.provider.name}: {self.no_resize}")

    def tag_objections(self, tags: Mapping[str, str]) -> Sequence[str]:
        """Return one sentence for each of the user's tags that the provider would refuse. Make no call."""
        return [self.no_tags]

    def user_tags(self, instance: Instance) -> Mapping[str, str]:
        """
        Return the user's tags of the instance by name, without hart's own. A tag without a value has an empty one.

        Raises ``NotFound`` if the instance is gone.
        """
        raise InvalidRequest(f"{self.provider.name}: {self.no_tags}")

    def set_tags(self, instance: Instance, tags: Mapping[str, str], remove: Collection[str]) -> None:
        """
        Set tags of the user, and remove those with the names in ``remove``. All other tags stay. Idempotent.

        The names and values are as the setting ``tags`` has them; ``tag_objections`` has accepted them. Raises
        ``NotFound`` if the instance is gone.
        """
        raise InvalidRequest(f"{self.provider.name}: {self.no_tags}")

    def interruptions(self, instances: Sequence[Instance]) -> Mapping[str, float | None]:
        """
        Return when the provider takes instances away, in seconds since the epoch, by instance id. Change nothing.

        None means that it has begun, or that the time is not known. An instance without a notice is absent. The number
        of calls does not grow with the number of instances, but for long lists. By default, there are no notices.

        instances
            reports of lists; only those that are ``spot`` are looked up
        """
        return {}

    def candidates(self, minion_id: str, instance_id: str | None = None, region: str | None = None) -> list[Candidate]:
        """
        Return the instances, of any owner, that may run a minion which hart did not create. Change nothing.

        Terminated instances are not candidates.

        instance_id
            the id to look for; text that is not an id matches nothing (default: match by the name that an instance of
            this minion has at this provider)
        region
            search this region only (default: all regions); an API that lists all regions at once may ignore it

        Raises ``Refused`` if the driver cannot import instances, which is the default.
        """
        raise Refused(
            f"the provider {self.provider.name} has only instances that hart created (driver "
            f"{self.provider.driver}): there is nothing to import"
        )

    def adopt(self, instance: Instance, minion_id: str, role: str | None) -> None:
        """
        Set the tags of this master's create calls, except the batch, on an existing instance.

        From then on, ``instances`` lists it with this minion id and this role. Nothing else changes. Its disks get no
        tags, because sweep removes disks that have them. Idempotent. It uses ``instance_id``, ``region`` and ``zone``
        only.
        """
        raise NotImplementedError  # never called if ``candidates`` refuses

    def release(self, instance: Instance) -> None:
        """Remove the tags that ``adopt`` set. Idempotent: absent tags or an absent instance are a success."""
        raise NotImplementedError  # see ``adopt``

    def minion_defaults(self, node: Node) -> Mapping[str, Any]:
        """Return the minion configuration that this kind of machine needs. The node's own settings override it."""
        return {}

    def root(self, instance: Instance) -> str:
        """Return the directory on the machine in which the bootstrap works, or an empty string for a whole machine."""
        return ""
