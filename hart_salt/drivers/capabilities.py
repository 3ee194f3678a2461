"""
What some drivers can do and others cannot: small classes that a driver mixes in.

The first sentence of each class says what it is for. The reference shows it, with the drivers that have the capability.
A class here requires all verbs of its capability; without the class, the refusals of ``Driver`` apply.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from hart_salt.drivers.contract import Driver
from hart_salt.model import AddressRequest, BakedImage, Candidate, Instance, IpAddress, NewImage, Size


class Addresses(abc.ABC):
    """The further addresses of one account's instances. Its methods implement verbs of ``Driver``."""

    def __init__(self, api: Callable[[], Any], sleep: Callable[[float], None]) -> None:
        """
        Store the arguments; make no call.

        api
            returns the API's client, which it makes on the first call
        """
        self._get_api = api
        self._sleep = sleep

    @property
    def _api(self) -> Any:
        return self._get_api()

    @abc.abstractmethod
    def all(self, instance: Instance) -> Sequence[IpAddress]:
        """Implement ``Driver.addresses``."""

    @abc.abstractmethod
    def find(self, instance: Instance, request: AddressRequest) -> IpAddress:
        """Implement ``Driver.find_address``."""

    @abc.abstractmethod
    def add(self, instance: Instance, address: IpAddress) -> IpAddress:
        """Implement ``Driver.add_address``."""

    @abc.abstractmethod
    def remove(self, instance: Instance, address: IpAddress) -> None:
        """Implement ``Driver.remove_address``."""


class AddressSupport(Driver):
    """
    Further addresses for running nodes: ``hart.add_ip`` and ``hart.remove_ip``.

    The object ``_addresses`` implements the verbs.
    """

    _addresses: Addresses

    def addresses(self, instance: Instance) -> Sequence[IpAddress]:
        """Implement ``Driver.addresses``."""
        return self._addresses.all(instance)

    def find_address(self, instance: Instance, request: AddressRequest) -> IpAddress:
        """Implement ``Driver.find_address``."""
        return self._addresses.find(instance, request)

    def add_address(self, instance: Instance, address: IpAddress) -> IpAddress:
        """Implement ``Driver.add_address``."""
        return self._addresses.add(instance, address)

    def remove_address(self, instance: Instance, address: IpAddress) -> None:
        """Implement ``Driver.remove_address``."""
        self._addresses.remove(instance, address)


class AdoptionSupport(Driver):
    """Import of instances that hart did not create: ``hart.import_minion`` and ``hart.import_minions``."""

    @abc.abstractmethod
    def candidates(self, minion_id: str, instance_id: str | None = None, region: str | None = None) -> list[Candidate]:
        """Implement ``Driver.candidates``."""

    @abc.abstractmethod
    def adopt(self, instance: Instance, minion_id: str, role: str | None) -> None:
        """Implement ``Driver.adopt``."""

    @abc.abstractmethod
    def release(self, instance: Instance) -> None:
        """Implement ``Driver.release``."""


class PowerSupport(Driver):
    """Turning nodes on and off: ``hart.start``, ``hart.stop`` and ``hart.reboot``."""

    @abc.abstractmethod
    def power_on(self, instance: Instance) -> None:
        """Implement ``Driver.power_on``."""

    @abc.abstractmethod
    def power_off(self, instance: Instance, *, force: bool = False) -> None:
        """Implement ``Driver.power_off``."""

    @abc.abstractmethod
    def reboot(self, instance: Instance, *, force: bool = False) -> None:
        """Implement ``Driver.reboot``."""


class ResizeSupport(Driver):
    """Other sizes for existing nodes: ``hart.resize``."""

    @abc.abstractmethod
    def resize_objections(self, instance: Instance, size: Size) -> Sequence[str]:
        """Implement ``Driver.resize_objections``."""

    @abc.abstractmethod
    def resize(self, instance: Instance, size: str) -> None:
        """Implement ``Driver.resize``."""


class SnapshotSupport(Driver):
    """Images of nodes: ``hart.bake``, ``hart.remove_image``, and the setting ``image: baked``."""

    makes_images: ClassVar[bool] = True

    @abc.abstractmethod
    def make_image(self, instance: Instance, new: NewImage) -> BakedImage:
        """Implement ``Driver.make_image``."""

    @abc.abstractmethod
    def baked_images(self, region: str | None = None) -> list[BakedImage]:
        """Implement ``Driver.baked_images``."""

    @abc.abstractmethod
    def finish_image(self, image: BakedImage) -> None:
        """Implement ``Driver.finish_image``."""

    @abc.abstractmethod
    def delete_image(self, image: BakedImage) -> None:
        """Implement ``Driver.delete_image``."""


class SpotSupport(Driver):
    """Spot instances, which the provider can take away at short notice: ``hart.interruption`` on their minions."""

    @abc.abstractmethod
    def interruptions(self, instances: Sequence[Instance]) -> Mapping[str, float | None]:
        """Implement ``Driver.interruptions``."""


class TagSupport(Driver):
    """The tags or labels of existing nodes that are the user's: ``hart.set_tags``."""

    @abc.abstractmethod
    def tag_objections(self, tags: Mapping[str, str]) -> Sequence[str]:
        """Implement ``Driver.tag_objections``."""

    @abc.abstractmethod
    def user_tags(self, instance: Instance) -> Mapping[str, str]:
        """Implement ``Driver.user_tags``."""

    @abc.abstractmethod
    def set_tags(self, instance: Instance, tags: Mapping[str, str], remove: Collection[str]) -> None:
        """Implement ``Driver.set_tags``."""


CAPABILITIES: tuple[type[Driver], ...] = (
    AddressSupport, AdoptionSupport, PowerSupport, ResizeSupport, SnapshotSupport,
    SpotSupport, TagSupport,
)  # fmt: skip
