"""
What some drivers can and others cannot: small classes that a driver mixes in.

The first sentence of each says what it is for, to people: the reference shows it, and which of our drivers have it. A
class here asks for all verbs of its capability; without it, the refusals of ``Driver`` stand.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

from hart_salt.drivers.contract import Driver
from hart_salt.model import AddressRequest, Candidate, Instance, IpAddress


class Addresses(abc.ABC):
    """The further addresses of one account's instances; its methods are verbs of ``Driver``, whose contract holds."""

    def __init__(self, api: Callable[[], Any], sleep: Callable[[float], None]) -> None:
        """
        Remember how to ask; nothing is asked.

        api
            makes the API's client, or returns the one that there is
        """
        self._get_api = api
        self._sleep = sleep

    @property
    def _api(self) -> Any:
        return self._get_api()

    @abc.abstractmethod
    def all(self, instance: Instance) -> Sequence[IpAddress]:
        """``Driver.addresses``."""

    @abc.abstractmethod
    def find(self, instance: Instance, request: AddressRequest) -> IpAddress:
        """``Driver.find_address``."""

    @abc.abstractmethod
    def add(self, instance: Instance, address: IpAddress) -> IpAddress:
        """``Driver.add_address``."""

    @abc.abstractmethod
    def remove(self, instance: Instance, address: IpAddress) -> None:
        """``Driver.remove_address``."""


class AddressSupport(Driver):
    """
    Further addresses for nodes that run: ``hart.add_ip`` and ``hart.remove_ip``.

    They are in the hands of ``_addresses``.
    """

    _addresses: Addresses

    def addresses(self, instance: Instance) -> Sequence[IpAddress]:
        """As the contract says."""
        return self._addresses.all(instance)

    def find_address(self, instance: Instance, request: AddressRequest) -> IpAddress:
        """As the contract says."""
        return self._addresses.find(instance, request)

    def add_address(self, instance: Instance, address: IpAddress) -> IpAddress:
        """As the contract says."""
        return self._addresses.add(instance, address)

    def remove_address(self, instance: Instance, address: IpAddress) -> None:
        """As the contract says."""
        self._addresses.remove(instance, address)


class AdoptionSupport(Driver):
    """Instances that hart did not make can be taken over: ``hart.import_minion`` and ``hart.import_minions``."""

    @abc.abstractmethod
    def candidates(self, minion_id: str, instance_id: str | None = None, region: str | None = None) -> list[Candidate]:
        """As the contract says."""

    @abc.abstractmethod
    def adopt(self, instance: Instance, minion_id: str, role: str | None) -> None:
        """As the contract says."""

    @abc.abstractmethod
    def release(self, instance: Instance) -> None:
        """As the contract says."""


CAPABILITIES: tuple[type[Driver], ...] = (AddressSupport, AdoptionSupport)
