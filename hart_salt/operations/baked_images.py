"""The baked images of providers as a call needs them: each provider is asked once, and only if somebody needs them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

from hart_salt.base.errors import HartError, InvalidRequest, NotFound
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.side_by_side import ask_each
from hart_salt.model import BakedImage, MasterInfo, Node, Size
from hart_salt.planning import baked
from hart_salt.planning.digest import with_image

T = TypeVar("T")


class BakedImages:
    """The baked images of all providers, and the sizes that decide which image fits a node."""

    def __init__(self, driver: Callable[[str], Driver], info: MasterInfo) -> None:
        """Keep the arguments; ask nobody. ``driver`` returns the driver of a provider."""
        self._driver = driver
        self._info = info
        self._images: dict[str, list[BakedImage] | HartError] = {}
        self._sizes: dict[tuple[str, str, str], Size | HartError | None] = {}

    def of(self, provider: str) -> list[BakedImage]:
        """
        Return all baked images of a provider, half made ones included.

        Raises ``HartError`` if the provider cannot say it, the same one each time.
        """
        if provider not in self._images:
            self._images[provider] = self._ask(provider, lambda driver: driver.baked_images())
        return _good(self._images[provider])

    def newest(self, node: Node) -> BakedImage | None:
        """Return the newest image that a node can boot, or None. Raises ``HartError`` if that is not known."""
        return baked.newest(self.of(node.provider), node, self._info, self._size(node))

    def why_none(self, node: Node) -> str:
        """Return why no image fits a node, in words. Raises ``HartError`` if that is not known."""
        return baked.why_none(self.of(node.provider), node, self._info, self._size(node))

    def digest_of(self, node: Node) -> str:
        """
        Return what a node is made from if it is created now: its digest with the image that it boots.

        The result is empty if no image fits and the node may boot no other one. Raises ``HartError`` if that is not
        known.
        """
        if not baked.is_wanted(node):
            return node.digest
        image = self.newest(node)
        if image is not None:
            return with_image(node.digest, image.image_id)
        return "" if node.settings.image == baked.REQUIRED else baked.plain(node).digest

    def _size(self, node: Node) -> Size | None:
        if not self.of(node.provider):
            return None  # then no size matters
        offer = (node.provider, node.region, node.size)
        if offer not in self._sizes:
            self._sizes[offer] = self._ask(node.provider, lambda driver: size_of(driver, node))
        return _good(self._sizes[offer])

    def _ask(self, provider: str, ask: Callable[[Driver], T]) -> T | HartError:
        try:
            return ask_each({provider: self._driver(provider)}, ask)[provider]
        except HartError as error:
            return error


def size_of(driver: Driver, node: Node) -> Size | None:
    """Return the size of a node; None if there is no such size, which the preflight of a create call reports."""
    with contextlib.suppress(InvalidRequest, NotFound):
        return driver.size(node.size, node.region)
    return None


def _good(found: T | HartError) -> T:
    if isinstance(found, HartError):
        raise found
    return found
