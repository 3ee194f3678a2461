"""What drivers share that give further addresses: the four verbs, done by one part of the driver."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

from hart_salt.drivers.contract import Driver
from hart_salt.model import AddressRequest, Instance, IpAddress


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
    """A driver whose further addresses are in the hands of ``_addresses``."""

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
