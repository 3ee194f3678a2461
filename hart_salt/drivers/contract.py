"""
The driver contract.

A driver is our code for one cloud. Its methods block (cloud SDKs do); they are called from threads, and for
one driver object from several threads at once. Every call has a timeout of its own. Errors are the
``DriverError`` classes of ``hart_salt.base.errors``, mapped from the vendor's codes in one table per driver.
One contract suite, ``tests/drivers/test_contract*.py``, runs over every driver.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from hart_salt.base.errors import InvalidRequest, Refused
from hart_salt.config.schema import Provider, Schema
from hart_salt.drivers.outage import BEGINNING as BEGINNING
from hart_salt.drivers.outage import READING as READING
from hart_salt.drivers.outage import Outage
from hart_salt.model import (
    Access,
    AddressRequest,
    Candidate,
    Image,
    Instance,
    IpAddress,
    Leftover,
    MasterInfo,
    Node,
    Region,
    Size,
)


class Driver(abc.ABC):
    """One provider, as one call of hart uses it."""

    schema: ClassVar[Schema]
    #: which bootstrap templates its instances need
    platform: ClassVar[str] = "debian"
    #: whether the provider's images take passwords at SSH; the bootstrap then turns that off, for good
    password_logins: ClassVar[bool] = False
    #: seconds between two list calls while instances are waited for
    poll_interval: ClassVar[float] = 3.0
    #: why nodes get no further addresses, in one sentence; a driver that gives some overrides the four verbs of them
    no_addresses: ClassVar[str] = "its driver gives no further addresses to a running node"

    def __init__(self, provider: Provider, master: MasterInfo) -> None:
        """Keep what is needed; make no call and import no SDK before the first verb."""
        self.provider = provider
        self.master = master
        #: how long a server that cannot be reached is waited for; whoever asks sets its ``limit``
        self.outage = Outage(provider.name)

    @abc.abstractmethod
    def check(self) -> str:
        """Prove that the credentials work, with a call that changes nothing; return who they belong to."""

    @abc.abstractmethod
    def access(self, batch: str, client_public_key: str, nodes: Sequence[Node]) -> AbstractContextManager[Access]:
        """
        What a batch needs while it boots: a temporary key, a temporary firewall.

        Names or tags everything it makes with ``batch`` before or while making it, and removes it on exit,
        also when instances of the batch failed. ``nodes`` are those that will be launched with it: all of one
        region and with the same settings, perhaps in several zones.
        """

    @abc.abstractmethod
    def launch(self, node: Node, user_data: str, access: Access) -> Instance:
        """
        Create one instance; its first report is returned, usually before it has an address.

        One create call. The tags that say that it is hart's, which master owns it, its minion id, its role
        and its batch are part of it. Never repeated blindly: where the API knows no idempotency token, an
        uncertain answer is settled by looking for the tags first.

        Raises ``InvalidRequest`` for settings that the provider refuses, ``QuotaExceeded``, ``NoCapacity``.
        ``TemporaryFailure`` with ``uncertain`` set means that an instance may exist.
        """

    @abc.abstractmethod
    def instances(self, region: str | None = None) -> list[Instance]:
        """
        Every instance that this master owns, paged to the end. A page that fails is an error.

        region
            only what is in this region is needed (default: everything, in all regions); an API that lists all
            regions at once may return the rest as well
        """

    def instance(self, instance: Instance) -> Instance | None:
        """
        One instance as the provider reports it now, whatever its tags; None: there is none of its id.

        Asked for what several lists have missed, and never instead of a list. Goes by ``instance_id``, ``region`` and
        ``zone`` alone. By default it is looked for in ``instances``, which a driver overrides whose API can be asked
        for one by its id.
        """
        listed = self.instances(instance.region)
        return next((one for one in listed if one.instance_id == instance.instance_id), None)

    @abc.abstractmethod
    def terminate(self, instance: Instance) -> None:
        """
        End an instance and all that belongs to it. Repeatable: one that is gone is success.

        Goes by ``instance_id``, ``region`` and ``zone`` alone: the rest may be a record's, and old.
        """

    @abc.abstractmethod
    def regions(self) -> Sequence[Region]:
        """The regions that a node may name, for people and for checks."""

    @abc.abstractmethod
    def sizes(self, region: str | None) -> Sequence[Size]:
        """The sizes on offer, in ``region`` if one is given, with monthly prices where they are known."""

    @abc.abstractmethod
    def images(self, region: str | None) -> Sequence[Image]:
        """The images that the setting ``image`` may name."""

    def size(self, name: str, region: str) -> Size | None:
        """One size, for its price and to know that it exists; by default looked for among all of them."""
        return next((size for size in self.sizes(region) if size.name == name), None)

    def objections(self, node: Node) -> Sequence[str]:
        """What this provider's own rules say against the node, known without a create; a sentence each."""
        return ()

    def settle(self, instance: Instance) -> None:  # noqa: B027 - most drivers have nothing to do here
        """The driver's part of sealing: detach what ``access`` attached to this instance."""

    def leftovers(self) -> list[Leftover]:
        """
        Everything temporary that carries this master's tag: what ``access`` makes, and disks without an instance.

        Which batches are alive, a driver cannot know; who asks sorts theirs out.
        """
        return []

    def remove(self, leftover: Leftover) -> None:  # noqa: B027 - a driver without leftovers is never asked
        """Remove one of ``leftovers``. Repeatable: one that is gone is success."""

    def addresses(self, instance: Instance) -> Sequence[IpAddress]:
        """The further addresses that the instance has at this moment."""
        return ()

    def find_address(self, instance: Instance, request: AddressRequest) -> IpAddress:
        """
        The address that is asked for, as the instance has it (``there``), or as it would get it. Changes nothing.

        Raises ``InvalidRequest``, with what to do instead, for one that it cannot get: of another region, another's.
        """
        raise InvalidRequest(f"{self.provider.name}: {self.no_addresses}")

    def add_address(self, instance: Instance, address: IpAddress) -> IpAddress:
        """
        Give the instance an address that ``find_address`` found not to be there; return it as it is then.

        Never repeated blindly: an uncertain answer is settled by looking. ``TemporaryFailure`` with ``uncertain`` set
        means that the instance may get it all the same. Returns once the provider says that it is there.
        """
        raise InvalidRequest(f"{self.provider.name}: {self.no_addresses}")

    def remove_address(self, instance: Instance, address: IpAddress) -> None:
        """
        Take an address from the instance; a reserved one stays the account's. Repeatable: one that is gone is success.

        Goes by ``kind``, ``ip`` and ``handle`` alone. A reserved address that another instance has by now stays there.
        """
        raise InvalidRequest(f"{self.provider.name}: {self.no_addresses}")

    def candidates(self, minion_id: str, instance_id: str | None = None, region: str | None = None) -> list[Candidate]:
        """
        The instances that may be the machine of a minion which hart did not create, whoever they belong to.

        Those that have ended are none. Changes nothing.

        instance_id
            the one of this id; a text that is no id finds nothing (default: those that have the name which an
            instance of this minion has at this provider)
        region
            only there (default: everywhere); an API that lists all regions at once may take no notice

        Raises ``Refused`` where a driver cannot take instances over, as it does by default.
        """
        raise Refused(
            f"the provider {self.provider.name} has only instances that hart made (driver {self.provider.driver}): "
            "there is nothing to import"
        )

    def adopt(self, instance: Instance, minion_id: str, role: str | None) -> None:
        """
        Give an existing instance the tags that one of a create call by this master has, but for the batch.

        ``instances`` lists it from then on, with this minion id and this role. Nothing else of it changes, and its
        disks get no tags: sweep removes disks that have some. Repeatable. Goes by ``instance_id``, ``region`` and
        ``zone`` alone.
        """
        raise NotImplementedError  # never asked where ``candidates`` refuses

    def release(self, instance: Instance) -> None:
        """Take the tags of ``adopt`` off again. Repeatable: without them, or gone, is success."""
        raise NotImplementedError  # see ``adopt``

    def minion_defaults(self, node: Node) -> Mapping[str, Any]:
        """Minion configuration that this kind of machine needs; the node's own goes over it."""
        return {}

    def root(self, instance: Instance) -> str:
        """The directory on the machine below which the bootstrap works; empty for a machine of its own."""
        return ""
